"""The network of the data around a target: it changes the weights of an interpolation.

    correction = u · mean over data of wᵢ (yᵢ - x) / u

with the interpolation x, its standard deviation u and the weights w of a perceptron, which sees the
place of a datum relative to the target, the size of its departure from x, and what is known of the
target. So the correction has the sign of the data, as that of an interpolation has, and is 0 at the
start of a training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.engine.data import Array, Interpolated
from pyvda.fields.learned_points.configuration import NeighboursSettings
from pyvda.fields.learned_points.neighbours import FEATURES, Neighbours, Units

KNOWN = 4
"""Numbers that are known of a target: of its interpolation's value, error, distance and lag."""

_LEAST_SPREAD = 0.03  # of the field's standard deviation
_FARTHEST = 6.0  # standard deviations between a datum and the interpolation


class Inputs(NamedTuple):
    """A batch of targets.

    Attributes
    ----------
    features : (B, K, FEATURES)
    apart : (B, K)
        Data less the interpolation, over `unit`.
    near : (B, K)
        1 for a datum at the target, falling to 0 at the network's reach and beyond.
    known : (B, KNOWN)
    unit : (B,)
        Standard deviation of the interpolation, in units of the variable.
    """

    features: Tensor
    apart: Tensor
    near: Tensor
    known: Tensor
    unit: Tensor


def inputs_of(
    found: Interpolated, around: Neighbours, variance: float, units: Units, reach: float
) -> Inputs:
    """Return the inputs of targets.

    Parameters
    ----------
    found : Interpolated
        Interpolation of departures from the mean, (n,).
    around : Neighbours
    variance : float
        That of the field.
    units : Units
    reach : float
        Distance, as that of `around`, beyond which data are not used.
    """
    usual = np.sqrt(variance)
    unit = np.sqrt(np.maximum(found.variance, 0.0)) + _LEAST_SPREAD * usual
    apart = (around.value - found.value[:, None]) / unit[:, None]
    near = np.maximum(1 - (around.distance / reach) ** 2, 0.0)
    known = (
        np.log(unit / usual),
        np.log1p(_finite(found.km) / units.km),
        np.log1p(_finite(np.abs(found.days)) / units.days),
        np.abs(found.value) / usual,
    )
    parts = (around.features, apart.clip(-_FARTHEST, _FARTHEST), near, np.stack(known, -1), unit)
    return Inputs(*(torch.as_tensor(one, dtype=torch.float32) for one in parts))


def _finite(values: Array) -> Array:
    return np.nan_to_num(values, nan=0.0, posinf=0.0)


class NeighbourNetwork(nn.Module):
    """Several networks at once, each with weights of its own.

    Parameters
    ----------
    settings : NeighboursSettings
    """

    def __init__(self, settings: NeighboursSettings) -> None:
        super().__init__()
        members, hidden = settings.members, settings.hidden
        self.first = _Linear(members, FEATURES + 1 + KNOWN, hidden)
        self.second = _Linear(members, hidden, hidden)
        self.around = _Linear(members, hidden + KNOWN, hidden)
        self.both = _Linear(members, 2 * hidden, hidden)
        self.last = _Linear(members, hidden, 1)
        self.dropout = nn.Dropout(settings.dropout)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the corrections of each network over `unit`, (M, B)."""
        count = inputs.apart.shape[1]
        known = inputs.known[:, None].expand(-1, count, -1)
        seen = torch.cat((inputs.features, inputs.apart.abs()[..., None], known), -1)
        data = F.silu(self.second(F.silu(self.first(seen[None]))))  # (M, B, K, hidden)
        there = inputs.near[..., None]
        pooled = (data * there).mean(2)
        of_target = inputs.known.expand(len(pooled), -1, -1)
        context = self.dropout(F.silu(self.around(torch.cat((pooled, of_target), -1))))
        wide = context[:, :, None].expand_as(data)
        weight = self.last(self.dropout(F.silu(self.both(torch.cat((data, wide), -1)))))
        return (weight[..., 0] * inputs.near * inputs.apart).mean(-1)


class _Linear(nn.Module):
    """A layer of each of M networks, on (M or 1, ..., inputs)."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2)
        found = torch.matmul(rows, self.weight) + self.bias
        return found.unflatten(1, x.shape[1:-1])
