"""Weak-constraint 4D-Var of the Julia engine: `julia/src/methods/weak_constraint.jl`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.engine import (
    _F,
    _I,
    _P,
    POINTS,
    JuliaEngine,
    described,
    point_arguments,
    pointer,
    scheme_number,
)
from pyvda.models.model import Model
from pyvda.operators.points import Points

_SIGNATURE = (
    _I, _P, _I, _I, _I, _I, _F, _I, _I, _P, _P, _P, _P, _P, _P, _P, _P, _P, _I, _I, _F, _F, _I, _P,
    *POINTS,
)  # fmt: skip

GIVEN_UP = 5
"""In `Minimum.status`, beside the numbers of `pyvda.names.Status`: left after an early stage."""


@dataclass(frozen=True)
class Shooting:
    """The control and the stages of a minimisation.

    Attributes
    ----------
    weights : sequence of float
        w of the model, one a stage: 1/q for a model-error variance q between two nodes.
    every : int
        Steps from one node to the next; between nodes the model is exact.
    substeps : int
        Steps of the scheme to a step of the window.
    iterations : int
        At most so many a stage.
    tolerance : float
        A window has converged when its gradient norm is below this fraction of the first.
    drop : float
        A window leaves a stage when a step lowers its cost by less.
    give_up_stage : int
    give_up_cost : float or (W,)
        A window that costs more after this stage (counted from 1) is given up.
    """

    weights: Sequence[float] | Array
    every: int = 1
    substeps: int = 1
    iterations: int = 100
    tolerance: float = 0.0
    drop: float = 0.0
    give_up_stage: int = 0
    give_up_cost: float | Array = np.inf


class Minimum(NamedTuple):
    """What came out: x and stdev (W, T, D), the rest (W,); `cost` is halved."""

    x: Array
    stdev: Array | None
    status: Array
    iterations: Array
    cost: Array
    gradient_norm: Array


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
    points: Points | None = None,
) -> Minimum:
    """Minimise half of (x₁-b)ᵀB⁻¹(x₁-b) + Σ mask/divisor (x-y)² + w Σ |x_{k+1} - M(x_k)|².

    Parameters
    ----------
    x, observation, mask : (W, T, D)
        Of `x` the first guess of the nodes is taken.
    divisor : (W,)
        Positive.
    background, precision : (W, D), (D, D)
        b and B⁻¹; without a background zeros.
    spread : bool
        Whether the standard deviations are wanted, from the Hessian of the last stage.
    points : Points, optional
        Further data, at arbitrary times, with the weights weight / divisor.
    """
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
    weights = checked("weights", np.asarray(shooting.weights), (len(shooting.weights),), real)
    give_up_cost = np.array(np.broadcast_to(shooting.give_up_cost, windows), real)
    result = np.empty((windows, 4))
    stdev = np.empty(shape) if spread else None
    if windows:
        number, parameters, _ = described(model)
        engine.call(
            "weak_constraint", _SIGNATURE,
            number, pointer(parameters), size, steps, windows, scheme_number(settings.scheme),
            settings.time_step, shooting.substeps, shooting.every, pointer(x),
            None if stdev is None else pointer(stdev), pointer(result), pointer(observation),
            pointer(mask), pointer(divisor), pointer(background), pointer(precision),
            pointer(weights), len(weights), shooting.iterations, shooting.tolerance, shooting.drop,
            shooting.give_up_stage, pointer(give_up_cost), *point_arguments(points, x),
        )  # fmt: skip
    status, iterations = result[:, 0].astype(int), result[:, 1].astype(int)
    return Minimum(x, stdev, status, iterations, result[:, 2], result[:, 3])
