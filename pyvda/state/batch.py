"""The arrays of one assimilation problem, as costs and solvers use them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.operators.function import Channels
from pyvda.operators.points import Points

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Observations of W windows of T steps with D components; numpy arrays or torch tensors.

    Fields on a grid, (W, T, Y, X), are for learned priors and the solvers of `pyvda.solvers`; the
    methods of `pyvda.assimilate` take states of components.

    Attributes
    ----------
    observation : (W, T, D) or (W, T, Y, X)
        Observed values in the state's units; 0 where nothing was observed, never NaN.
    mask : as observation
        0 where nothing was observed, else the weight of the datum: 1, or the reference error
        variance divided by the datum's own.
    first_guess : as observation
        Where solvers start, x⁽⁰⁾.
    truth : as observation, optional
        The true states of a twin experiment, used only by scores and supervised training.
    points : Points, optional
        Observations at arbitrary times; numpy arrays. Only some methods accept them.
    channels : Channels, optional
        Observations of a function of the state at its steps; numpy arrays. Only some methods accept
        them.
    """

    observation: Array
    mask: Array
    first_guess: Array
    truth: Array | None = None
    points: Points | None = None
    channels: Channels | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.observation.shape)
        if len(shape) not in (3, 4):
            raise ValueError(
                f"observation has shape {shape}, expected (window, time, state) or "
                "(window, time, y, x)"
            )
        for name in ("mask", "first_guess", "truth"):
            array = getattr(self, name)
            if array is not None and tuple(array.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(array.shape)}, expected {shape}")

    def expect_components(self, who: str) -> None:
        """Raise InputError for fields on a grid, because `who` requires states of components."""
        shape = tuple(self.observation.shape)
        if len(shape) != 3:
            raise InputError(
                f"the observations have shape {shape}, {who} expects (window, time, state); give "
                "each window's state as one axis of components"
            )

    def __len__(self) -> int:
        return int(self.observation.shape[0])

    def __getitem__(self, windows: Any) -> Batch:
        """Return the chosen windows (a slice, or an array of indices or booleans)."""
        points = None if self.points is None else self.points[windows]
        channels = None if self.channels is None else self.channels[windows]
        chosen = self._map(lambda array: array[windows])
        return replace(chosen, points=points, channels=channels)

    def to(self, device: Any = None, dtype: Any = None) -> Batch:
        """Return the batch as torch tensors, without points and channels."""
        import torch

        return self._map(lambda array: torch.as_tensor(array, device=device, dtype=dtype))

    def _map(self, f: Any) -> Batch:
        truth = None if self.truth is None else f(self.truth)
        return Batch(f(self.observation), f(self.mask), f(self.first_guess), truth)
