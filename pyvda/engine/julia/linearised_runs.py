"""Runs of a model over windows and their tangent linear and adjoint, in Julia."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.arguments import pointer, scheme_number
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_RUN, _TANGENT, _ADJOINT = 0, 1, 2


def run(
    engine: JuliaEngine, model: Model, settings: CostSettings, start: Array, steps: int
) -> Array:
    """See `Engine.run`."""
    start = checked("start", start, (len(start), model.state_size), np.dtype(float))
    x = np.zeros((len(start), steps, model.state_size))
    x[:, 0] = start
    return _called(engine, model, settings, x, x, _RUN, 0)


def tangent_run(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    start: Array,
    memory: int = 0,
) -> Array:
    """See `Engine.tangent_run`."""
    x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
    start = checked("start", start, (len(x), model.state_size), np.dtype(float))
    v = np.zeros_like(x)
    v[:, 0] = start
    return _called(engine, model, settings, x, v, _TANGENT, memory)


def adjoint_run(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    gradient: Array,
    memory: int = 0,
) -> Array:
    """See `Engine.adjoint_run`."""
    x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
    v = checked("gradient", gradient, x.shape, np.dtype(float)).copy()
    return _called(engine, model, settings, x, v, _ADJOINT, memory)[:, 0]


def _called(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    v: Array,
    what: int,
    memory: int,
) -> Array:
    windows, steps, _ = x.shape
    engine.call(
        "linearised_run", *engine.model_arguments(model), steps, windows,
        scheme_number(settings.scheme), settings.time_step, what, memory, pointer(x), pointer(v),
    )  # fmt: skip
    return v
