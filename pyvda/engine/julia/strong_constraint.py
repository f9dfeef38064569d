"""Strong-constraint 4D-Var in the Julia engine: `julia/src/methods/strong_constraint.jl`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.engine.checked import checked, estimated_parameters
from pyvda.engine.data import Minima
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia import nonlinear
from pyvda.engine.julia.arguments import point_arguments, step_arguments, window_arguments
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.function import Channels
from pyvda.operators.points import Points

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def strong_constraint(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    starts: Array,
    *,
    background: Array,
    background_precision: Array,
    variance: Array,
    lead: int,
    growth: int,
    iterations: int,
    tolerance: float,
    points: Data | None = None,
) -> Minima:
    """See `Engine.strong_constraint`."""
    how: dict[str, Any] = {
        "background": background, "background_precision": background_precision,
        "variance": variance, "lead": lead, "growth": growth, "iterations": iterations,
        "tolerance": tolerance,
    }  # fmt: skip
    if isinstance(points, Channels):
        return nonlinear.strong_constraint(
            engine, partial(_minimised, engine), model, settings, observation, precision, starts,
            points=points, **how,
        )  # fmt: skip
    return _minimised(
        engine, model, settings, observation, precision, starts, points=points, **how
    )[0]


def _minimised(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    starts: Array,
    *,
    background: Array,
    background_precision: Array,
    variance: Array,
    lead: int,
    growth: int,
    iterations: int,
    tolerance: float,
    points: Points | None,
) -> tuple[Minima, Array]:
    """Return the minima, and twice the predicted further decrease of J to second order, (W, S)."""
    windows, _, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    _, count, control_size = starts.shape
    estimated = estimated_parameters(model, control_size)
    if estimated:  # parameters are not observed
        width = ((0, 0), (0, 0), (0, estimated))
        observation, precision = np.pad(observation, width), np.pad(precision, width)
        if points is not None:
            points = replace(points, operator=replace(points.operator, size=control_size))
    size = control_size
    starts = checked("starts", starts, (windows, count, size), np.dtype(float))
    background = checked("background", background, (size,), np.dtype(float))
    background_precision = checked(
        "background_precision", background_precision, (size, size), np.dtype(float)
    )
    metric = 1 / checked("variance", variance, (size,), np.dtype(float))
    control = np.empty((windows, count, size))
    hessian = np.empty((windows, count, size, size))
    info = np.empty((windows, count, 4))
    if windows:
        engine.call(
            "strong_constraint", **engine.model_arguments(model, size), estimated=estimated,
            **step_arguments(settings), **window_arguments(observation),
            **point_arguments(points, observation), y=observation, precision=precision,
            starts=starts, start_count=count, background=background,
            b_inverse=background_precision, metric=metric, lead=lead, growth=growth,
            iterations=iterations, tolerance=tolerance, control=control, hessian=hessian, info=info,
        )  # fmt: skip
    found = Minima(
        control, hessian, info[..., 0], info[..., 2].astype(int), info[..., 3].astype(int)
    )
    return found, info[..., 1]


def trajectories(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    control: Array,
    hessian: Array,
    *,
    lead: int,
    steps: int,
) -> tuple[Array, Array]:
    """See `Engine.trajectories`."""
    windows, size = control.shape
    control = checked("control", control, (windows, size), np.dtype(float))
    hessian = checked("hessian", hessian, (windows, size, size), np.dtype(float))
    x, stdev = np.empty((windows, steps, size)), np.empty((windows, steps, size))
    if windows:
        engine.call(
            "trajectories", **engine.model_arguments(model, size),
            estimated=estimated_parameters(model, size), **step_arguments(settings),
            **window_arguments(x), control=control, hessian=hessian, lead=lead, x=x, stdev=stdev,
        )  # fmt: skip
    return x, stdev
