"""Convolutions of the learned solvers, which preserve the size of their grids.

With few channels a library convolution spends most of its time on overhead. On a CPU a convolution,
or a `Chain` of them, is therefore one operation of the Julia engine; without that engine it is the
product of its weights with a matrix of patches, built for one block of windows at a time so that it
stays in the cache, in the backward pass too. On other devices, and under autocast, torch's own
convolution is used.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.engine.julia.engine import JuliaEngine
from pyvda.kernels.operations import Convolutions, engine_for
from pyvda.priors.patches import fold, unfold
from pyvda.priors.spacetime import SpaceTime

# Bytes of the patches of one block.
_BLOCK_BYTES = 1 << 21


class Convolution(nn.Module):
    """A convolution over the axes of `space`, (C, B, *axes) to (outputs, B, *axes).

    Parameters
    ----------
    space : SpaceTime
        Axes and edges.
    inputs, outputs : int
        Channels in and out.
    width : int
        Odd size of the kernel along every axis.
    bias : bool
        Whether to add one number per channel.
    relu : bool
        Whether to end with a ReLU.
    """

    def __init__(
        self,
        space: SpaceTime,
        inputs: int,
        outputs: int,
        width: int,
        bias: bool = False,
        relu: bool = False,
    ) -> None:
        super().__init__()
        module = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[space.dimension - 1]
        like = module(inputs, outputs, width, bias=bias)
        self.weight, self.bias = like.weight, like.bias
        self.space = space
        self.width = width
        self.relu = relu

    def forward(self, grid: Tensor) -> Tensor:
        """Return (outputs, B, *axes) from channel-major grids (inputs, B, *axes)."""
        device = grid.device.type
        if device == "cpu" and not torch.is_autocast_enabled(device):
            grid = grid.to(self.weight.dtype)
            engine = self.engine(grid)
            if self.space.dimension == 1 and self.width == 1 and self.bias is None:
                mixed = F.linear(grid.permute(1, 2, 0), self.weight.flatten(1)).permute(2, 0, 1)
                return mixed.relu() if self.relu else mixed
            fused = self.relu and self.bias is None
            result: Tensor
            if engine is not None:
                result = _on_engine(engine, grid, [self], (fused,))
            else:
                result = _Convolve.apply(grid, self.weight, self.space, fused)
            if self.bias is not None:
                result = result + self.bias.reshape(-1, *[1] * (grid.ndim - 1))
            return result.relu() if self.relu and not fused else result
        reach = (self.width // 2,) * self.space.dimension
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.space.dimension - 1]
        padded = self.space.pad(grid, reach).transpose(0, 1)
        result = convolve(padded, self.weight, self.bias).transpose(0, 1)
        return result.relu() if self.relu else result

    def engine(self, grid: Tensor) -> JuliaEngine | None:
        """Return the engine that computes this for such grids; None if torch does."""
        return _engine(grid, [self])


class Chain(nn.Sequential):
    """Convolutions applied one after another."""

    def forward(self, grid: Tensor) -> Tensor:
        """Return (outputs, B, *axes) from channel-major grids (inputs, B, *axes)."""
        engine = self.engine(grid)
        if engine is None:
            return super().forward(grid)
        layers = self._layers()
        return _on_engine(engine, grid, layers, tuple(layer.relu for layer in layers))

    def engine(self, grid: Tensor) -> JuliaEngine | None:
        """Return the engine that computes this for such grids; None if torch does."""
        layers = self._layers()
        if any(layer.bias is not None for layer in layers):
            return None
        return _engine(grid, layers)

    def _layers(self) -> list[Convolution]:
        return list(self)  # type: ignore[arg-type]


def _engine(grid: Tensor, layers: list[Convolution]) -> JuliaEngine | None:
    """Return the engine that computes these convolutions; None if torch does."""
    space = layers[0].space
    reach = max(layer.width // 2 for layer in layers)
    too_wide = space.dimension == 2 and space.periodic and reach > grid.shape[-1]
    if space.dimension > 2 or too_wide or torch.is_autocast_enabled("cpu"):
        return None
    return engine_for(grid, [layer.weight for layer in layers])


def _on_engine(
    engine: JuliaEngine, grid: Tensor, layers: list[Convolution], relus: tuple[bool, ...]
) -> Tensor:
    space = layers[0].space
    weights = [layer.weight for layer in layers]
    periodic = space.dimension == 2 and space.periodic
    result: Tensor = Convolutions.apply(grid.movedim(0, -1), engine, relus, periodic, *weights)
    return result.movedim(-1, 0)


class _Convolve(torch.autograd.Function):
    """Weights times patches, block by block, with an optional ReLU; backward rebuilds patches."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, weight: Tensor, space: SpaceTime, relu: bool) -> Tensor:
        ctx.space, ctx.relu = space, relu
        result = grid.new_empty(len(weight), *grid.shape[1:])
        for block, part in _blocks(grid, result, max(_matrix(weight).shape)):
            product = _convolve(space, block, weight)
            part.copy_(product.relu_() if relu else product)
        ctx.save_for_backward(grid, weight, result if relu else grid)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grid, weight, result = ctx.saved_tensors
        if ctx.relu:
            cotangent = torch.ops.aten.threshold_backward(cotangent, result, 0)
        taps = weight.shape[2:]
        matrix = _matrix(weight)
        wanted_grid, wanted_weight = ctx.needs_input_grad[:2]
        total = torch.zeros_like(matrix)
        back = torch.empty_like(grid) if wanted_grid else grid
        columns = max(matrix.shape)
        for (block, part), (_, target) in zip(
            _blocks(grid, cotangent, columns), _blocks(grid, back, columns), strict=True
        ):
            if _narrows(weight):
                patches = _patches(ctx.space, part, taps)
                if wanted_weight:
                    total.addmm_(patches, block.reshape(len(block), -1).T)
                if wanted_grid:
                    target.copy_((matrix.T @ patches).view(target.shape))
            else:
                flat = part.reshape(len(weight), -1)
                if wanted_weight:
                    total.addmm_(flat, _patches(ctx.space, block, taps).T)
                if wanted_grid:
                    target.copy_(_put_patches(ctx.space, matrix.T @ flat, block, taps))
        return (
            back if wanted_grid else None,
            _weight(total, weight.shape) if wanted_weight else None,
            None,
            None,
        )


