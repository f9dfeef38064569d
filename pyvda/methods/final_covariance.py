"""The covariance of an analysis at a window's last step: the background of the next window.

Both are the last block of the inverse of the Hessian that the method minimised with, made by
forward recursion with the tangent linear of the model, so that any engine will do:

    weak constraint    P⁻¹ ← (M P Mᵀ + Q)⁻¹ + Hᵀ R⁻¹ H      over the nodes, from B
    strong constraint  P  ← M P Mᵀ                           over the steps, from the control's

A datum between two steps has the row aᵀ Φ_θ' in H (`pyvda.operators.points`).

For a linear model this is the covariance of the Kalman filter.
"""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.problem import Problem
from pyvda.operators.points import Points


def of_windows(
    problem: Problem,
    x: Array,
    precision: Array,
    background_precision: Array,
    model_error: Array,
    *,
    points: Points | None = None,
    every: int = 1,
    substeps: int = 1,
) -> Array:
    """Return `of_nodes` of the windows with observations and a finite analysis, else NaN."""
    found = unknown(*x.shape[::2])
    if can_be_followed(problem):
        known = problem.has_observations() & np.isfinite(x).all((1, 2))
        found[known] = of_nodes(
            problem, x[known], precision[known], background_precision, model_error,
            points=None if points is None else points[known], every=every, substeps=substeps,
        )  # fmt: skip
    return found


def of_nodes(
    problem: Problem,
    x: Array,
    precision: Array,
    background_precision: Array,
    model_error: Array,
    *,
    points: Points | None = None,
    every: int = 1,
    substeps: int = 1,
) -> Array:
    """Return the covariance at the last step of a weak-constraint analysis, (W, D, D).

    Parameters
    ----------
    problem : Problem
        Its data must be linear in the state (`can_be_followed`).
    x : (W, T, D)
        The analysis, at whose nodes the model is linearised.
    precision : (W, T, D)
        One over the error variance of each datum, 0 where there is none.
    background_precision : (D, D)
        B⁻¹ at the first step.
    model_error : (D, D)
        Q, added from one node to the next.
    points : Points, optional
        Data at arbitrary times; `weight` is one over the error variance.
    every, substeps : int
        As `pyvda.engine.data.Shooting`.

    Returns
    -------
    (W, D, D)
        NaN where the analysis is not finite or nothing determines the state.
    """
    steps, size = x.shape[1:]
    eye = np.eye(size)
    information = np.broadcast_to(background_precision, (len(x), size, size)).copy()
    tangent = np.broadcast_to(eye, information.shape).copy()  # from the last node to step t
    state = x[:, 0]
    for t in range(steps):
        if t and t % every == 0:  # a node: the model error comes in
            covariance = _propagated(tangent, _inverse(information)) + model_error
            information = _inverse(covariance)
            tangent = np.broadcast_to(eye, information.shape).copy()
            state = x[:, t]
        # Between nodes the model is exact: a datum is one of the last node's state.
        information = information + np.swapaxes(tangent, 1, 2) @ (
            precision[:, t, :, None] * tangent
        )
        if points is not None:
            information += _of_points(problem, points, t, state, tangent, substeps)
        if t + 1 < steps:
            state, tangent = _step(problem, state, tangent, substeps=substeps)
    return _propagated(tangent, _inverse(information))


def of_start(problem: Problem, start: Array, covariance: Array, *, steps: int) -> Array:
    """Return the covariance of states `steps` after states with a covariance, (W, D, D).

    Parameters
    ----------
    start : (W, D)
        States, from which the model is followed.
    covariance : (W, D, D)
        Covariance of their errors.
    """
    tangent = np.broadcast_to(np.eye(start.shape[1]), covariance.shape).copy()
    for _ in range(steps):
        start, tangent = _step(problem, start, tangent)
    return _propagated(tangent, covariance)


def can_be_followed(problem: Problem) -> bool:
    """Tell whether all data are linear in the state, which `of_nodes` needs."""
    return getattr(problem.batch, "channels", None) is None


def unknown(windows: int, size: int) -> Array:
    """Return unknown covariances, (W, D, D) of NaN."""
    return np.full((windows, size, size), np.nan)


def inverse_of(hessian: Array) -> Array:
    """Return the inverse of symmetric matrices (..., D, D), NaN where one is singular."""
    return _inverse(hessian)


def _of_points(
    problem: Problem, points: Points, t: int, state: Array, tangent: Array, substeps: int
) -> Array:
    """Return the information of data between the steps t and t + 1 on the last node, (W, D, D)."""
    found = np.zeros_like(tangent)
    here = (np.asarray(points.step) == t) & (np.asarray(points.weight) > 0)
    fractions = np.asarray(points.fraction)
    for fraction in np.unique(fractions[here]):
        at = here & (fractions == fraction)
        windows = at.any(1)
        there = tangent[windows]
        if fraction > 0:
            _, there = _step(problem, state[windows], there, fraction, substeps)
        rows = np.asarray(points.operator)[windows] @ there
        weight = np.where(at, points.weight, 0.0)[windows]
        found[windows] += np.swapaxes(rows, 1, 2) @ (weight[..., None] * rows)
    return found


def _step(
    problem: Problem, state: Array, tangent: Array, fraction: float = 1.0, substeps: int = 1
) -> tuple[Array, Array]:
    """Return the states (W, D) a step, or a fraction of one, later, and the tangent linear there.

    The tangent linear (W, D, D) is continued from the one that is given.
    """
    engine, model, scheme = problem.engine, problem.model, problem.cost.scheme
    if model.kind == "step" and fraction < 1:
        after, carried = _step(problem, state, tangent)  # between them as the engines interpolate
        return state + fraction * (after - state), tangent + fraction * (carried - tangent)
    step = float(fraction * problem.cost.time_step / substeps)
    for _ in range(substeps):
        columns = np.ascontiguousarray(np.swapaxes(tangent, 1, 2))
        states = np.ascontiguousarray(np.broadcast_to(state[:, None], columns.shape))
        moved = engine.tangent_linear(model, states, columns, time_step=step, scheme=scheme)
        tangent = np.swapaxes(moved, 1, 2)
        state = engine.forecast(model, state, time_step=step, scheme=scheme)
    return state, tangent


def _propagated(tangent: Array, covariance: Array) -> Array:
    found = tangent @ covariance @ np.swapaxes(tangent, 1, 2)
    return np.asarray((found + np.swapaxes(found, 1, 2)) / 2)


def _inverse(matrix: Array) -> Array:
    """Return the inverse of each matrix; NaN where it has none."""
    found = np.full_like(matrix, np.nan)
    usable = np.isfinite(matrix).all((-2, -1))
    try:
        found[usable] = np.linalg.inv(matrix[usable])
    except np.linalg.LinAlgError:
        for index in np.argwhere(usable):
            one = tuple(index)
            if np.linalg.matrix_rank(matrix[one]) == matrix.shape[-1]:
                found[one] = np.linalg.inv(matrix[one])
    return found


def with_spread(covariance: Array, before: Array, after: Array) -> Array:
    """Return covariances whose standard deviations have changed and whose correlations have not.

    Parameters
    ----------
    covariance : (W, D, D)
    before, after : (W, D)
        Standard deviations.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(before == after, 1.0, after / before)
    return np.asarray(covariance * ratio[:, :, None] * ratio[:, None, :])
