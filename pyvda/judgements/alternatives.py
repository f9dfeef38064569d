"""Other states that the data of a window cannot exclude, and the spread that covers them.

A minimum's Hessian says how uncertain the state is in that minimum only. Where the data are few, or
leave a long stretch to the model, other states fit as well. Two ways to find them are cheap: the
mirror image of the analysis, which is a solution of a model that is invariant under a change of
signs, and, for a low-dimensional model, the members of its library weighed by their likelihood. For
any analysis xₐ the expected squared error is, over the posterior distribution p with mean m,

    E|x - xₐ|² = E|x - m|² + |m - xₐ|².
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyvda.climate.climatology import climatology
from pyvda.climate.library import EVERY, LEAD, LOW_DIMENSIONAL, Library, library
from pyvda.engine.interface import Array
from pyvda.judgements.innovations import Innovations
from pyvda.methods.problem import Problem
from pyvda.methods.statistics import chi_square_limit, half_point_misfit

_FEW = 3  # data for each component of the state, below which the library is asked
# Shares of the climatological variance that the stated one reaches at some step, from which the
# library is asked: of a method that takes the model to be exact, and of one whose model makes
# errors, which the library has not. The others are of a minimum's curvature, within whose spread
# the attractor bends.
LONG, LONG_WITH_ERRORS = 0.07, 0.25
CURVED, CURVED_WITH_ERRORS = 0.02, 0.07
_GAP = 2.0  # mean distances of the data in time, above which a stretch without data is a gap
_MEMBERS = 120_000  # as of strong-constraint 4D-Var, so that both use the same file
# Pieces of the library, members in each, and the effective sample size that is enough there: a
# small library will do where many members fit. The first is for few data only; the last is the
# whole library, for few data and across gaps. Many members in a piece are compared at a time.
_PIECES = ((64, 16, 20.0), (64, 80, 5.0), (64, 468, 5.0), (0, 0, 5.0))
# What is enough of the second where the samples are only pooled with a method's own estimate.
_POOLED = 2.0
# The variance that a method states counts as much as this number of samples.
_OF_METHOD = 10.0


def mirrored(problem: Problem, x: Array, of: Innovations, variance: float) -> tuple[Array, Array]:
    """Return how much more the mirror image costs, (W,), and its difference from x over x, (D,).

    The model is invariant under the change of signs, and so is its climatology, so that only the
    data tell the two apart: Σ 2 x y / R over the components that change their sign, and for other
    data the difference of the two misfits. Infinite for a model without such a symmetry.

    Parameters
    ----------
    x : (W, T, D)
    of : Innovations
        With the variance of their errors.
    variance : float
        R of a datum with weight 1.
    """
    signs = problem.model.mirror_signs
    if signs is None or of.variance is None:
        return np.full(of.windows, np.inf), np.zeros(problem.model.state_size)
    odd = np.array(signs) < 0
    with np.errstate(over="ignore", invalid="ignore"):
        value = of.observation - of.value
        more = 2 * of.summed(odd[of.component] * (value * of.observation / of.variance))
        if problem.points(slice(None)) is not None:
            image, own = (half_point_misfit(problem, one, variance) for one in (x * signs, x))
            more = more + image - own
    return np.where(np.isfinite(more), more, np.inf), np.where(odd, -2.0, 0.0)


def has_library(problem: Problem) -> bool:
    """Tell whether the model has a library and its members can be compared with all data."""
    batch = problem.batch
    if problem.model.state_size > LOW_DIMENSIONAL or batch.channels is not None:
        return False
    points = batch.points
    return points is None or bool((points.operator.single() | (points.weight <= 0)).all())


def at_steps(problem: Problem, x: Array) -> Problem:
    """Return the problem with the data at arbitrary times, each of one component, at steps.

    A datum gets the innovation that it has at its own time at the nearest step.

    Parameters
    ----------
    x : (W, T, D)
        The analysis; without a finite one, a window has no such data.
    """
    points = problem.batch.points
    if points is None:
        return problem
    finite = np.asarray(np.isfinite(x).all((1, 2)))
    x = np.where(finite[:, None, None], x, 0.0)
    d = np.asarray(points.value) - problem.engine.observed(problem.model, problem.cost, x, points)
    window, datum = np.nonzero((np.asarray(points.weight) > 0) & finite[:, None])
    component, coefficient = points.operator[window, datum].largest()
    nearest = np.rint(np.asarray(points.step) + np.asarray(points.fraction)).astype(int)
    at = (window, np.minimum(nearest[window, datum], x.shape[1] - 1), component)
    weight = np.asarray(points.weight, float)[window, datum] * coefficient**2
    mask = np.array(problem.batch.mask, float)
    total = mask * np.asarray(problem.batch.observation, float)
    np.add.at(mask, at, weight)
    np.add.at(total, at, weight * (x[at] + d[window, datum] / coefficient))
    observation = np.divide(total, mask, out=np.zeros_like(total), where=mask > 0)
    batch = replace(problem.batch, observation=observation, mask=mask, points=None)
    return replace(problem, batch=batch)


def few(problem: Problem) -> Array:
    """Return whether a window has so few data that other states may fit them, (W,) bool."""
    return np.asarray(problem.data() <= _FEW * problem.model.state_size)


def with_gap(problem: Problem) -> Array:
    """Return whether a window has a gap longer than the model's memory, (W,) bool.

    It is longer than twice the mean distance of the window's data, and than the time in which the
    model moves, in the mean square, as far as two states that have nothing in common are apart.
    """
    mask = np.asarray(problem.batch.mask)
    seen = _summed(mask) > 0
    steps = np.arange(seen.shape[1])
    last = np.maximum.accumulate(np.where(seen, steps, -1), axis=1)
    longest = (steps - last).max(1)
    found = longest * seen.sum(1) > _GAP * len(steps)
    if found.any():
        found &= longest >= _memory(problem, len(steps))
    return np.asarray(found)


def _memory(problem: Problem, steps: int) -> int:
    """Return the number of steps to decorrelation, at most `steps`."""
    apart = 2 * climatology(problem.model, problem.engine).variance.sum()
    count, each, _ = _PIECES[1]
    x = pieces(_library(problem, steps), count, each, steps).states
    for lag in range(EVERY, min(steps, x.shape[1]), EVERY):
        if ((x[:, lag:] - x[:, :-lag]) ** 2).sum(2).mean() >= apart:
            return lag
    return steps


def _library(problem: Problem, steps: int) -> Library:
    lead = LEAD if problem.model.climatology is None else 0
    time_step = problem.cost.time_step
    return library(problem.model, problem.engine, time_step, steps, _MEMBERS, lead)


def largest_share(stdev: Array, climatological: Array) -> Array:
    """Return the largest share of the climatological variance of the steps of a window, (W,).

    Parameters
    ----------
    stdev : (W, T, D)
        As the method states it.
    climatological : (D,)
        Variance.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(_summed(np.square(stdev)).max(1) / climatological.sum())