def _narrows(weight: Tensor) -> bool:
    """Return whether there are fewer channels out than in.

    If so, every input point is multiplied and the products are added to the outputs they contribute
    to, so that the wide matrix has the few output channels times the taps.
    """
    return weight.shape[0] < weight.shape[1]


def _matrix(weight: Tensor) -> Tensor:
    """Return the kernels (outputs, inputs, *taps) as the matrix of the form chosen."""
    if not _narrows(weight):
        return weight.flatten(1)
    # (outputs · Πtaps, inputs): point s adds to point t by the tap s − t, so the taps are reversed.
    return weight.flip(*range(2, weight.ndim)).movedim(1, -1).flatten(0, -2)


def _weight(matrix: Tensor, shape: torch.Size) -> Tensor:
    """Return the inverse of `_matrix`."""
    if shape[0] >= shape[1]:
        return matrix.reshape(shape)
    turned = matrix.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)
    return turned.flip(*range(2, len(shape)))


def _convolve(space: SpaceTime, grid: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution of a block of windows."""
    taps = weight.shape[2:]
    if _narrows(weight):
        return _put_patches(space, _matrix(weight) @ grid.reshape(len(grid), -1), grid, taps)
    return torch.mm(_matrix(weight), _patches(space, grid, taps)).view(-1, *grid.shape[1:])


def _patches(space: SpaceTime, grid: Tensor, taps: torch.Size) -> Tensor:
    if all(k == 1 for k in taps):
        return grid.reshape(len(grid), -1)
    return unfold(space.pad(grid, [k // 2 for k in taps]).contiguous(), taps)


def _put_patches(space: SpaceTime, columns: Tensor, like: Tensor, taps: torch.Size) -> Tensor:
    """Return the transpose of `_patches` from grids of the windows and axes of `like`."""
    channels = len(columns) // math.prod(taps)
    if all(k == 1 for k in taps):
        return columns.view(channels, *like.shape[1:])
    reach = [k // 2 for k in taps]
    axes = (n + 2 * h for n, h in zip(like.shape[2:], reach, strict=True))
    return space.unpad(fold(columns, taps, (channels, like.shape[1], *axes)), reach)


def _blocks(grid: Tensor, other: Tensor, columns: int) -> Any:
    """Return pairs of blocks of windows of two channel-major grids."""
    window = columns * math.prod(grid.shape[2:]) * grid.element_size()
    count = max(1, _BLOCK_BYTES // max(1, window))
    return zip(grid.split(count, 1), other.split(count, 1), strict=True)
