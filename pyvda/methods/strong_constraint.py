"""Strong-constraint 4D-Var: the model is exact, and one state determines the whole window.

Its cost has many minima. There are two ways to the right one: starting from the likeliest states of
a library (low-dimensional models), or growing the window from a short one, whose cost has few
minima. Options and their defaults are in strong_constraint_options.py, the starts in starts.py, the
minima in minima.py; this file turns the best minimum into an analysis.
"""

from __future__ import annotations

import numpy as np

from pyvda import names
from pyvda.engine.data import Minima
from pyvda.methods import final_covariance
from pyvda.methods.control import parameter_stdev
from pyvda.methods.forcing import with_forcing
from pyvda.methods.minima import (
    COVERED,
    NEARLY,
    all_minima,
    covering,
    minima,
    minimised,
    prior_of,
    reaches_further,
    rivals,
)
from pyvda.methods.problem import Problem, Solution, Status
from pyvda.methods.statistics import (
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.methods.strong_constraint_options import StrongConstraintOptions, setting_of

__all__ = ["StrongConstraintOptions", "minima", "solve"]


def solve(problem: Problem, options: StrongConstraintOptions) -> Solution:
    """Minimise from each start and keep the best minimum of every window.

    A window is DOUBTFUL when its cost is larger than the observations' error variance suggests, and
    AMBIGUOUS when another minimum costs nearly as little and lies beyond the spread of the first;
    the spread that is stated covers both.

    Raises
    ------
    InputError
        The error variance of the observations is unknown, starts from a library are requested for a
        model that cannot have one, or options contradict each other.
    """
    windows, steps, size = np.shape(problem.batch.observation)
    objective, iterations = np.full(windows, np.nan), np.zeros(windows, int)
    observed = problem.has_observations()
    found = minimised(problem, options)
    if options.model_error is not None:
        return _with_model_error(problem, options, found)
    finite = np.isfinite(found.objective) & np.isfinite(found.hessian).all((2, 3))
    best = np.where(finite, found.objective, np.inf).argmin(1)
    rows = np.arange(windows)
    control, hessian = found.control[rows, best], found.hessian[rows, best]
    usable = observed & finite[rows, best]
    followed, spread = problem.engine.trajectories(
        problem.model, problem.cost, control[usable], hessian[usable],
        lead=setting_of(problem, options).lead, steps=steps,
    )  # fmt: skip
    x, stdev, status = followed[..., :size], spread[..., :size], np.zeros(windows, int)
    if not usable.all():
        x, stdev, status = without_observations(problem)
        x[usable], stdev[usable] = followed[..., :size], spread[..., :size]
    objective[usable] = found.objective[rows, best][usable]
    iterations[observed] = found.iterations[observed].sum(1)
    status[usable] = found.status[rows, best][usable]
    of_minimum = stdev[:, -1].copy()
    near = rivals(found, best, COVERED) & usable[:, None]
    if near.any() and options.parameters != "shared":
        spread, several = covering(problem, options, found, best, near)
        close = rivals(found, best, NEARLY)[several].any(1)
        status[several[close & reaches_further(spread, stdev[several])]] = Status.AMBIGUOUS
        stdev[several] = spread
    lost = observed & ~(usable & np.isfinite(x).all((1, 2)))
    x[lost], stdev[lost], status[lost] = np.nan, np.nan, Status.DIVERGED
    status, limit = judged(status, objective, problem.data())
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    if options.parameters:
        control[lost], hessian[lost] = np.nan, np.nan
        per_window[names.PARAMETER_ANALYSIS] = control[:, size:]
        per_window[names.PARAMETER_STDEV] = parameter_stdev(hessian, size)
    if names.FINAL_COVARIANCE in options.window_outputs():
        final = final_covariance.unknown(windows, size)
        final[usable] = final_covariance.of_start(
            problem, control[usable], final_covariance.inverse_of(hessian[usable]),
            steps=setting_of(problem, options).lead + steps - 1,
        )  # fmt: skip
        final[~np.isfinite(stdev[:, -1]).all(1)] = np.nan
        per_window[names.FINAL_COVARIANCE] = final_covariance.with_spread(
            final, of_minimum, stdev[:, -1]
        )
    if options.minima:
        per_window |= all_minima(problem, options, found)
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def _with_model_error(
    problem: Problem, options: StrongConstraintOptions, found: Minima
) -> Solution:
    """Minimise with model errors, starting from the minima of the exact model."""
    windows, steps, size = np.shape(problem.batch.observation)
    chosen = np.flatnonzero(problem.has_observations())
    starts = found.control.shape[1]
    guess, _ = problem.engine.trajectories(
        problem.model, problem.cost, found.control[chosen].reshape(-1, size),
        found.hessian[chosen].reshape(-1, size, size), lead=0, steps=steps,
    )  # fmt: skip
    prior = prior_of(problem, options)
    released = with_forcing(
        problem, guess.reshape(len(chosen), starts, steps, size), chosen,
        background=prior.mean, background_precision=prior.precision,
        variance=variance_of(problem, options.observation_variance),
        model_error=options.model_error, iterations=options.iterations,
        tolerance=options.tolerance,
    )  # fmt: skip
    x, stdev, status = without_observations(problem)
    objective, iterations = np.full(windows, np.nan), np.zeros(windows, int)
    x[chosen], stdev[chosen], status[chosen] = released.x, released.stdev, released.status
    objective[chosen] = released.cost
    iterations[chosen] = found.iterations[chosen].sum(1) + released.iterations
    status, limit = judged(status, objective, problem.data())
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    if names.FINAL_COVARIANCE in options.window_outputs():
        variance, points = variance_of(problem, options.observation_variance), problem.batch.points
        per_window[names.FINAL_COVARIANCE] = final_covariance.of_windows(
            problem, x, precision_of(problem, options.observation_variance), prior.precision,
            options.model_error_per_step(size), points=points and points.weighed(1 / variance),
        )  # fmt: skip
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)