def _summed(values: Array) -> Array:
    """Return the sums (W, T) over components of values (W, T, D).

    numpy adds a few arrays faster than it reduces a short axis.
    """
    return np.asarray(sum(np.moveaxis(values, -1, 0)))


def expected_square(
    problem: Problem, x: Array, variance: float, chosen: Array, loose: Array, long: Array
) -> tuple[Array, Array]:
    """Return E(x - xₐ)² over the posterior from the library, and from how many samples it is.

    Parameters
    ----------
    x : (W, T, D)
        The analysis xₐ, of any method.
    variance : float
        R of a datum with weight 1.
    chosen : (n,) int
        Windows.
    loose : (n,) bool
        For which of them the whole library is asked, if need be.
    long : (n,) bool
        Which of them leave much to the model. The others are asked of a small library alone, where
        few samples are enough: they are pooled with the method's own estimate.

    Returns
    -------
    square : (n, T, D)
    effective : (n,)
        Effective sample size; 0 where too few members fit the data, or none as well as it should.
    """
    model, steps = problem.model, x.shape[1]
    shelf = _library(problem, steps)
    square = np.full((len(chosen), *x.shape[1:]), np.nan)
    effective = np.zeros(len(chosen))
    observation, mask = np.asarray(problem.batch.observation), np.asarray(problem.batch.mask)
    deviation = np.sqrt(climatology(model, problem.engine).variance)
    sparse = few(problem)[chosen]
    every = np.ones(len(chosen), bool)
    stages = list(zip(_PIECES, (sparse & long, every, long, loose), strict=True))
    if model.climatology is not None:
        stages, long = [(_PIECES[-1], every)], every
    for (count, each, enough), wanted in stages:
        left = np.flatnonzero(wanted & (effective == 0))
        if not len(left):
            continue
        rows = chosen[left]
        precision = np.asarray(mask[rows], float) / variance
        found = problem.engine.posterior_mean(
            model, problem.cost, np.asarray(observation[rows], float), precision,
            pieces(shelf, count, each, steps) if count else shelf,
            noise=np.zeros((0, x.shape[2])), enough=0.0, spread=deviation,
        )  # fmt: skip
        fits = found.misfit <= chi_square_limit((precision > 0).sum((1, 2)))
        taken = fits & (found.effective >= np.where(long[left], enough, _POOLED))
        square[left[taken]] = found.stdev[taken] ** 2 + (found.mean[taken] - x[rows[taken]]) ** 2
        effective[left[taken]] = found.effective[taken]
    return square, effective


def pooled(variance: Array, square: Array, effective: Array) -> Array:
    """Return the variance of the error, from a method's estimate and from samples, (n, T, D).

    The mean p of the method's variance and of the samples' mean square, with the weights ν and n,
    has a relative variance of 2n / (ν + n)². The quotient of a squared error and p is larger than 1
    on average by as much, and p is multiplied by 1 + 2n / (ν + n)².

    Parameters
    ----------
    variance : (n, T, D)
        As the method states it.
    square : (n, T, D)
        Mean square of the samples, see `expected_square`.
    effective : (n,)
        Effective sample size.

    Examples
    --------
    >>> round(pooled(np.ones((1, 1, 1)), np.full((1, 1, 1), 2.0), np.array([10.0])).item(), 9)
    1.575
    """
    n = effective[:, None, None]
    total = _OF_METHOD + n
    return np.asarray((_OF_METHOD * variance + n * square) / total * (1 + 2 * n / total**2))


def pieces(shelf: Library, count: int, each: int, steps: int) -> Library:
    """Return a library of `count` short pieces, with `each` members, of the trajectories.

    The pieces lie as far apart as they can, so that their members differ.
    """
    trajectories, length, size = shelf.states.shape
    short = shelf.lead + EVERY * (each - 1) + steps
    a_trajectory = max(1, min(count // trajectories, length // EVERY))
    if short > length:
        return shelf
    first = np.linspace(0, length - short, a_trajectory).astype(int)
    cut = np.stack([shelf.states[:, at : at + short] for at in first], axis=1)
    return replace(shelf, states=np.ascontiguousarray(cut.reshape(-1, short, size)))
