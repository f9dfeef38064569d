"""The arithmetic of GENN priors: Φ, its pullback, and the gradient of ½‖x − Φ(x)‖².

With u the patches of all positions, each scale of Φ is r = relu(W u) and a head y of r, with all
linear chains multiplied out (`heads.py`): three matrix products where the published form has seven
convolutions. `FoldedGENN` has this Φ and its pullback in torch operations, which autograd can
differentiate to any order.

`residual_gradient` is the same gradient as one operation with a backward of its own. The backward
of g = ∇ₓ ½‖x − Φ(x)‖² for a cotangent ḡ is the gradient of the number ḡ·g, that is of the
derivative of ½‖x − Φ‖² in the direction ḡ: a tangent pass forward, then one reverse pass. Windows
are taken in blocks that stay in the cache, and nothing of the inner gradient's graph is recorded.
On a CPU the Julia engine has the same, faster operation (`pyvda.kernels.operations`), for
convolutions over time or over time and component, with coarse cells in time only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.julia.kernels import GENNScales
from pyvda.kernels.operations import ResidualGradient, engine_for
from pyvda.priors.heads import Head, QuadraticHead
from pyvda.priors.linearise import Pullback
from pyvda.priors.patches import fold, gather, pool, pool_transpose, spread, unfold
from pyvda.priors.spacetime import SpaceTime

# Bytes of a block's widest layer on a CPU: small enough for the last-level cache, large enough that
# calls take less time than arithmetic.
_BLOCK_BYTES = 1 << 21


class Branch(NamedTuple):
    """One scale of Φ, multiplied out.

    Attributes
    ----------
    kernel : (features, C·Πtaps)
        W, the first layer, its centre tap zero.
    head : Head
        Maps features to outputs, C times the points of a cell.
    """

    kernel: Tensor
    head: Head

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """W and the two weights of the head."""
        return (self.kernel, *self.head)


class Layout(NamedTuple):
    """The geometry besides the weights: grid, taps, and each scale's coarse cells."""

    space: SpaceTime
    taps: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]


