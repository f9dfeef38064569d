"""The judgements of a window, after its method: reasons for doubt, the status, the spread.

    status                            doubts
    AMBIGUOUS                         OTHER_STATES
    DOUBTFUL                          any other
    CONVERGED, ITERATION_LIMIT        none; or the spread alone is limited

A window that diverged or has no observations keeps its status.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pyvda import names
from pyvda.climate.background_option import CLIMATOLOGY, is_name
from pyvda.climate.climatology import climatology
from pyvda.engine.interface import Array
from pyvda.judgements import alternatives
from pyvda.judgements.innovations import (
    Innovations,
    equal_signs,
    equal_values,
    expected_at_points,
    fit,
    innovations,
    too_small,
)
from pyvda.learned.patterns import unlike_trained
from pyvda.methods.final_covariance import with_spread
from pyvda.methods.minima import COVERED, NEARLY, reaches_further
from pyvda.methods.problem import Options, Problem, Solution, Status
from pyvda.names import Doubt

_OPEN = 0.25  # share of the climatological variance that few data leave open
_ALIKE = 1.06  # quotient of two expected misfits, up to which their mean is used
_LIMITED = 2.0  # climatological standard deviations above which a stated one is noted as limited


def judged_solution(
    problem: Problem, options: Options, solution: Solution, *, own_background: bool = False
) -> Solution:
    """Return the solution with `names.DOUBTS` and `names.FIT`, its status and its spread judged.

    Parameters
    ----------
    problem : Problem
    options : Options
        Options of the method.
    solution : Solution
    own_background : bool
        Whether each window has a background of its own in place of that of the options.
    """
    status = np.array(solution.status, int)
    judged = (status != Status.DIVERGED) & (status != Status.NO_OBSERVATIONS)
    known = known_variance(problem, options)
    stdev = solution.stdev
    observation, mask = np.asarray(problem.batch.observation), np.asarray(problem.batch.mask)
    of = innovations(observation, mask, solution.x, known, stdev)
    doubts = np.where(status == Status.DOUBTFUL, int(Doubt.MISFIT_LARGE), 0)
    doubts |= np.where(status == Status.AMBIGUOUS, int(Doubt.OTHER_STATES), 0)
    few = _few_samples(options, solution)
    doubts = np.where(few & (status == Status.DOUBTFUL), int(Doubt.FEW_SAMPLES), doubts)
    doubts |= Doubt.EQUAL_VALUES * equal_values(of)
    pattern = options.pattern()
    if pattern is not None:
        other = unlike_trained(mask > 0, problem.observation_variance, pattern)
        doubts |= Doubt.OTHER_PATTERN * other
    ratio = np.full(len(status), np.nan)
    if known is not None and options.has_stdev() and stdev is not None:
        doubts |= Doubt.EQUAL_SIGNS * equal_signs(of)
        ratio, freedom = _fit(problem, solution, of, known)
        doubts |= Doubt.MISFIT_SMALL * too_small(ratio, freedom)
        if from_climatology(options) and not own_background:
            stdev, more = _spread(problem, options, solution.x, stdev, of, known, judged)
            doubts |= more
    doubts = np.where(judged, doubts, 0)
    status = status_with(doubts, status)
    per_window = {**solution.per_window, names.DOUBTS: doubts, names.FIT: ratio}
    if names.FINAL_COVARIANCE in per_window and solution.stdev is not None and stdev is not None:
        per_window[names.FINAL_COVARIANCE] = with_spread(
            per_window[names.FINAL_COVARIANCE], solution.stdev[:, -1], stdev[:, -1]
        )
    return replace(solution, status=status, stdev=stdev, per_window=per_window)


def status_with(doubts: Array, status: Array) -> Array:
    """Return the status that follows from doubts, else the method's, (W,) int."""
    serious = doubts & ~int(Doubt.SPREAD_LIMITED)
    status = np.where(serious & ~int(Doubt.OTHER_STATES), int(Status.DOUBTFUL), status)
    return np.where(serious == Doubt.OTHER_STATES, int(Status.AMBIGUOUS), status)


def known_variance(problem: Problem, options: Options) -> float | None:
    """Return R of a datum with weight 1: that of the options, the file's, or the training's."""
    found: Any = getattr(options, "observation_variance", None)
    if found is None:
        found = problem.observation_variance
    pattern = options.pattern()
    if found is None and pattern is not None:
        found = pattern.variance
    usable = found is not None and np.isfinite(found) and found > 0
    return float(found) if usable else None


def from_climatology(options: Options) -> bool:
    """Tell whether the prior is the model's climatology, which then limits the spread."""
    background = getattr(options, "background", CLIMATOLOGY)
    return is_name(background) and background == CLIMATOLOGY


