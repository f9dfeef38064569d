"""One step of a model, its tangent linear and its adjoint, by autograd alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pyvda.engine.checked import checked
from pyvda.engine.data import Array, CostSettings, Scheme
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model


def forecast(model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4") -> Array:
    """See `Engine.forecast`."""
    return step(Steps(model, CostSettings(time_step, scheme=scheme)), x)


def tangent_linear(
    model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
) -> Array:
    """See `Engine.tangent_linear`."""
    return step_tangent(Steps(model, CostSettings(time_step, scheme=scheme)), x, dx)


def adjoint(model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4") -> Array:
    """See `Engine.adjoint`."""
    return step_adjoint(Steps(model, CostSettings(time_step, scheme=scheme)), x, v)


def forecast_with_parameters(model: Model, settings: CostSettings, z: Array) -> Array:
    """See `Engine.forecast_with_parameters`."""
    return step(Steps(model, settings, estimated=True), z)


def tangent_linear_with_parameters(
    model: Model, settings: CostSettings, z: Array, dz: Array
) -> Array:
    """See `Engine.tangent_linear_with_parameters`."""
    return step_tangent(Steps(model, settings, estimated=True), z, dz)


def adjoint_with_parameters(model: Model, settings: CostSettings, z: Array, v: Array) -> Array:
    """See `Engine.adjoint_with_parameters`."""
    return step_adjoint(Steps(model, settings, estimated=True), z, v)


def step(steps: Steps, x: Array) -> Array:
    """Return the controls (..., C) one step later."""
    with torch.no_grad():
        return array(steps.step(_tensor(steps, "x", x)))


def step_tangent(steps: Steps, x: Array, dx: Array) -> Array:
    """Return ∂Φ/∂x(x) dx, all (..., C)."""
    at, direction = _tensor(steps, "x", x), _tensor(steps, "dx", dx)
    return array(torch.func.jvp(steps.step, (at,), (direction,))[1])


def step_adjoint(steps: Steps, x: Array, v: Array) -> Array:
    """Return (∂Φ/∂x(x))ᵀ v, all (..., C)."""
    at, cotangent = _tensor(steps, "x", x), _tensor(steps, "v", v)
    pullback: Callable[..., Any] = torch.func.vjp(steps.step, at)[1]
    return array(pullback(cotangent)[0])


def _tensor(steps: Steps, name: str, x: Array) -> torch.Tensor:
    shape = (*np.shape(x)[:-1], steps.size)
    return tensor(checked(name, x, shape, np.dtype(float)))
