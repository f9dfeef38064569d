"""J of the minimisations and its gradient at given controls, in torch; nothing is minimised.

The gradients are autograd's of J, and know nothing of the Gauss-Newton Hessians.
"""

from __future__ import annotations

import numpy as np
import torch

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch.arrays import array, quadratic, tensor
from pyvda.engine.torch.channels import listed
from pyvda.engine.torch.shooting import ShootingCost, as_model_precision
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import follow
from pyvda.models.model import Model
from pyvda.operators.data import Data

_REAL = np.dtype(float)


def shooting_objective(
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    precision: Array,
    background: Array,
    background_precision: Array,
    *,
    weight: float,
    model_precision: Array | None = None,
    every: int = 1,
    substeps: int = 1,
    gradient: bool = True,
    points: Data | None = None,
) -> tuple[Array, Array | None]:
    """See `Engine.shooting_objective`."""
    windows, length, size = shape = (*np.shape(x)[:2], model.state_size)
    cost = ShootingCost(
        Steps(model, settings, substeps),
        tensor(checked("observation", observation, shape, _REAL)),
        tensor(checked("precision", precision, shape, _REAL)),
        tensor(checked("background", background, (windows, size), _REAL)),
        tensor(checked("background_precision", background_precision, (size, size), _REAL)),
        min(every, length),
        listed(points, windows, size, length),
        as_model_precision(model_precision, size),
    )
    nodes = cost.nodes(tensor(checked("x", x, shape, _REAL))).requires_grad_(gradient)
    J = cost.value(nodes, weight)
    return array(J), array(torch.autograd.grad(J.sum(), nodes)[0]) if gradient else None


def strong_objective(
    model: Model,
    settings: CostSettings,
    start: Array,
    observation: Array,
    precision: Array,
    background: Array,
    background_precision: Array,
    *,
    lead: int = 0,
    points: Data | None = None,
) -> tuple[Array, Array]:
    """See `Engine.strong_objective`."""
    windows, length, size = shape = (*np.shape(observation)[:2], model.state_size)
    x = tensor(checked("start", start, (windows, size), _REAL)).requires_grad_()
    y = tensor(checked("observation", observation, shape, _REAL))
    c = tensor(checked("precision", precision, shape, _REAL))
    b = tensor(checked("background", background, (size,), _REAL))
    B_inverse = tensor(checked("background_precision", background_precision, (size, size), _REAL))
    steps = Steps(model, settings)
    states = follow(steps, x, lead + length)[:, lead:]
    J = quadratic(B_inverse, x - b) + (c * (states - y).square()).sum((1, 2))
    data = listed(points, windows, size, length)
    if data is not None:
        J = J + data.squares(data.predicted(steps, states)).sum(1)
    J = J / 2
    return array(J), array(torch.autograd.grad(J.sum(), x)[0])
