"""Objectives of the methods with gradients, in Julia: `julia/src/cost/objectives.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia import nonlinear
from pyvda.engine.julia.arguments import point_arguments, step_arguments, window_arguments
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_REAL = np.dtype(float)


def shooting_objective(
    engine: JuliaEngine,
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
    if isinstance(points, Channels):
        return nonlinear.shooting_objective(
            engine, model, settings, x, observation, precision, background, background_precision,
            weight=weight, model_precision=model_precision, every=every, substeps=substeps,
            gradient=gradient, points=points,
        )  # fmt: skip
    windows, steps, size = shape = (*np.shape(x)[:2], model.state_size)
    x = checked("x", x, shape, _REAL)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    background = checked("background", background, (windows, size), _REAL)
    inverse = checked("background_precision", background_precision, (size, size), _REAL)
    Q = model_precision
    if Q is not None:
        Q = checked("model_precision", Q, (size, size), _REAL)
    J = np.empty(windows)
    g = np.empty((windows, -(-steps // every), size)) if gradient else None
    engine.call(
        "shooting_objective", **engine.model_arguments(model), **step_arguments(settings),
        **window_arguments(x), **point_arguments(points, x), substeps=substeps, every=every, x=x,
        J=J, gradient=g, y=observation, precision=precision, background=background,
        b_inverse=inverse, model_weight=weight, model_precision=Q,
    )  # fmt: skip
    return J, g


def strong_objective(
    engine: JuliaEngine,
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
    if isinstance(points, Channels):
        return nonlinear.strong_objective(
            engine, model, settings, start, observation, precision, background,
            background_precision, lead=lead, points=points,
        )  # fmt: skip
    windows, _, size = shape = (*np.shape(observation)[:2], model.state_size)
    start = checked("start", start, (windows, size), _REAL)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    background = checked("background", background, (size,), _REAL)
    inverse = checked("background_precision", background_precision, (size, size), _REAL)
    J, g = np.empty(windows), np.empty((windows, size))
    engine.call(
        "strong_objective", **engine.model_arguments(model), **step_arguments(settings),
        **window_arguments(observation), **point_arguments(points, observation), lead=lead,
        control=start, J=J, gradient=g, y=observation, precision=precision, background=background,
        b_inverse=inverse,
    )  # fmt: skip
    return J, g
