"""GENN priors (section 3.2): Φ(x)(s) depends on the neighbourhood of s, but not on x(s).

The first layer sees every position except the one it predicts: its kernels have no centre weight
(none is stored, so none can be trained). All later layers have kernel size 1. This guarantees:

- dimension 1 (time; the D components are channels): Φ(x)(t, ·) does not depend on x(t, ·), for
  every pair of components;
- dimensions 2 and 3 (space-time, one channel): Φ(x)(t, k) does not depend on x(t, k), but may
  depend on x(t, l);
- with groups of several steps (`pyvda.priors.spacetime`): the statement about a step t holds for
  all steps of its group.

The coarse scale of (10) predicts a cell from the means of other cells, never from its own, and the
upsampling gives each point the prediction of its own cell: kernel and stride are equal, so cells do
not overlap. The guarantee therefore holds for two scales too. (With overlapping upsampling kernels
it would not: x(s) would return through its own cell's mean in a neighbour's prediction.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.priors.folded import Branch, FoldedGENN, Layout
from pyvda.priors.heads import smaller_head
from pyvda.priors.linearise import Pullback
from pyvda.priors.spacetime import SpaceTime


class ScaleBlock(nn.Module):
    """The weights of one scale: first layer without a centre, then a bilinear block; no biases.

    Parameters
    ----------
    channels : int
        Channels in.
    taps : sequence of odd int
        Size of the first layer's kernels along each axis.
    features : int
        Channels of the first layer, before its ReLU.
    latent : int
        Channels of the bilinear block's three branches; it gives 2·latent.
    outputs : int
        Channels out.
    """

    def __init__(
        self, channels: int, taps: Sequence[int], features: int, latent: int, outputs: int
    ) -> None:
        super().__init__()
        neighbours = math.prod(taps) - 1
        self.neighbours = _weight(features, channels, neighbours)
        self.reduce = _weight(latent, features)
        self.linear = _weight(latent, latent)
        self.left = _weight(latent, latent)
        self.right = _weight(latent, latent)
        self.outputs = _weight(outputs, 2 * latent)

    def kernel(self) -> Tensor:
        """Return the first layer's kernels (features, channels, Πtaps), their centres zero."""
        before, after = self.neighbours.chunk(2, -1)
        return torch.cat((before, torch.zeros_like(before[..., :1]), after), -1)

    def folded(self, last: Tensor | None = None) -> Branch:
        """Return the scale multiplied out; `last` (rows, outputs) is one more 1×1 at the end."""
        # Once per solve and small: in full precision under autocast too.
        with torch.autocast(self.reduce.device.type, enabled=False):
            return self._folded(None if last is None else last.to(self.reduce.dtype))

    def _folded(self, last: Tensor | None) -> Branch:
        of_linear, of_product = self.outputs.chunk(2, 1)
        if last is not None:
            of_linear, of_product = last @ of_linear, last @ of_product
        head = smaller_head(
            self.left @ self.reduce,
            self.right @ self.reduce,
            of_linear @ self.linear @ self.reduce,
            of_product,
        )
        return Branch(self.kernel().flatten(1), head)


