"""Linear maps between grids and matrices, each beside its transpose.

Grids are channel-major here, (C, B, *axes), so that a convolution is one matrix product
(features, taps) × (taps, positions) over the positions of all windows of a block. A matrix of
patches is built and used while it is in the processor's cache, which is faster than the library's
own convolutions for the single input channel of the learned priors, above all in the backward pass.

    unfold  <->  fold             every position with its neighbours
    pool    <->  pool_transpose   mean over cells of a coarser grid
    spread  <->  gather           cells of a coarser grid with the values of all their points
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def unfold(padded: Tensor, taps: Sequence[int]) -> Tensor:
    """Return (C·Πtaps, B·Πaxes): the patch of each position of grids padded by taps // 2."""
    return _Unfold.apply(padded, tuple(taps))


def fold(columns: Tensor, taps: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return padded grids of `shape`, (C, B, *axes): every patch added where it was taken."""
    return _Fold.apply(columns, tuple(taps), tuple(shape))


class _Unfold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, taps: tuple[int, ...]) -> Tensor:
        ctx.taps, ctx.shape = taps, padded.shape
        axes = [n - k + 1 for n, k in zip(padded.shape[2:], taps, strict=True)]
        channel, window, *steps = padded.stride()
        view = padded.as_strided(
            (padded.shape[0], *taps, padded.shape[1], *axes), (channel, *steps, window, *steps)
        )
        return view.reshape(padded.shape[0] * math.prod(taps), -1)

    @staticmethod
    def backward(ctx: Any, columns: Tensor) -> tuple[Tensor, None]:
        return fold(columns, ctx.taps, ctx.shape), None


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, columns: Tensor, taps: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
        ctx.taps = taps
        axes = [n - k + 1 for n, k in zip(shape[2:], taps, strict=True)]
        grid = columns.view(shape[0], *taps, shape[1], *axes)
        # One axis after the other: k1 + k2 additions of slices instead of k1 · k2.
        for axis, k in enumerate(taps):
            where = grid.ndim - len(taps) + axis - 1
            wanted = list(grid.select(1, 0).shape)
            wanted[where] = shape[2 + axis]
            result = grid.new_zeros(wanted)
            for tap in range(k):
                result.narrow(where, tap, axes[axis]).add_(grid.select(1, tap))
            grid = result
        return grid

    @staticmethod
    def backward(ctx: Any, padded: Tensor) -> tuple[Tensor, None, None]:
        return unfold(padded, ctx.taps), None, None


def pool(grid: Tensor, factors: Sequence[int]) -> Tensor:
    """Return means over cells of `factors` points; an incomplete last cell averages what it has."""
    for axis, factor in enumerate(factors, start=2):
        if factor == 1:
            continue
        cells, scale = _cells(grid, axis, grid.shape[axis], factor)
        padded = _extend(grid, axis, cells * factor)
        grid = padded.unflatten(axis, (cells, factor)).sum(axis + 1) * scale
    return grid


def pool_transpose(coarse: Tensor, factors: Sequence[int], axes: Sequence[int]) -> Tensor:
    """Return the transpose of `pool` from grids of the sizes `axes`."""
    for axis, (factor, size) in enumerate(zip(factors, axes, strict=True), start=2):
        if factor == 1:
            continue
        _, scale = _cells(coarse, axis, size, factor)
        coarse = (coarse * scale).repeat_interleave(factor, axis).narrow(axis, 0, size)
    return coarse


def spread(values: Tensor, factors: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return grids of `shape` (C, B, *axes) from (C·Πfactors, cells): all points of each cell."""
    channels, windows, *axes = shape
    n = len(axes)
    cells = [-(-size // factor) for size, factor in zip(axes, factors, strict=True)]
    grid = values.reshape(channels, *factors, windows, *cells)
    order = [0, n + 1]
    for axis in range(n):
        order += [n + 2 + axis, 1 + axis]
    grid = grid.permute(order).reshape(
        channels, windows, *(c * f for c, f in zip(cells, factors, strict=True))
    )
    for axis, size in enumerate(axes, start=2):
        grid = grid.narrow(axis, 0, size)
    return grid


def gather(grid: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the transpose of `spread`, (C·Πfactors, cells)."""
    n = len(factors)
    channels, windows, *axes = grid.shape
    cells = [-(-size // factor) for size, factor in zip(axes, factors, strict=True)]
    split: list[int] = []
    for axis, (cell, factor) in enumerate(zip(cells, factors, strict=True), start=2):
        grid = _extend(grid, axis, cell * factor)
        split += [cell, factor]
    grid = grid.reshape(channels, windows, *split)
    order = [0] + [3 + 2 * axis for axis in range(n)] + [1] + [2 + 2 * axis for axis in range(n)]
    return grid.permute(order).reshape(channels * math.prod(factors), -1)


def _cells(like: Tensor, axis: int, size: int, factor: int) -> tuple[int, Tensor]:
    """Return the number of cells of `factor` points, and one over the points each has."""
    cells = -(-size // factor)
    points = torch.full((cells,), factor, dtype=like.dtype, device=like.device)
    points[-1] = size - (cells - 1) * factor
    return cells, (1.0 / points).reshape(-1, *[1] * (like.ndim - axis - 1))


def _extend(grid: Tensor, axis: int, size: int) -> Tensor:
    """Return the grid with zeros up to `size` points along `axis`."""
    missing = size - grid.shape[axis]
    return F.pad(grid, [0, 0] * (grid.ndim - axis - 1) + [0, missing]) if missing else grid
