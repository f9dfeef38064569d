"""A U-Net over (y, x) whose channels are the days around a time: a regression, without iterations.

It has no normalisation over the domain, so that an estimate depends on what is within `reach`
points alone, and tiles that overlap by as much give what the whole domain gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEAST = 1e-6  # of a cover; that of a single point of a cell is larger


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
    gappy : int
        As many channels come first that are 0 where a mask is, and then their masks. Coarser
        resolutions see the means of what there is in each of their cells, too (normalised
        convolution, Knutsson and Westin 1993).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        dropout: float = 0.0,
        gappy: int = 0,
    ) -> None:
        super().__init__()
        self.gappy = gappy
        before = (inputs, *(width + 2 * gappy for width in widths))
        self.down = nn.ModuleList(map(_Block, before, widths))
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
        x = x.contiguous(memory_format=torch.channels_last)  # convolutions are faster on it
        total, cover = x[:, : self.gappy], x[:, self.gappy : 2 * self.gappy]
        kept = []
        for level, block in enumerate(self.down):
            if level:
                x = F.avg_pool2d(x, 2)
            if level and self.gappy:
                total, cover = F.avg_pool2d(total, 2), F.avg_pool2d(cover, 2)
                x = torch.cat((x, total / cover.clamp(min=_LEAST), cover), 1)
            x = block(x)
            kept.append(x)
        x = self.dropout(kept.pop())
        for block in self.up:
            x = block(torch.cat((F.interpolate(x, scale_factor=2.0), kept.pop()), 1))
        found: Tensor = self.last(x)[..., :rows, :columns]
        return found


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        layers = [nn.Conv2d(before, outputs, 3, padding=1) for before in (inputs, outputs)]
        # torch's own start loses the signal in ten layers without normalisation (He et al. 2015).
        for parameter in (p for layer in layers for p in layer.parameters()):
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        super().__init__(layers[0], nn.SiLU(), layers[1], nn.SiLU())
