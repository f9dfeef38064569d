"""The default step of FSGD, limited by the curvature of the cost (4).

Descent with a fixed step is stable below 2 over the largest curvature. The curvature of a window is
at most the sum of two:

    2 λ₁ max(mask)/n_obs   of the observations,    2 λ₂ (1 + ‖∂Φ‖)²/n   of the dynamics,

n = (T - 1) D. A datum between two steps contributes its weight times the squared norm of its
operator, carried back by Φ; a function of the state contributes by its derivatives at the first
guess. ‖∂Φ‖ is calibrated for the models of the paper: without observations the largest stable step
on Lorenz-63 and Lorenz-96 is 0.22 n.
"""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.problem import Problem
from pyvda.operators.function import Channels

_USUAL = 0.15  # of n / max(λ₁, λ₂): the step where the observations' curvature is small
_LARGEST = 0.22  # of n, without observations, for λ₂ = 1
_SPREADING = (_LARGEST**-0.5 - 1) ** 2  # ‖∂Φ‖², from 2 (1 + ‖∂Φ‖)²/n = 2/(0.22 n)
_MARGIN = 0.9


def stable_steps(problem: Problem) -> Array:
    """Return the step of each window, (W,): the usual one, or less where few data require it."""
    windows, steps, size = np.shape(problem.batch.observation)
    lambda1, lambda2 = problem.cost.lambda1, problem.cost.lambda2
    usual = _USUAL * (steps - 1) * size / max(lambda1, lambda2)
    half_curvature = lambda1 * _heaviest_datum(problem) + lambda2 / (_LARGEST * (steps - 1) * size)
    # Without observations and dynamics the cost is flat, and any step is stable.
    allowed = np.full(windows, np.inf)
    np.divide(_MARGIN, half_curvature, out=allowed, where=half_curvature > 0)
    return np.minimum(usual, allowed)


def _heaviest_datum(problem: Problem) -> Array:
    """Return the largest weight of a state in the mean over a window's data, (W,)."""
    mask = np.asarray(problem.batch.mask, float)
    weight = mask.max(2)
    points = problem.points(slice(None))
    if isinstance(points, Channels):
        weight += points.curvature(problem.batch.first_guess)
    elif points is not None:
        each = np.asarray(points.weight) * (np.asarray(points.operator) ** 2).sum(2)
        rows = np.arange(len(mask))[:, None]
        np.add.at(weight, (rows, np.asarray(points.step)), _SPREADING * each)
    return np.asarray(weight.max(1) / np.maximum(problem.data(), 1))
