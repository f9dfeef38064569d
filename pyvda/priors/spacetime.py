"""Windows as grids: channels, axes and edges for convolutions.

The learned priors and solvers work on three layouts of a window:

    dimension 1   (B, T, D)      convolution over time, the D components are channels
    dimension 2   (B, T, D)      convolution over (time, component), one channel
    dimension 3   (B, T, Y, X)   convolution over (time, y, x), one channel

Beyond its edges a window is zero in time, and periodic or zero along the other axes.

With `every` > 1, groups of `every` consecutive steps become channels as well, and the first axis of
a grid counts groups: a convolution then costs a fraction of one over all steps, and reaches `every`
times as far. Observations that come every `every` steps have channels of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pyvda.errors import InputError


@dataclass(frozen=True)
class SpaceTime:
    """The layout of windows for convolutions.

    Attributes
    ----------
    channels : int
        C: the state size for dimension 1, else 1.
    dimension : int
        Number of axes the convolutions run over: 1, 2 or 3.
    periodic : bool
        Whether the axes other than time are circles.
    every : int
        Steps of a group; the number of steps of a window must be a multiple of it.
    """

    channels: int
    dimension: int = 1
    periodic: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        if self.dimension not in (1, 2, 3):
            raise InputError(f"dimension is {self.dimension}, expected 1, 2 or 3")
        if self.every < 1:
            raise InputError(f"every is {self.every}, expected at least 1 step in a group")
        if self.channels < 1:
            raise InputError(f"channels is {self.channels}, expected at least 1")
        if self.dimension > 1 and self.channels != 1:
            raise InputError(
                f"channels is {self.channels} with dimension {self.dimension}, expected 1; only "
                "with dimension 1 are the components channels"
            )

    @property
    def grid_channels(self) -> int:
        """Channels of a grid, every · C."""
        return self.every * self.channels

    def split(self, x: Tensor) -> Tensor:
        """Return windows (B, T, …) as grids (B, every · C, T / every, *axes)."""
        self._check(x)
        groups = x.unflatten(1, (-1, self.every))
        return groups.flatten(2).transpose(1, 2) if self.dimension == 1 else groups.transpose(1, 2)

    def join(self, grid: Tensor) -> Tensor:
        """Return grids (B, every · C, T / every, *axes) as windows (B, T, …)."""
        groups = grid.transpose(1, 2)
        if self.dimension == 1:
            groups = groups.unflatten(2, (self.every, -1))
        return groups.flatten(1, 2)

    def pad(self, grid: Tensor, half: Sequence[int]) -> Tensor:
        """Return grids (…, *axes) with half[a] more points at both ends of each axis a."""
        if self.periodic and self.dimension > 1:
            for axis in range(1, self.dimension):
                where = grid.ndim - self.dimension + axis
                if half[axis] > grid.shape[where]:
                    raise InputError(
                        f"the convolution reaches {half[axis]} points around a circle of "
                        f"{grid.shape[where]}; use a smaller width"
                    )
                grid = _wrap(grid, where, half[axis])
            half = [half[0]] + [0] * (self.dimension - 1)
        widths = [n for h in reversed(half) for n in (h, h)]
        return F.pad(grid, widths) if any(widths) else grid

    def unpad(self, padded: Tensor, half: Sequence[int]) -> Tensor:
        """Return the transpose of `pad`: padded values are added back to the points they copy."""
        start = padded.ndim - self.dimension
        for axis in range(self.dimension):
            h, where = half[axis], start + axis
            if not h:
                continue
            n = padded.shape[where] - 2 * h
            inside = padded.narrow(where, h, n)
            if self.periodic and axis > 0:
                inside = inside.clone()
                inside.narrow(where, n - h, h).add_(padded.narrow(where, 0, h))
                inside.narrow(where, 0, h).add_(padded.narrow(where, n + h, h))
            padded = inside
        return padded

    def _check(self, x: Tensor) -> None:
        ndim = 3 if self.dimension < 3 else 4
        if x.ndim != ndim or (self.dimension == 1 and x.shape[2] != self.channels):
            names = {1: f"(window, time, {self.channels})", 2: "(window, time, state)"}
            raise InputError(
                f"the windows have shape {tuple(x.shape)}, expected "
                f"{names.get(self.dimension, '(window, time, y, x)')}; this module expects "
                f"{self.channels} channels and convolutions over {self.dimension} axes"
            )
        if x.shape[1] % self.every:
            raise InputError(
                f"the windows have {x.shape[1]} steps, expected a multiple of {self.every}, "
                "because this module groups that many steps; choose another window length"
            )


def _wrap(grid: Tensor, axis: int, half: int) -> Tensor:
    if not half:
        return grid
    n = grid.shape[axis]
    return torch.cat((grid.narrow(axis, n - half, half), grid, grid.narrow(axis, 0, half)), axis)
