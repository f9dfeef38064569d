"""One step of a model with its parameters as part of the state, by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model


def forecast(model: Model, settings: CostSettings, z: Array) -> Array:
    """See `Engine.forecast_with_parameters`."""
    with torch.no_grad():
        return array(_step(model, settings)(tensor(_checked(model, "z", z))))


def tangent_linear(model: Model, settings: CostSettings, z: Array, dz: Array) -> Array:
    """See `Engine.tangent_linear_with_parameters`."""
    at, direction = (tensor(_checked(model, name, a)) for name, a in (("z", z), ("dz", dz)))
    return array(torch.func.jvp(_step(model, settings), (at,), (direction,))[1])


def adjoint(model: Model, settings: CostSettings, z: Array, v: Array) -> Array:
    """See `Engine.adjoint_with_parameters`."""
    at, cotangent = (tensor(_checked(model, name, a)) for name, a in (("z", z), ("v", v)))
    pullback: Callable[..., Any] = torch.func.vjp(_step(model, settings), at)[1]
    return array(pullback(cotangent)[0])


def _step(model: Model, settings: CostSettings) -> Callable[[torch.Tensor], torch.Tensor]:
    return Steps(model, settings, estimated=True).step


def _checked(model: Model, name: str, z: Array) -> Array:
    size = model.state_size + len(model.parameters)
    return checked(name, z, (*np.shape(z)[:-1], size), np.dtype(float))
