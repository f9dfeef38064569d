"""Mean and standard deviation of training states, by which learned models normalise."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

Normalisation = Literal["scalar", "component"]


def normalisation(states: Any, kind: Normalisation) -> tuple[Tensor, Tensor]:
    """Return mean and centred deviation of states (W, T, D), scalar or for each component.

    NaN marks unknown states, which are ignored.
    """
    states = torch.as_tensor(states, dtype=torch.float64)
    axes = (0, 1, 2) if kind == "scalar" else (0, 1)
    if bool(states.isnan().any()):
        mean = states.nanmean(axes)
        return mean, (states - mean).square().nanmean(axes).sqrt()
    return states.mean(axes), states.std(axes, correction=0)
