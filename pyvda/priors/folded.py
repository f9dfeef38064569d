"""The arithmetic of GENN priors: Φ, its pullback, and the gradient of ½‖x − Φ(x)‖².

Everything after the first layer's ReLU is linear but for one product, so all its 1×1 convolutions
are multiplied out once per solve, before the iterations. With u the patches of all positions, each
scale of Φ is then

    r = relu(W u),   (p, q, l) = M r,   y = O (p q) + l,

three matrix products (the published form has seven convolutions). `FoldedGENN` has this Φ and its
pullback in torch operations, which autograd can differentiate to any order.

`residual_gradient` is the same gradient as one operation with a backward of its own. The backward
of g = ∇ₓ ½‖x − Φ(x)‖² for a cotangent ḡ is the gradient of the number ḡ·g, that is of the
derivative of ½‖x − Φ‖² in the direction ḡ: a tangent pass forward, then one reverse pass. Windows
are taken in blocks that stay in the cache, and nothing of the inner gradient's graph is
recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyvda.priors.linearise import Pullback
from pyvda.priors.patches import fold, gather, pool, pool_transpose, spread, unfold
from pyvda.priors.spacetime import SpaceTime

# What the widest layer of a block may take on a CPU: small enough for the last cache, large enough
# that the calls take less time than the arithmetic.
_BLOCK_BYTES = 1 << 21


class Branch(NamedTuple):
    """One scale of Φ, multiplied out.

    Attributes
    ----------
    kernel : (features, C·Πtaps)
        W, the first layer, its centre tap zero.
    mix : (2·latent + outputs, features)
        M, rows of p, q and l; outputs is C times the points of a cell.
    product : (outputs, latent)
        O.
    """

    kernel: Tensor
    mix: Tensor
    product: Tensor


class Layout(NamedTuple):
    """What the arithmetic must know besides the weights: grid, taps, and each scale's cells."""

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
        weights = [weight for branch in self.branches for weight in branch]
        return _ResidualGradient.apply(x.to(weights[0].dtype), self.layout, *weights)

    def _blocks(self, x: Tensor) -> tuple[Tensor, ...]:
        self.layout.space.split(x)  # refuses a wrong shape
        return x.split(windows_in_block(self.layout.space, x, self.branches))

    def _linearise(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        grid = to_grid(self.layout.space, x)
        phi = torch.zeros_like(grid)
        states: list[tuple[Tensor, Tensor, Tensor]] = []
        for branch, factors in zip(self.branches, self.layout.factors, strict=True):
            patches = take_patches(self.layout, grid, factors)
            r = torch.relu(branch.kernel @ patches)
            p, q, linear = _three(branch, branch.mix @ r)
            phi = phi + spread(branch.product @ (p * q) + linear, factors, grid.shape)
            states.append((r, p, q))

        def pullback(cotangent: Tensor) -> Tensor:
            v = to_grid(self.layout.space, cotangent)
            back = torch.zeros_like(v)
            for branch, factors, (r, p, q) in zip(
                self.branches, self.layout.factors, states, strict=True
            ):
                values = gather(v, factors)
                s = branch.product.T @ values
                dr = branch.mix.T @ torch.cat((s * q, s * p, values))
                columns = branch.kernel.T @ through_relu(dr, r)
                back = back + put_patches(self.layout, columns, factors, v.shape)
            return from_grid(self.layout.space, back)

        return from_grid(self.layout.space, phi), pullback


class _ResidualGradient(torch.autograd.Function):
    """g = (I − ∂Φ/∂x)ᵀ (x − Φ(x)) of windows x, and its backward (see the top of this file)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout, *weights: Tensor) -> Tensor:
        # Under autocast too: a half-precision gradient would steer the solver by its rounding.
        with torch.autocast(x.device.type, enabled=False):
            return _ResidualGradient._forward(ctx, x, layout, *weights)

    @staticmethod
    def _forward(ctx: Any, x: Tensor, layout: Layout, *weights: Tensor) -> Tensor:
        branches = [Branch(*weights[i : i + 3]) for i in range(0, len(weights), 3)]
        ctx.layout = layout
        ctx.block = windows_in_block(layout.space, x, branches)
        saved: list[Tensor] = []
        parts = []
        for block in x.split(ctx.block):
            grid = to_grid(layout.space, block)
            v = grid
            states = []
            for branch, factors in zip(branches, layout.factors, strict=True):
                r = torch.mm(branch.kernel, take_patches(layout, grid, factors)).relu_()
                m = branch.mix @ r
                p, q, linear = _three(branch, m)
                v = v - spread(linear.addmm(branch.product, p * q), factors, grid.shape)
                states.append((r, m))
            g = v
            for branch, factors, (r, m) in zip(branches, layout.factors, states, strict=True):
                da = _reverse_head(branch, r, m, gather(v, factors))[0]
                g = g - put_patches(layout, branch.kernel.T @ da, factors, v.shape)
                saved += [r, m, da]
            saved.append(v)
            parts.append(from_grid(layout.space, g))
        ctx.save_for_backward(x, *weights, *saved)
        return torch.cat(parts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        scales = len(layout.factors)
        x, *rest = ctx.saved_tensors
        weights, saved = rest[: 3 * scales], iter(rest[3 * scales :])
        branches = [Branch(*weights[i : i + 3]) for i in range(0, len(weights), 3)]
        trained = any(ctx.needs_input_grad[2:])
        sums = [Branch(*map(torch.zeros_like, branch)) for branch in branches]
        parts = []
        blocks = zip(x.split(ctx.block), cotangent.split(ctx.block), strict=True)
        for block, cotangent_block in blocks:
            grid = to_grid(layout.space, block)
            direction = to_grid(layout.space, cotangent_block)
            states = [(next(saved), next(saved), next(saved)) for _ in branches]
            v = next(saved)
            # The tangent pass: ∂(ḡ·g)/∂v, with v the residual, and what p and q get from it.
            v_bar = direction
            tangents = []
            for branch, factors, total, (r, m, da) in zip(
                branches, layout.factors, sums, states, strict=True
            ):
                patches = take_patches(layout, direction, factors)
                r_dot = through_relu(branch.kernel @ patches, r)
                m_dot = torch.mm(branch.mix, r_dot)
                p, q, _ = _three(branch, m)
                p_dot, q_dot, l_dot = _three(branch, m_dot)
                values = gather(v, factors)
                s = branch.product.T @ values
                s_bar = (p_dot * q).addcmul_(q_dot, p)
                v_bar = v_bar - spread(l_dot.addmm(branch.product, s_bar), factors, grid.shape)
                if trained:
                    total.kernel.addmm_(da, patches.T, alpha=-1)
                    dm = torch.cat((s * q, s * p, values))
                    total.mix.addmm_(dm, r_dot.T, alpha=-1)
                    total.product.addmm_(values, s_bar.T, alpha=-1)
                # Minus ∂(ḡ·g)/∂p and /∂q, as the cotangent of Φ is minus that of v.
                tangents.append((s * q_dot, s * p_dot))
            # The reverse pass through v = x − Φ(x).
            x_bar = v_bar
            for branch, factors, total, (r, m, _), (p_bar, q_bar) in zip(
                branches, layout.factors, sums, states, tangents, strict=True
            ):
                values = gather(v_bar, factors)
                da, dm = _reverse_head(branch, r, m, values, p_bar, q_bar)
                x_bar = x_bar - put_patches(layout, branch.kernel.T @ da, factors, grid.shape)
                if trained:
                    p, q, _ = _three(branch, m)
                    patches = take_patches(layout, grid, factors)
                    total.kernel.addmm_(da, patches.T, alpha=-1)
                    total.mix.addmm_(dm, r.T, alpha=-1)
                    total.product.addmm_(values, (p * q).T, alpha=-1)
            parts.append(from_grid(layout.space, x_bar))
        totals = [weight if trained else None for total in sums for weight in total]
        return torch.cat(parts), None, *totals


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
    """Return how many windows to treat at once."""
    if x.device.type != "cpu":
        return max(1, len(x))
    widest = max(max(branch.mix.shape) for branch in branches)
    positions = math.prod(x.shape[1:]) // space.channels
    return max(1, _BLOCK_BYTES // max(1, widest * positions * x.element_size()))


def _three(branch: Branch, m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    latent = branch.product.shape[1]
    return m[:latent], m[latent : 2 * latent], m[2 * latent :]


def _reverse_head(
    branch: Branch,
    r: Tensor,
    m: Tensor,
    values: Tensor,
    p_extra: Tensor | None = None,
    q_extra: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the cotangents of W u and of M r for the cotangent `values` of a scale's output."""
    p, q, _ = _three(branch, m)
    s = branch.product.T @ values
    latent = len(s)
    dm = values.new_empty(2 * latent + len(values), values.shape[1])
    # Straight into place; the extras come with the sign of Φ, as `values` does.
    for rows, factor, extra in ((dm[:latent], q, p_extra), (dm[latent : 2 * latent], p, q_extra)):
        if extra is None:
            torch.mul(s, factor, out=rows)
        else:
            torch.addcmul(extra, s, factor, out=rows)
    dm[2 * latent :] = values
    return through_relu(branch.mix.T @ dm, r), dm
