"""Runs of a model over windows and their tangent linear and adjoint, in Julia."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia.arguments import step_arguments, window_arguments
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_RUN, _TANGENT, _ADJOINT = 0, 1, 2


def run(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    start: Array,
    steps: int,
    forcing: Array | None = None,
) -> Array:
    """See `Engine.run`."""
    x = _with_forcing(start, forcing, (len(start), steps, model.state_size))
    return _called(engine, model, settings, x, x, _RUN, 0)


def tangent_run(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    start: Array,
    memory: int = 0,
    forcing: Array | None = None,
) -> Array:
    """See `Engine.tangent_run`."""
    x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
    v = _with_forcing(start, forcing, x.shape)
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
    return _called(engine, model, settings, x, v, _ADJOINT, memory)


def workspace_bytes(engine: JuliaEngine, model: Model) -> int:
    """See `Engine.workspace_bytes`."""
    found = np.zeros(1, np.int64)
    engine.call("workspace_bytes", **engine.model_arguments(model), found=found)
    return int(found[0])


def _with_forcing(start: Array, forcing: Array | None, shape: tuple[int, int, int]) -> Array:
    """Return an array (W, T, D) with the first states and, at later times, the forcing."""
    windows, steps, size = shape
    found = np.zeros(shape)
    found[:, 0] = checked("start", start, (windows, size), np.dtype(float))
    if forcing is not None:
        expected = (windows, steps - 1, size)
        found[:, 1:] = checked("forcing", forcing, expected, np.dtype(float))
    return found


def _called(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    v: Array,
    what: int,
    memory: int,
) -> Array:
    engine.call(
        "linearised_run", **engine.model_arguments(model), **step_arguments(settings),
        **window_arguments(x), what=what, memory=memory, x=x, v=v,
    )  # fmt: skip
    return v
