"""The default step of FSGD, limited by the curvature of the cost (4).

Descent with a fixed step is stable below 2 over the largest curvature. The curvature of a window is
at most the sum of two:

    2 λ₁ max(mask)/n_obs   of the observations,    2 λ₂ κ/n   of the dynamics,    n = (T - 1) D.

A datum between two steps contributes its weight times the squared norm of its operator, carried
back by Φ; a function of the state contributes by its derivatives at the first guess. κ is the
largest eigenvalue of LᵀL (`pyvda.methods.curvature`), at most (1 + ‖∂Φ‖)². On Lorenz-63 and
Lorenz-96 the largest stable step without observations is 0.22 n, κ = 1/0.22. A model has the κ that
is measured at states of its climatology and at the first guess where the usual step would not be
stable by it; of a first guess alone it must be clearly larger, since the states soon leave it.
"""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.curvature import largest as largest_eigenvalue
from pyvda.methods.curvature import of_climatology
from pyvda.methods.problem import Problem
from pyvda.operators.function import Channels

_USUAL = 0.15  # of n / max(λ₁, λ₂): the step where the observations' curvature is small
_LARGEST = 0.22  # of n, without observations, for λ₂ = 1
_SPREADING = (_LARGEST**-0.5 - 1) ** 2  # ‖∂Φ‖², from (1 + ‖∂Φ‖)² = κ
_MARGIN = 0.9
_PASSING = 1.5  # a usual step so many times too long for a first guess is stable on the attractor
_SAFETY = 1.25  # of a measured κ: for the second derivatives, and states that were not measured


def stable_steps(problem: Problem) -> Array:
    """Return the step of each window, (W,): the usual one, or less where few data require it."""
    windows, steps, size = np.shape(problem.batch.observation)
    lambda1, lambda2 = problem.cost.lambda1, problem.cost.lambda2
    usual = _USUAL * (steps - 1) * size / max(lambda1, lambda2)
    usual_is_stable, measured = np.full(windows, True), np.zeros(windows)
    if lambda2:
        known = of_climatology(problem)
        guess = np.asarray(problem.batch.first_guess, float)
        at_guess = largest_eigenvalue(problem.engine, problem.model, problem.cost, guess)
        usual_is_stable = ~((_USUAL * known > 1) | (_USUAL * at_guess > _PASSING))
        measured = _SAFETY * np.fmax(known, at_guess)
    kappa = np.where(usual_is_stable, 1 / _LARGEST, measured)
    largest = np.where(usual_is_stable, _LARGEST, 1 / kappa)
    spreading = np.where(usual_is_stable, _SPREADING, (np.sqrt(kappa) - 1) ** 2)
    data = lambda1 * _heaviest_datum(problem, spreading)
    half_curvature = data + lambda2 / (largest * (steps - 1) * size)
    # Without observations and dynamics the cost is flat, and any step is stable.
    allowed = np.full(windows, np.inf)
    np.divide(_MARGIN, half_curvature, out=allowed, where=half_curvature > 0)
    return np.minimum(usual, allowed)


def _heaviest_datum(problem: Problem, spreading: Array) -> Array:
    """Return the largest weight of a state in the mean over a window's data, (W,).

    Parameters
    ----------
    spreading : (W,)
        ‖∂Φ‖², by which a datum between two steps counts at most.
    """
    mask = np.asarray(problem.batch.mask, float)
    weight = mask.max(2)
    points = problem.points(slice(None))
    if isinstance(points, Channels):
        weight += points.curvature(problem.batch.first_guess)
    elif points is not None:
        each = np.asarray(points.weight) * points.operator.squares()
        rows = np.arange(len(mask))[:, None]
        np.add.at(weight, (rows, np.asarray(points.step)), spreading[:, None] * each)
    return np.asarray(weight.max(1) / np.maximum(problem.data(), 1))
