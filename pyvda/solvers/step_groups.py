"""Networks on groups of steps: `every` consecutive steps become the channels of one point.

Observations come every few steps. A network with one point for each of these intervals costs a
fraction of a network on all steps, and its convolutions reach `every` times as far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.errors import InputError

_WAVES = 4
POSITION_CHANNELS = 2 * _WAVES


class StepGroups:
    """Windows (B, T, D) as grids of step groups and back.

    With one axis the components are channels too, (B, every · D, K); with two they are the second
    axis, (B, every, K, D). K = ⌈T / every⌉; the last group is padded with zeros.

    Parameters
    ----------
    every : int
        Steps of a group.
    dimension : int
        1, or 2 if the components form a periodic axis.
    """

    def __init__(self, every: int, dimension: int) -> None:
        if every < 1 or dimension not in (1, 2):
            raise InputError(
                f"groups of {every} steps on {dimension} axes, expected at least 1 step and 1 or 2 "
                "axes"
            )
        self.every = every
        self.dimension = dimension

    def channels(self, state_size: int, steps: int | None = None) -> int:
        """Return the channels of `steps` states (default: all steps of a group)."""
        steps = self.every if steps is None else steps
        return steps * state_size if self.dimension == 1 else steps

    def grid_points(self, steps: int, state_size: int) -> int:
        """Return the number of points in the grid of a window."""
        return -(-steps // self.every) * (1 if self.dimension == 1 else state_size)

    def split(self, x: Tensor) -> Tensor:
        """Return windows (B, T, D) as groups of states (B, K, every, D)."""
        steps = x.shape[1]
        count = -(-steps // self.every)
        if count * self.every != steps:
            x = F.pad(x, (0, 0, 0, count * self.every - steps))
        return x.unflatten(1, (count, self.every))

    def grid(self, groups: Tensor) -> Tensor:
        """Return groups of states (B, K, n, D) as a grid for a convolution."""
        if self.dimension == 1:
            return groups.flatten(2).transpose(1, 2)
        return groups.transpose(1, 2)

    def ungrid(self, grid: Tensor, state_size: int) -> Tensor:
        """Return the inverse of `grid`, (B, K, n, D)."""
        if self.dimension == 1:
            return grid.transpose(1, 2).unflatten(2, (-1, state_size))
        return grid.transpose(1, 2)

    def join(self, groups: Tensor, steps: int) -> Tensor:
        """Return windows (B, T, D) of `steps` steps from groups (B, K, every, D)."""
        return groups.flatten(1, 2)[:, :steps]

    def position(self, like: Tensor) -> Tensor:
        """Return sines and cosines of the position in the window, for a grid like `like`."""
        count = like.shape[2]
        at = torch.arange(count, device=like.device, dtype=like.dtype) / max(count - 1, 1)
        angles = math.pi * torch.arange(1, _WAVES + 1, device=like.device)[:, None] * at
        waves = torch.cat((angles.sin(), angles.cos()))
        waves = waves.reshape(1, POSITION_CHANNELS, count, *[1] * (like.ndim - 3))
        return waves.expand(len(like), -1, -1, *like.shape[3:])


class StepGroupNetwork(nn.Module):
    """A convolution, gated residual blocks h + a · σ(b) with (a, b) = conv(h), and a 1×1.

    The last layer starts at zero: at the start of training the output changes nothing.

    Parameters
    ----------
    inputs, outputs : int
        Channels in (position included) and out.
    width : int
        Channels inside.
    dilations : sequence of int
        Dilations of the blocks' convolutions, which have size 3 along every axis.
    dimension : int
        1 (time), or 2 (time, component) with a periodic second axis.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, dilations: Sequence[int], dimension: int
    ) -> None:
        super().__init__()
        self.width = width
        convolution = (nn.Conv1d, nn.Conv2d)[dimension - 1]
        self.first = convolution(inputs, width, 3)
        self.blocks = nn.ModuleList(
            convolution(width, 2 * width, 3, dilation=dilation) for dilation in dilations
        )
        self.last = convolution(width, outputs, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, grid: Tensor) -> Tensor:
        """Return (B, outputs, K[, D]) from (B, inputs, K[, D])."""
        h = F.relu(self.first(_padded(grid, 1)))
        for block in self.blocks:
            reach: int = block.dilation[0]  # type: ignore[index,assignment]
            h = h + F.glu(block(_padded(h, reach)), 1)
        result: Tensor = self.last(h)
        return result


def _padded(grid: Tensor, reach: int) -> Tensor:
    """Return the grid padded by zeros in time and periodically along the second axis."""
    if grid.ndim == 3:
        return F.pad(grid, (reach, reach))
    return F.pad(F.pad(grid, (reach, reach, 0, 0), mode="circular"), (0, 0, reach, reach))
