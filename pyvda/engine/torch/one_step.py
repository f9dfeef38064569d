"""One step of a model, its tangent linear and its adjoint, by autograd alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pyvda.engine.interface import Array, checked
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.steps import Steps


def forecast(steps: Steps, x: Array) -> Array:
    """Return the controls (..., C) one step later."""
    with torch.no_grad():
        return array(steps.step(_tensor(steps, "x", x)))


def tangent_linear(steps: Steps, x: Array, dx: Array) -> Array:
    """Return ∂Φ/∂x(x) dx, all (..., C)."""
    at, direction = _tensor(steps, "x", x), _tensor(steps, "dx", dx)
    return array(torch.func.jvp(steps.step, (at,), (direction,))[1])


def adjoint(steps: Steps, x: Array, v: Array) -> Array:
    """Return (∂Φ/∂x(x))ᵀ v, all (..., C)."""
    at, cotangent = _tensor(steps, "x", x), _tensor(steps, "v", v)
    pullback: Callable[..., Any] = torch.func.vjp(steps.step, at)[1]
    return array(pullback(cotangent)[0])


def _tensor(steps: Steps, name: str, x: Array) -> torch.Tensor:
    shape = (*np.shape(x)[:-1], steps.size)
    return tensor(checked(name, x, shape, np.dtype(float)))