class _Foldable(nn.Module):
    """A prior that is evaluated through its folded form, `prepare()`."""

    first_predicted = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return Φ(x) of windows x, both (B, T, D) or (B, T, Y, X)."""
        result: Tensor = self.prepare()(x)
        return result

    def vjp(self, x: Tensor, r: Tensor) -> Tensor:
        """Return (∂Φ/∂x)ᵀ r at x, all of x's shape."""
        return self.linearise(x)[1](r)

    def linearise(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return Φ(x) and the function r -> (∂Φ/∂x)ᵀ r."""
        return self.prepare().linearise(x)

    def prepare(self) -> FoldedGENN:
        """Return Φ with its linear chains multiplied out, for many evaluations."""
        raise NotImplementedError


class GENN(_Foldable):
    """One-scale GENN: the first layer and the bilinear block of `ScaleBlock`.

    Parameters
    ----------
    channels : int
        State size D for dimension 1; 1 for dimensions 2 and 3.
    dimension : int
        Axes the convolution runs over: 1 (time), 2 (time, component), 3 (time, y, x).
    periodic : bool
        Whether the axes other than time are periodic; beyond all other edges a window is zero.
    width : int or sequence of int
        Odd size of the first layer's kernels, for all axes or for each.
    features, latent : int
        Channels of the first layer and of the bilinear block.
    every : int
        Steps of a group. `GENN(3, features=40, every=8)` has the 14 940 parameters of the paper's
        prior for Lorenz-63, sees 40 steps to either side, and needs a quarter of the arithmetic.
    """

    def __init__(
        self,
        channels: int,
        dimension: int = 1,
        periodic: bool = False,
        width: int | Sequence[int] = 11,
        features: int = 60,
        latent: int = 30,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.space = SpaceTime(channels, dimension, periodic, every)
        self.taps = _for_each_axis("width", width, dimension)
        if any(k % 2 == 0 for k in self.taps):
            raise InputError(
                f"width is {width}, expected odd sizes, so that the kernel has a centre"
            )
        size = self.space.grid_channels
        self.scale = ScaleBlock(size, self.taps, features, latent, size)

    def prepare(self) -> FoldedGENN:
        """Return Φ with its linear chains multiplied out, for many evaluations."""
        layout = Layout(self.space, self.taps, ((1,) * self.space.dimension,))
        return FoldedGENN(layout, [self.scale.folded()])


class TwoScaleGENN(_Foldable):
    """Φ(x) = Up(Φ1(Dw(x))) + Φ2(x), eq. (10): means over cells down, transposed convolution up.

    The paper's two priors, without biases:

    - Lorenz-63, `TwoScaleGENN(3)`: 14 940 parameters. The authors' module has 15 300: it stores the
      360 centre weights that are zero here (2 scales × 3 channels × 60).
    - Lorenz-96, `TwoScaleGENN(1, dimension=2, periodic=True, features=50, latent=50, merge=50)`:
      52 050 parameters, against 52 150 with the 100 centre weights.

    Parameters
    ----------
    channels, dimension, periodic, width, features, latent
        As for `GENN`; the width is the same number of points or cells on both scales.
    factors : int or sequence of int
        Size of a cell: in time only, or along each axis. An incomplete last
        cell is the mean of the points it has; predictions beyond the window are discarded.
    merge : int, optional
        Channels in which both scales are added before a final 1×1 to `channels`; without it, each
        scale ends in `channels`.
    """

    def __init__(
        self,
        channels: int,
        dimension: int = 1,
        periodic: bool = False,
        width: int | Sequence[int] = 11,
        features: int = 60,
        latent: int = 30,
        factors: int | Sequence[int] = 4,
        merge: int | None = None,
    ) -> None:
        super().__init__()
        self.fine = GENN(channels, dimension, periodic, width, features, latent)
        rest = (1,) * (dimension - 1)
        cells = (factors, *rest) if isinstance(factors, int) else tuple(factors)
        self.factors = _for_each_axis("factors", cells, dimension)
        taps, ends = self.fine.taps, channels if merge is None else merge
        self.fine.scale = ScaleBlock(channels, taps, features, latent, ends)
        self.coarse = ScaleBlock(channels, taps, features, latent, latent)
        self.up = _weight(ends, latent, math.prod(self.factors), fan=latent)
        self.merge = None if merge is None else _weight(channels, merge)

    def prepare(self) -> FoldedGENN:
        """Return Φ with its linear chains multiplied out, for many evaluations."""
        # (channels, points of a cell, latent): the transposed convolution, then the last 1×1.
        up = self.up.transpose(1, 2)
        if self.merge is not None:
            up = torch.tensordot(self.merge, up, 1)
        layout = Layout(
            self.fine.space,
            self.fine.taps,
            ((1,) * self.fine.space.dimension, self.factors),
        )
        fine, coarse = self.fine.scale.folded(self.merge), self.coarse.folded(up.flatten(0, 1))
        return FoldedGENN(layout, [fine, coarse])


def _weight(*shape: int, fan: int | None = None) -> nn.Parameter:
    """Return a weight initialised as torch does for convolutions: uniform within 1/√(inputs)."""
    bound = 1.0 / math.sqrt(math.prod(shape[1:]) if fan is None else fan)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


def _for_each_axis(name: str, value: int | Sequence[int], dimension: int) -> tuple[int, ...]:
    values = (value,) * dimension if isinstance(value, int) else tuple(value)
    if len(values) != dimension or any(v < 1 for v in values):
        raise InputError(
            f"{name} is {value}, expected a positive integer or one for each of {dimension} axes"
        )
    return values
