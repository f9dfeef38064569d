"""Weak-constraint 4D-Var of the Julia engine: `julia/src/methods/weak_constraint.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.data import Minimum, Shooting
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia import nonlinear
from pyvda.engine.julia.arguments import point_arguments, step_arguments, window_arguments
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def weak_constraint(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    shooting: Shooting,
    x: Array,
    observation: Array,
    mask: Array,
    divisor: Array,
    background: Array,
    precision: Array,
    *,
    spread: bool = False,
    points: Data | None = None,
) -> Minimum:
    """See `Engine.weak_constraint`."""
    if isinstance(points, Channels):
        return nonlinear.weak_constraint(
            engine, model, settings, shooting, x, observation, mask, divisor, background, precision,
            spread=spread, points=points,
        )  # fmt: skip
    windows, steps, _ = np.shape(x)
    size = model.state_size
    real = np.dtype(float)
    shape = (windows, steps, size)
    x = checked("x", x, shape, real).copy()
    observation = checked("observation", observation, shape, real)
    mask = checked("mask", mask, shape, real)
    divisor = checked("divisor", divisor, (windows,), real)
    background = checked("background", background, (windows, size), real)
    precision = checked("precision", precision, (size, size), real)
    given = shooting.model_precision
    Q = None if given is None else checked("model_precision", given, (size, size), real)
    weights = checked("weights", np.asarray(shooting.weights), (len(shooting.weights),), real)
    give_up_cost = np.array(np.broadcast_to(shooting.give_up_cost, windows), real)
    result = np.empty((windows, 4))
    stdev = np.empty(shape) if spread else None
    if windows:
        engine.call(
            "weak_constraint", **engine.model_arguments(model), **step_arguments(settings),
            **window_arguments(x), **point_arguments(points, x), substeps=shooting.substeps,
            every=shooting.every, x=x, stdev=stdev, result=result, y=observation, mask=mask,
            divisor=divisor, background=background, b_inverse=precision, model_precision=Q,
            weights=weights, stages=len(weights), iterations=shooting.iterations,
            tolerance=shooting.tolerance, drop=shooting.drop,
            give_up_stage=shooting.give_up_stage, give_up_cost=give_up_cost,
        )  # fmt: skip
    status, iterations = result[:, 0].astype(int), result[:, 1].astype(int)
    return Minimum(x, stdev, status, iterations, result[:, 2], result[:, 3])
