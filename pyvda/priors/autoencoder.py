"""Autoencoder prior, eq. (9): Φ(x) = φ(ψ(x)), ψ onto a space smaller than the window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.priors.spacetime import SpaceTime


class AutoEncoderPrior(nn.Module):
    """A convolutional autoencoder; only its bottleneck keeps Φ from being the identity.

    ψ: convolution, ReLU, then a convolution whose kernel and stride are a cell of `factors` points,
    to `code` channels. φ: transposed convolution back from the cells, ReLU, convolution. A window
    that does not fill its last cell is padded with zeros, and Φ(x) is cropped to the window's size.

    Parameters
    ----------
    channels : int
        State size D for dimension 1; 1 for dimensions 2 and 3.
    dimension : int
        Axes the convolutions run over: 1 (time), 2 (time, component), 3 (time, y, x).
    periodic : bool
        Whether the axes other than time are periodic; their sizes must then be multiples of the
        factors.
    width : int
        Odd size of the two full-resolution kernels along every axis.
    features : int
        Channels at full resolution.
    code : int
        Channels of the code.
    factors : int or sequence of int
        Points of a cell: in time only, or along each axis. The code must be smaller than the state:
        code < channels · Πfactors.

    Raises
    ------
    InputError
        The code is not smaller than what it encodes, or a size is invalid.
    """

    first_predicted = 0

    def __init__(
        self,
        channels: int,
        dimension: int = 1,
        periodic: bool = False,
        width: int = 5,
        features: int = 32,
        code: int = 4,
        factors: int | Sequence[int] = 8,
    ) -> None:
        super().__init__()
        self.space = SpaceTime(channels, dimension, periodic)
        cells = (factors, *[1] * (dimension - 1)) if isinstance(factors, int) else tuple(factors)
        if len(cells) != dimension or min(cells) < 1:
            raise InputError(
                f"factors is {factors}, expected a positive integer or one for each of {dimension} "
                "axes"
            )
        if width % 2 == 0:
            raise InputError(f"width is {width}, expected an odd size")
        size = channels * math.prod(cells)
        if code >= size:
            raise InputError(
                f"a code of {code} numbers for a cell of {size} can be the identity, expected "
                f"fewer than {size}; use a smaller code or larger factors"
            )
        self.factors = cells
        self.reach = (width // 2,) * dimension
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
        transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dimension - 1]
        self.first = convolution(channels, features, width)
        self.down = convolution(features, code, cells, stride=cells)  # type: ignore[arg-type]
        self.up = transposed(code, features, cells, stride=cells)  # type: ignore[arg-type]
        self.last = convolution(features, channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return Φ(x) of windows x, both (B, T, D) or (B, T, Y, X)."""
        grid = self.space.split(x)
        axes = grid.shape[2:]
        missing = [-size % factor for size, factor in zip(axes, self.factors, strict=True)]
        if self.space.periodic and any(missing[1:]):
            raise InputError(
                f"the periodic axes have sizes {tuple(axes[1:])}, expected multiples of "
                f"{self.factors[1:]}; change the factors"
            )
        h = torch.relu(self.first(self.space.pad(grid, self.reach)))
        h = F.pad(h, [n for count in reversed(missing) for n in (0, count)])
        h = torch.relu(self.up(self.down(h)))
        for axis, size in enumerate(axes, start=2):
            h = h.narrow(axis, 0, size)
        result: Tensor = self.space.join(self.last(self.space.pad(h, self.reach)))
        return result
