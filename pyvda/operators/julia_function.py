"""Observations that are any function of the state, written in Julia.

    observe(x)                      the observed values of a state x, a tuple: (x[1]^2, x[2] * x[3])
    observe_tangent_linear(x, dx)   may be missing
    observe_adjoint(x, v)           may be missing

or, for many numbers, in place on vectors: `observe!(y, x)`, `observe_tangent_linear!(dy, x, dx)`,
`observe_adjoint!(xbar, x, v)`, and `observe_count(D)`, the number of values for states of D
numbers, which `pyvda observe` and `pyvda check` need.

Derivatives that the file does not give come from dual numbers; those that it does are compared to
these first. x is a tuple of numbers, a vector where the state has more than 32 components.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import EngineError, InputError
from pyvda.operators.function import FunctionOperator

if TYPE_CHECKING:
    import torch

    from pyvda.engine.julia.observation_function import ObservationFunctions
    from pyvda.operators.correlated_errors import CorrelatedErrors

_MOST_BYTES = 1 << 20


class JuliaFunction(FunctionOperator):
    """A function of the state in a Julia file, nonlinear or not.

    .. math:: y(t_k) = h(x(t_k)) + ε_k

    The observations are as those of a `FunctionOperator`. Both engines take it; it needs Julia.

    Parameters
    ----------
    path : path
        The file, which is read now and evaluated in a module of its own when it is first needed.
    errors : CorrelatedErrors, optional
        As of a `FunctionOperator`.

    Raises
    ------
    InputError
        When there is no such file, or no text in it.

    Examples
    --------
    >>> operator = JuliaFunction("observe.jl")  # doctest: +SKIP
    """

    def __init__(
        self, path: str | os.PathLike[str], *, errors: CorrelatedErrors | None = None
    ) -> None:
        file = Path(path)
        if not file.is_file():
            raise InputError(f"there is no file {path}; give the path of a Julia file")
        if file.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"{path} has {file.stat().st_size} bytes, expected a Julia file with observe(x)"
            )
        try:
            self.text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text in UTF-8, expected a Julia file") from None
        if not self.text.strip() or "\0" in self.text:
            raise InputError(f"{path} is empty or not text, expected a Julia file with observe(x)")
        self.path = str(path)
        self._channels: int | None = None
        super().__init__(self._in_torch, self._adjoint_in_torch, errors=errors)

    def __copy__(self) -> JuliaFunction:
        found = object.__new__(type(self))
        found.__dict__.update(self.__dict__)
        found.function, found.adjoint = found._in_torch, found._adjoint_in_torch
        return found

    def check(self, size: int, channels: int, states: Any = None) -> None:
        """Test the function and its derivatives at some states; see `FunctionOperator.check`."""
        x = np.random.default_rng(0).standard_normal((3, size))
        if states is not None:
            x = np.asarray(states, float)
        self._julia().check(self.path, self.text, x, channels)
        self._channels = channels

    def count(self, state: Any) -> int:
        """Return the number of values for a state (D,); see `FunctionOperator.count`."""
        return self._julia().count(self.path, self.text, np.asarray(state, float))

    def values(self, x: Any, channels: int) -> np.ndarray:
        """Return h of states x (..., D), (..., K), with K `channels`."""
        found = self._values(np.asarray(x, float), channels)
        return found if self.combination is None else _product(found, self.combination.T)

    def derivatives(self, x: Any, channels: int) -> np.ndarray:
        """Return ∂h/∂x at states x (..., D), (..., K, D), with K `channels`."""
        found = self._derivatives(np.asarray(x, float), channels)
        return found if self.combination is None else _product(self.combination, found)

    def _values(self, x: np.ndarray, channels: int) -> np.ndarray:
        found = self._julia().values(self.path, self.text, x.reshape(-1, x.shape[-1]), channels)
        return found.reshape(*x.shape[:-1], channels)

    def _derivatives(self, x: np.ndarray, channels: int) -> np.ndarray:
        states = x.reshape(-1, x.shape[-1])
        found = self._julia().derivatives(self.path, self.text, states, channels)
        return found.reshape(*x.shape[:-1], channels, x.shape[-1])

    def _in_torch(self, x: torch.Tensor) -> torch.Tensor:
        return _like(x, self._values(x.detach().cpu().numpy().astype(float), self._count()))

    def _adjoint_in_torch(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        rows = self._derivatives(x.detach().cpu().numpy().astype(float), v.shape[-1])
        return _like(x, np.einsum("...kd,...k->...d", rows, v.detach().cpu().numpy()))

    def _julia(self) -> ObservationFunctions:
        from pyvda.engine import get_engine  # starts Julia

        try:
            functions: ObservationFunctions = get_engine("julia").observation_functions  # type: ignore[attr-defined]
        except EngineError as error:
            raise EngineError(
                f"{self.path} is written in Julia, for each engine, and {error}; install Julia, or "
                "write the function in torch (observe.py:name) for the engine torch"
            ) from error
        return functions

    def _count(self) -> int:
        if self._channels is None:
            raise ValueError("call check(size, channels) first: torch does not say how many values")
        return self._channels


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):  # states of a window that diverges
        return np.asarray(a @ b)


def _like(x: torch.Tensor, values: np.ndarray) -> torch.Tensor:
    import torch

    return torch.as_tensor(values, dtype=x.dtype, device=x.device)
