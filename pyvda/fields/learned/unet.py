"""A U-Net over (y, x) whose channels are the days around a time: a regression, without iterations.

It has no normalisation over the domain, so that an estimate depends on what is within `reach`
points alone, and tiles that overlap by as much give what the whole domain gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UNet(nn.Module):
    """Convolutions at each resolution, down by means over 2 × 2 points and up by repetition.

    Parameters
    ----------
    inputs, outputs : int
        Channels. The last layer starts at zero.
    widths : sequence of int
        Channels at each resolution, the finest first.
    dropout : float
        Share of the coarsest channels that a step of the training leaves out.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _Block(before, width) for before, width in zip((inputs, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            _Block(coarse + width, width)
            for width, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(widths[0], outputs, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        self.cell = 2 ** (len(widths) - 1)
        # Two convolutions down and two up at each resolution, and a cell of the coarsest.
        self.reach = sum(4 * 2**level for level in range(len(widths) - 1)) + 3 * self.cell

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, Y, X) of (B, inputs, Y, X), of any size."""
        *_, rows, columns = x.shape
        x = F.pad(x, (0, -columns % self.cell, 0, -rows % self.cell))
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.avg_pool2d(x, 2))
            kept.append(x)
        x = self.dropout(kept.pop())
        for block in self.up:
            x = block(torch.cat((F.interpolate(x, scale_factor=2.0), kept.pop()), 1))
        found: Tensor = self.last(x)[..., :rows, :columns]
        return found


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.SiLU(),
        )  # fmt: skip
