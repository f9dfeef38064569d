"""Observation functions of a user's Julia file: `julia/src/boundary/observation_function.jl`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.engine.checked import plain
from pyvda.engine.interface import Array
from pyvda.engine.julia.signatures import text_arguments
from pyvda.errors import EngineError, InputError

_VALUES, _DERIVATIVES, _CHECK, _COUNT = 0, 1, 2, 3


class ObservationFunctions:
    """The files of one running Julia, each evaluated once, through the entry points of `call`."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call
        self._handles: dict[tuple[str, str], int] = {}

    def values(self, path: str, text: str, x: Array, channels: int) -> Array:
        """Return h of states x (N, D), (N, K)."""
        return self._observe(path, text, x, channels, _VALUES, (len(x), channels))

    def derivatives(self, path: str, text: str, x: Array, channels: int) -> Array:
        """Return the derivatives of h at states x (N, D), (N, K, D)."""
        return self._observe(path, text, x, channels, _DERIVATIVES, (len(x), channels, x.shape[1]))

    def check(self, path: str, text: str, x: Array, channels: int) -> None:
        """Refuse a function without K finite values at x, or with wrong derivatives there."""
        self._observe(path, text, x, channels, _CHECK, (0,))

    def count(self, path: str, text: str, x: Array) -> int:
        """Return the number of values of h at a state x (D,)."""
        return int(self._observe(path, text, x[None], 0, _COUNT, (1,))[0])

    def _observe(
        self, path: str, text: str, x: Array, channels: int, what: int, shape: tuple[int, ...]
    ) -> Array:
        x = plain(x, float)
        out = np.empty(shape)
        try:
            self._call(
                "observe", observation_function=self.handle(path, text), D=x.shape[1],
                channels=channels, count=len(x), what=what, x=x, out=out,
            )  # fmt: skip
        except EngineError as error:
            raise InputError(f"the observation function fails ({error})") from error
        return out

    def handle(self, path: str, text: str) -> int:
        """Return Julia's handle of the function in a file of this content."""
        key = (path, text)
        if key not in self._handles:
            handle = np.zeros(1, np.int64)
            texts = text_arguments({"source": text, "file": path})
            self._call("register_observation", **texts, handle=handle)
            self._handles[key] = int(handle[0])
        return self._handles[key]
