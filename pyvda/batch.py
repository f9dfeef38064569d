"""The arrays of one assimilation problem: what a cost needs and a solver gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.points import Points

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Observations of W windows of T steps with D components; numpy arrays or torch tensors.

    Attributes
    ----------
    observation : (W, T, D)
        Observed values in the state's units; 0 where nothing was observed, never NaN.
    mask : (W, T, D)
        0 where nothing was observed, else the weight of the datum: 1, or the reference error
        variance divided by the datum's own.
    first_guess : (W, T, D)
        Where solvers start, x⁽⁰⁾.
    truth : (W, T, D), optional
        The true states of a twin experiment; only scores and supervised training look at it.
    points : Points, optional
        Further data, at arbitrary times; numpy arrays. Only some methods take them.
    """

    observation: Array
    mask: Array
    first_guess: Array
    truth: Array | None = None
    points: Points | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.observation.shape)
        if len(shape) != 3:
            raise ValueError(f"observation has shape {shape}, expected (window, time, state)")
        for name in ("mask", "first_guess", "truth"):
            array = getattr(self, name)
            if array is not None and tuple(array.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(array.shape)}, expected {shape}")

    def __len__(self) -> int:
        return int(self.observation.shape[0])

    def __getitem__(self, windows: Any) -> Batch:
        """Return the chosen windows (a slice, or an array of indices or booleans)."""
        points = None if self.points is None else self.points[windows]
        return replace(self._map(lambda array: array[windows]), points=points)

    def to(self, device: Any = None, dtype: Any = None) -> Batch:
        """Return the same batch as torch tensors on `device` with `dtype`; points stay behind."""
        import torch

        return self._map(lambda array: torch.as_tensor(array, device=device, dtype=dtype))

    def _map(self, f: Any) -> Batch:
        truth = None if self.truth is None else f(self.truth)
        return Batch(f(self.observation), f(self.mask), f(self.first_guess), truth)
