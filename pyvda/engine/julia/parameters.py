"""One step of a model with its parameters as part of the state, in the Julia engine.

The extended state (x, θ) has the model's D components followed by its P parameters, which a step
does not change: `julia/src/models/with_parameters.jl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.arguments import pointer, scheme_number
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_FORECAST, _TANGENT_LINEAR, _ADJOINT = 0, 1, 2


def forecast(engine: JuliaEngine, model: Model, settings: CostSettings, z: Array) -> Array:
    """See `Engine.forecast_with_parameters`."""
    return _step(engine, model, settings, z, z, _FORECAST)


def tangent_linear(
    engine: JuliaEngine, model: Model, settings: CostSettings, z: Array, dz: Array
) -> Array:
    """See `Engine.tangent_linear_with_parameters`."""
    return _step(engine, model, settings, z, dz, _TANGENT_LINEAR)


def adjoint(engine: JuliaEngine, model: Model, settings: CostSettings, z: Array, v: Array) -> Array:
    """See `Engine.adjoint_with_parameters`."""
    return _step(engine, model, settings, z, v, _ADJOINT)


def _step(
    engine: JuliaEngine, model: Model, settings: CostSettings, z: Array, v: Array, what: int
) -> Array:
    estimated = len(model.parameters)
    size = model.state_size + estimated
    shape = (*np.shape(z)[:-1], size)
    z = checked("z", z, shape, np.dtype(float))
    v = checked("v", v, shape, np.dtype(float))
    out = np.empty_like(z)
    engine.call(
        "step_with_parameters",
        *engine.model_arguments(model, size), estimated, z.size // size,
        scheme_number(settings.scheme), settings.time_step, what, pointer(z), pointer(v),
        pointer(out),
    )  # fmt: skip
    return out