def _few_samples(options: Options, solution: Solution) -> Array:
    effective = solution.per_window.get(names.EFFECTIVE_SAMPLE_SIZE)
    if effective is None:
        return np.zeros(len(solution.status), bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(effective < getattr(options, "doubtful", 0.0))


def _fit(
    problem: Problem, solution: Solution, of: Innovations, known: float
) -> tuple[Array, Array]:
    """Return how well each window fits, 1 being expected, and its degrees of freedom, (W,).

    NaN where data depend on several components and it matters how the errors of these correlate.
    """
    objective = solution.per_window.get(names.OBJECTIVE)
    if objective is not None:  # twice the minimum is a chi-square variable of as many as the data
        data = np.maximum(problem.data(), 1).astype(float)
        return 2 * np.asarray(objective) / data, data
    unknown = np.full(len(solution.x), np.nan)
    if problem.batch.channels is not None:
        return unknown, unknown
    if problem.batch.points is None:
        return fit(of)
    misfit = solution.per_window.get(names.MISFIT)
    if misfit is None or of.variance is None or of.expected is None or solution.stdev is None:
        return unknown, unknown
    on_grid = of.summed(of.expected / of.variance)
    low, high = (
        on_grid + one for one in expected_at_points(problem.batch.points, solution.stdev, known)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(high <= _ALIKE * low, 4 * misfit / (low + high), np.nan), (low + high) / 2


def _spread(
    problem: Problem,
    options: Options,
    x: Array,
    stdev: Array,
    of: Innovations,
    variance: float,
    judged: Array,
) -> tuple[Array, Array]:
    """Return the spread that covers other states, at most the climatology's, and doubts."""
    limit = climatology(problem.model, problem.engine).variance
    doubts = np.zeros(len(x), int)
    with np.errstate(invalid="ignore"):
        large = (stdev > _at_each_step(_LIMITED * np.sqrt(limit), x.shape)).any((1, 2))
    samples = names.EFFECTIVE_SAMPLE_SIZE in options.window_outputs()
    if samples or getattr(options, "parameters", False):  # a posterior, or of another control
        return _limited(stdev, limit), doubts
    # The curvature across a long stretch without data may have no inverse to rounding.
    unknown = np.isnan(stdev.sum((1, 2))) & judged
    doubts |= Doubt.SPREAD_LIMITED * (large | unknown)
    stdev = stdev.copy()
    # The spread of a minimum is linearised, that of an ensemble is not.
    if names.OBJECTIVE in options.window_outputs() and alternatives.has_library(problem):
        of_curvature = options.states_curvature()
        exact = not options.model_error_per_step(problem.model.state_size).any()
        given = alternatives.at_steps(problem, x)
        loose = alternatives.few(given) | alternatives.with_gap(given)
        share = alternatives.largest_share(stdev, limit)
        long = loose | ~(share < (alternatives.LONG if exact else alternatives.LONG_WITH_ERRORS))
        curved = alternatives.CURVED if exact else alternatives.CURVED_WITH_ERRORS
        bent = of_curvature & ~(share < curved)
        chosen = np.flatnonzero((long | bent) & problem.has_observations() & judged)
        if len(chosen):
            square, size = alternatives.expected_square(
                given, x, variance, chosen, loose[chosen], long[chosen]
            )
            rows, square, size = chosen[size > 0], square[size > 0], size[size > 0]
            own = _limited(stdev[rows], limit)
            alone = square * (size / (size - 1))[:, None, None]
            further = reaches_further(np.sqrt(alone), own)
            more = further | (alone.mean((1, 2)) > _OPEN * limit.mean())
            doubts[rows[more & alternatives.few(given)[rows]]] |= Doubt.OTHER_STATES
            alone = np.fmax(stdev[rows] ** 2, alone)
            if of_curvature:  # where it misses other states, the samples alone count
                both = alternatives.pooled(own**2, square, size)
                misses = (further | loose[rows])[:, None, None] | np.isnan(both)
                alone = np.where(misses, alone, both)
            stdev[rows] = np.sqrt(alone)
    stdev[unknown] = np.where(np.isnan(stdev[unknown]), np.sqrt(limit), stdev[unknown])
    cost, apart = alternatives.mirrored(problem, x, of, variance)
    near = np.flatnonzero((cost < COVERED) & judged & problem.has_observations())
    if len(near):
        doubts[near] |= np.where(cost[near] < NEARLY, int(Doubt.OTHER_STATES), 0)
        share = 1 / (1 + np.exp(np.clip(cost[near], -50.0, 50.0)))
        more = np.sqrt(share)[:, None, None] * np.abs(apart * x[near])
        stdev[near] = np.maximum(stdev[near], more)
    return _limited(stdev, limit), doubts


def _limited(stdev: Array, variance: Array) -> Array:
    """Return standard deviations (W, T, D), at most the climatological ones; NaN stays NaN."""
    return np.minimum(stdev, _at_each_step(np.sqrt(variance), stdev.shape))


def _at_each_step(values: Array, shape: tuple[int, ...]) -> Array:
    """Return values (D,) as (T, D): numpy broadcasts slowly along a last axis that is short."""
    return np.ascontiguousarray(np.broadcast_to(values, shape[1:]))