class FoldedGENN:
    """Φ of one or several scales with its linear chains multiplied out.

    Parameters
    ----------
    layout : Layout
        Grid, taps and cells.
    branches : sequence of Branch
        The weights of each scale.
    """

    def __init__(self, layout: Layout, branches: Sequence[Branch]) -> None:
        self.layout = layout
        self.branches = tuple(branches)

    def __call__(self, x: Tensor) -> Tensor:
        """Return Φ(x) of windows x."""
        return torch.cat([self._linearise(block)[0] for block in self._blocks(x)])

    def linearise(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return Φ(x) and the function r -> (∂Φ/∂x)ᵀ r."""
        blocks = self._blocks(x)
        values, pullbacks = zip(*map(self._linearise, blocks), strict=True)

        def pullback(r: Tensor) -> Tensor:
            parts = r.split([len(block) for block in blocks])
            return torch.cat([back(part) for back, part in zip(pullbacks, parts, strict=True)])

        return torch.cat(values), pullback

    def residual_gradient(self, x: Tensor) -> Tensor:
        """Return (I − ∂Φ/∂x)ᵀ (x − Φ(x)); it can be differentiated once."""
        weights = [weight for branch in self.branches for weight in branch.weights]
        x, layout = x.to(weights[0].dtype), self.layout
        engine = self.engine(x)
        result: Tensor
        if engine is not None:
            scales = self._scales()
            groups = self.layout.space.split(x).transpose(1, 2).contiguous()
            result = ResidualGradient.apply(groups, engine, scales, *weights).reshape(x.shape)
        else:
            heads = tuple(type(branch.head) for branch in self.branches)
            keep = torch.is_grad_enabled()
            result = _ResidualGradient.apply(x, layout, heads, keep, *weights)
        return result

    def engine(self, x: Tensor) -> JuliaEngine | None:
        """Return the engine that computes `residual_gradient` at x, None where torch does."""
        self.layout.space.split(x)  # refuses a wrong shape
        dimension, taps = self.layout.space.dimension, self.layout.taps
        in_time = all(factor == 1 for factors in self.layout.factors for factor in factors[1:])
        too_wide = self.layout.space.periodic and dimension == 2 and taps[1] // 2 > x.shape[2]
        if dimension > 2 or not in_time or too_wide:
            return None
        return engine_for(x, [weight for branch in self.branches for weight in branch.weights])

    def _scales(self) -> GENNScales:
        """Return the engine's description of the prior, without the weights."""
        space, taps = self.layout.space, self.layout.taps
        return GENNScales(
            taps=(taps[0], taps[1] if space.dimension == 2 else 1),
            periodic=space.periodic and space.dimension == 2,
            factors=[factors[0] for factors in self.layout.factors],
            quadratic=[isinstance(branch.head, QuadraticHead) for branch in self.branches],
        )

    def _blocks(self, x: Tensor) -> tuple[Tensor, ...]:
        self.layout.space.split(x)  # refuses a wrong shape
        return x.split(windows_in_block(self.layout.space, x, self.branches))

    def _linearise(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        grid = to_grid(self.layout.space, x)
        phi = torch.zeros_like(grid)
        states: list[tuple[Tensor, Tensor]] = []
        for branch, factors in zip(self.branches, self.layout.factors, strict=True):
            r = torch.relu(branch.kernel @ take_patches(self.layout, grid, factors))
            y, state = branch.head.value(r)
            phi = phi + spread(y, factors, grid.shape)
            states.append((r, state))

        def pullback(cotangent: Tensor) -> Tensor:
            v = to_grid(self.layout.space, cotangent)
            back = torch.zeros_like(v)
            for branch, factors, (r, state) in zip(
                self.branches, self.layout.factors, states, strict=True
            ):
                dr = branch.head.reverse(r, state, gather(v, factors))
                columns = branch.kernel.T @ through_relu(dr, r)
                back = back + put_patches(self.layout, columns, factors, v.shape)
            return from_grid(self.layout.space, back)

        return from_grid(self.layout.space, phi), pullback


class _ResidualGradient(torch.autograd.Function):
    """g = (I − ∂Φ/∂x)ᵀ (x − Φ(x)) of windows x, and its backward (see the top of this file)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        layout: Layout,
        heads: tuple[type[Head], ...],
        keep: bool,
        *weights: Tensor,
    ) -> Tensor:
        ctx.layout, ctx.heads = layout, heads
        branches = _branches(heads, weights)
        ctx.block = windows_in_block(layout.space, x, branches)
        saved: list[Tensor] = []
        parts = []
        # Under autocast too: a half-precision gradient would steer the solver by its rounding.
        with torch.autocast(x.device.type, enabled=False):
            for block in x.split(ctx.block):
                v = grid = to_grid(layout.space, block)
                states = []
                for branch, factors in zip(branches, layout.factors, strict=True):
                    r = torch.mm(branch.kernel, take_patches(layout, grid, factors)).relu_()
                    y, state = branch.head.value(r)
                    v = v - spread(y, factors, grid.shape)
                    states.append((r, state))
                g = v
                for branch, factors, (r, state) in zip(
                    branches, layout.factors, states, strict=True
                ):
                    da = through_relu(branch.head.reverse(r, state, gather(v, factors)), r)
                    g = g - put_patches(layout, branch.kernel.T @ da, factors, v.shape)
                    if keep:
                        saved += [r, state, da]
                if keep:
                    saved.append(v)
                parts.append(from_grid(layout.space, g))
        ctx.save_for_backward(x, *weights, *saved)
        return torch.cat(parts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        count = 3 * len(ctx.heads)
        x, *rest = ctx.saved_tensors
        saved = iter(rest[count:])
        branches = _branches(ctx.heads, rest[:count])
        trained = any(ctx.needs_input_grad[4:])
        sums = [tuple(map(torch.zeros_like, branch.weights)) for branch in branches]
        parts = []
        blocks = zip(x.split(ctx.block), cotangent.split(ctx.block), strict=True)
        for block, cotangent_block in blocks:
            grid = to_grid(layout.space, block)
            direction = to_grid(layout.space, cotangent_block)
            states = [(next(saved), next(saved), next(saved)) for _ in branches]
            v = next(saved)
            # The tangent pass: v̄ = ∂(ḡ·g)/∂v, with v = x − Φ(x) the residual.
            v_bar = direction
            tangents = []
            for branch, factors, total, (r, state, da) in zip(
                branches, layout.factors, sums, states, strict=True
            ):
                patches = take_patches(layout, direction, factors)
                r_dot = through_relu(branch.kernel @ patches, r)
                y_dot, tangent = branch.head.tangent(r, state, r_dot)
                v_bar = v_bar - spread(y_dot, factors, grid.shape)
                tangents.append((r_dot, tangent))
                if trained:
                    total[0].addmm_(da, patches.T)
            # The reverse pass: ḡ·g has −v̄·Φ and −v·(∂Φ/∂x) ḡ, whose sign is applied at the end.
            x_bar = v_bar
            for branch, factors, total, (r, state, _), (r_dot, tangent) in zip(
                branches, layout.factors, sums, states, tangents, strict=True
            ):
                values, values_bar = gather(v, factors), gather(v_bar, factors)
                dr = branch.head.second(
                    r, state, r_dot, tangent, values, values_bar, total[1:] if trained else None
                )
                da = through_relu(dr, r)
                x_bar = x_bar - put_patches(layout, branch.kernel.T @ da, factors, grid.shape)
                if trained:
                    total[0].addmm_(da, take_patches(layout, grid, factors).T)
            parts.append(from_grid(layout.space, x_bar))
        totals = [-weight if trained else None for total in sums for weight in total]
        return torch.cat(parts), None, None, None, *totals


def _branches(heads: Sequence[type[Head]], weights: Sequence[Tensor]) -> list[Branch]:
    """Return the scales from their weights, three each."""
    return [
        Branch(weights[3 * i], head(weights[3 * i + 1], weights[3 * i + 2]))
        for i, head in enumerate(heads)
    ]


def to_grid(space: SpaceTime, x: Tensor) -> Tensor:
    """Return windows (B, T, …) as channel-major grids (C, B, *axes)."""
    return space.split(x).transpose(0, 1)


def from_grid(space: SpaceTime, grid: Tensor) -> Tensor:
    """Return channel-major grids as windows."""
    return space.join(grid.transpose(0, 1))


def take_patches(layout: Layout, grid: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the patches of every position of the grid, or of its cells."""
    half = [taps // 2 for taps in layout.taps]
    return unfold(layout.space.pad(pool(grid, factors), half).contiguous(), layout.taps)


def put_patches(
    layout: Layout, columns: Tensor, factors: Sequence[int], shape: Sequence[int]
) -> Tensor:
    """Return the transpose of `take_patches` from grids of `shape`."""
    half = [taps // 2 for taps in layout.taps]
    channels, windows, *axes = shape
    cells = [-(-size // factor) for size, factor in zip(axes, factors, strict=True)]
    padded = (channels, windows, *(n + 2 * h for n, h in zip(cells, half, strict=True)))
    return pool_transpose(
        layout.space.unpad(fold(columns, layout.taps, padded), half), factors, axes
    )


def through_relu(cotangent: Tensor, output: Tensor) -> Tensor:
    """Return the cotangent where the ReLU's output is positive, else 0."""
    # One pass over memory; comparing and multiplying by booleans takes ten times as long.
    return torch.ops.aten.threshold_backward(cotangent, output, 0)


def windows_in_block(space: SpaceTime, x: Tensor, branches: Sequence[Branch]) -> int:
    """Return how many windows to process at once."""
    if x.device.type != "cpu":
        return max(1, len(x))
    widest = max(max(weight.shape) for branch in branches for weight in branch.head)
    positions = math.prod(x.shape[1:]) // space.grid_channels
    return max(1, _BLOCK_BYTES // max(1, widest * positions * x.element_size()))
