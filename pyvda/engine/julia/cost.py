"""The cost (4), descent along its gradient, and predicted data, in the Julia engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.engine.checked import checked, checked_problem, moved
from pyvda.engine.data import Array, CostResult, CostSettings
from pyvda.engine.julia import nonlinear
from pyvda.engine.julia.arguments import (
    function_arguments,
    point_arguments,
    step_arguments,
    window_arguments,
)
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.function import Channels
from pyvda.operators.points import Points

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def cost(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
    *,
    gradient: bool = True,
    points: Data | None = None,
) -> CostResult:
    """See `Engine.cost`."""
    if isinstance(points, Channels):
        return nonlinear.cost(
            engine, model, settings, x, observation, mask, gradient=gradient, points=points
        )
    x, observation, mask = checked_problem(model, x, observation, mask)
    terms = np.empty((len(x), 3))
    g = np.empty_like(x) if gradient else None
    engine.call(
        "cost", **_problem(engine, model, settings, x, observation, mask), cost=terms, gradient=g,
        **point_arguments(points, x),
    )  # fmt: skip
    return CostResult(terms[:, 0], terms[:, 1], np.sqrt(terms[:, 2]), g)


def descend(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
    *,
    step: float,
    iterations: int,
    out: Array | None = None,
    points: Data | None = None,
) -> Array:
    """See `Engine.descend`."""
    x, observation, mask = checked_problem(model, x, observation, mask)
    x = x.copy() if out is None else moved(x, out)
    engine.call(
        "descend", **_problem(engine, model, settings, x, observation, mask), alpha=step,
        iterations=iterations, **function_arguments(engine.observation_functions, points),
        **point_arguments(None if isinstance(points, Channels) else points, x),
    )  # fmt: skip
    return x


def observed(
    engine: JuliaEngine, model: Model, settings: CostSettings, x: Array, points: Points
) -> Array:
    """See `Engine.observed`."""
    x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
    out = np.zeros(points.step.shape)
    if out.size:
        engine.call(
            "observed", **engine.model_arguments(model), **step_arguments(settings),
            **window_arguments(x), x=x, out=out, **point_arguments(points, x),
        )  # fmt: skip
    return out


def _problem(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
) -> dict[str, Any]:
    return {
        **engine.model_arguments(model), **step_arguments(settings), **window_arguments(x),
        "bytes": x.itemsize, "lambda1": settings.lambda1, "lambda2": settings.lambda2, "x": x,
        "y": observation, "mask": mask,
    }  # fmt: skip
