"""One step of a model, its tangent linear and its adjoint, in the Julia engine.

The state may be followed by the model's P parameters, which a step does not change:
`julia/src/models/with_parameters.jl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.data import Array, CostSettings, Scheme
from pyvda.engine.julia.arguments import step_arguments
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_FORECAST, _TANGENT_LINEAR, _ADJOINT = 0, 1, 2


def forecast(
    engine: JuliaEngine, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
) -> Array:
    """See `Engine.forecast`."""
    return _step(engine, model, CostSettings(time_step, scheme=scheme), x, x, _FORECAST)


def tangent_linear(
    engine: JuliaEngine,
    model: Model,
    x: Array,
    dx: Array,
    *,
    time_step: float,
    scheme: Scheme = "rk4",
) -> Array:
    """See `Engine.tangent_linear`."""
    return _step(engine, model, CostSettings(time_step, scheme=scheme), x, dx, _TANGENT_LINEAR)


def adjoint(
    engine: JuliaEngine,
    model: Model,
    x: Array,
    v: Array,
    *,
    time_step: float,
    scheme: Scheme = "rk4",
) -> Array:
    """See `Engine.adjoint`."""
    return _step(engine, model, CostSettings(time_step, scheme=scheme), x, v, _ADJOINT)


def forecast_with_parameters(
    engine: JuliaEngine, model: Model, settings: CostSettings, z: Array
) -> Array:
    """See `Engine.forecast_with_parameters`."""
    return _step(engine, model, settings, z, z, _FORECAST, len(model.parameters))


def tangent_linear_with_parameters(
    engine: JuliaEngine, model: Model, settings: CostSettings, z: Array, dz: Array
) -> Array:
    """See `Engine.tangent_linear_with_parameters`."""
    return _step(engine, model, settings, z, dz, _TANGENT_LINEAR, len(model.parameters))


def adjoint_with_parameters(
    engine: JuliaEngine, model: Model, settings: CostSettings, z: Array, v: Array
) -> Array:
    """See `Engine.adjoint_with_parameters`."""
    return _step(engine, model, settings, z, v, _ADJOINT, len(model.parameters))


def _step(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    v: Array,
    what: int,
    estimated: int = 0,
) -> Array:
    size = model.state_size + estimated
    shape = (*np.shape(x)[:-1], size)
    x = checked("x", x, shape, np.dtype(float))
    v = checked("v", v, shape, np.dtype(float))
    out = np.empty_like(x)
    engine.call(
        "one_step", **engine.model_arguments(model, size), estimated=estimated,
        **step_arguments(settings), count=x.size // size, what=what, x=x, v=v, out=out,
    )  # fmt: skip
    return out
