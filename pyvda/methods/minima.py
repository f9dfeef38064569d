"""The minima of strong-constraint 4D-Var: one for each start, ordered by cost, duplicates found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda import names
from pyvda.climate.background_option import CLIMATOLOGY, is_name
from pyvda.climate.climatology import climatology
from pyvda.engine.data import Minima
from pyvda.engine.interface import Array
from pyvda.methods.blocks import expect_memory
from pyvda.methods.control import Prior, with_parameters
from pyvda.methods.problem import Problem, Status
from pyvda.methods.shared_parameters import in_common
from pyvda.methods.starts import starts
from pyvda.methods.statistics import background_of, chi_square_limit, precision_of, variance_of
from pyvda.methods.strong_constraint_options import StrongConstraintOptions, setting_of

_WORK = 4_000_000  # numbers in the Hessians of a block of windows: about a second of work
_SAME = 1e-3  # standard deviations of the posterior between two distinct minima
_APART = 3.0  # the same, between two minima of which one does not cover the other

_MORE = 9.0  # times its own variance: what lies beyond the spread of a minimum

NEARLY = 2.0
"""Difference of the objective within which another minimum is not excluded: odds of 7 to 1."""

COVERED = 6.0
"""Difference of the objective within which the spread covers another minimum: odds of 400 to 1."""


def minima(problem: Problem, options: StrongConstraintOptions) -> tuple[Minima, Array]:
    """Return the minimum that each start leads to, ordered by cost, and which are distinct.

    Windows without observations have the background's mean.

    Returns
    -------
    Minima
        The best of each window first.
    (W, S) of bool
        Whether the minimum converged and differs from all minima before it.
    """
    return ordered(minimised(problem, options))


def minimised(problem: Problem, options: StrongConstraintOptions) -> Minima:
    """Minimise from every start; windows without observations keep the prior's mean."""
    setting = setting_of(problem, options)
    prior = prior_of(problem, options)
    controls = starts(problem, options, prior, setting)
    found = _from_starts(problem, options, prior, controls, setting.count, setting.growth)
    if options.parameters != "shared":
        return found

    def again(controls: Array, prior: Prior) -> Minima:
        count = controls.shape[1]
        return _from_starts(problem, options, prior, lambda block: controls[block], count, 0)

    limit = chi_square_limit(problem.data())
    return in_common(found, prior, problem.model.state_size, limit, again)


def _from_starts(
    problem: Problem,
    options: StrongConstraintOptions,
    prior: Prior,
    starts: Callable[[Array], Array],
    count: int,
    growth: int,
) -> Minima:
    """Minimise in blocks of windows, each from the controls (n, count, C) that `starts` returns."""
    precision = precision_of(problem, options.observation_variance)
    observation = np.asarray(problem.batch.observation, float)
    windows, steps, _ = observation.shape
    size = len(prior.mean)
    expect_memory(2 * windows * count * size**2, f"a Hessian of {size} numbers for every start")
    control = np.broadcast_to(prior.mean, (windows, count, size)).copy()
    hessian = np.broadcast_to(prior.precision, (windows, count, size, size)).copy()
    objective = np.zeros((windows, count))
    iterations = np.zeros((windows, count), int)
    status = np.full((windows, count), int(Status.NO_OBSERVATIONS))
    chosen = np.flatnonzero(problem.has_observations())
    everything = len(chosen) == windows
    length = max(8, _WORK // (steps * size * size))
    lead = setting_of(problem, options).lead
    weight = 1 / variance_of(problem, options.observation_variance)
    for first in range(0, len(chosen), length):
        block = chosen[first : first + length]
        points = problem.points(block)
        rows = slice(first, first + length) if everything else block  # a slice copies nothing
        part = problem.engine.strong_constraint(
            problem.model, problem.cost, observation[rows], precision[rows],
            starts(block), background=prior.mean, background_precision=prior.precision,
            variance=prior.variance, lead=lead, growth=growth, iterations=options.iterations,
            tolerance=options.tolerance, points=points and points.weighed(weight),
        )  # fmt: skip
        for values, into in zip(
            part, (control, hessian, objective, iterations, status), strict=True
        ):
            into[block] = values
        problem.report(first + len(block), len(chosen))
    return Minima(control, hessian, objective, iterations, status)


def prior_of(problem: Problem, options: StrongConstraintOptions) -> Prior:
    """Return the Gaussian prior of the control."""
    given = background_of(options, problem.model, problem.engine)
    if is_name(options.background):
        known = climatology(problem.model, problem.engine)
        mean = given.mean if options.background == CLIMATOLOGY else known.mean
        state = Prior(mean, given.precision, known.variance)
    else:  # needs no climatology, which a model without an attractor does not have
        state = Prior(given.mean, given.precision, np.diag(np.linalg.inv(given.precision)))
    if not options.parameters:
        return state
    return with_parameters(state, problem.model, options.parameter_stdev)


def ordered(found: Minima) -> tuple[Minima, Array]:
    """Return the minima by increasing cost, and which converged and are distinct, (W, S)."""
    order = np.argsort(np.where(np.isfinite(found.objective), found.objective, np.inf), axis=1)
    found = Minima(*(_reordered(values, order) for values in found))
    distinct = found.status == Status.CONVERGED
    for k in range(1, distinct.shape[1]):
        for j in range(k):
            d = found.control[:, k] - found.control[:, j]
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.einsum("wi,wij,wj->w", d, found.hessian[:, j], d)
            distinct[:, k] &= ~(distinct[:, j] & (apart < _SAME**2))
    return found, distinct


def rivals(found: Minima, best: Array, most: float) -> Array:
    """Return which minima the data do not exclude beside the best one, (W, S) of bool.

    They converged, cost less than `most` more, and lie more than three standard deviations of the
    best one's posterior from it.

    Parameters
    ----------
    best : (W,) int
        The start that led to the lowest cost.
    most : float
        Difference of the objective: `NEARLY`, or `COVERED`.
    """
    rows = np.arange(len(best))
    with np.errstate(invalid="ignore", over="ignore"):
        more = found.objective - found.objective[rows, best][:, None]
        near = (found.status == Status.CONVERGED) & (more < most)
    near[rows, best] = False
    windows, starts = np.nonzero(near)
    if len(windows):
        chosen = best[windows]
        d = found.control[windows, starts] - found.control[windows, chosen]
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.einsum("ni,nij,nj->n", d, found.hessian[windows, chosen], d)
        near[windows, starts] = apart > _APART**2
    return near


def reaches_further(covering: Array, own: Array) -> Array:
    """Return whether a spread that covers other states is three times a minimum's own, (W,).

    Parameters
    ----------
    covering, own : (W, T, D)
        Standard deviations.
    """
    return np.asarray((covering**2).mean((1, 2)) > _MORE * (own**2).mean((1, 2)))


def covering(
    problem: Problem, options: StrongConstraintOptions, found: Minima, best: Array, near: Array
) -> tuple[Array, Array]:
    """Return the spread about the best minimum that covers its rivals, and of which windows.

    It is the root of Σ w (σ² + (x - x_best)²) over the minima, whose weights w are proportional to
    exp(-J).

    Parameters
    ----------
    best : (W,) int
    near : (W, S) of bool
        See `rivals`.

    Returns
    -------
    spread : (n, T, D)
    windows : (n,) int
        Those with rivals.
    """
    rows = np.flatnonzero(near.any(1))
    counted = near[rows]
    counted[np.arange(len(rows)), best[rows]] = True
    lowest = found.objective[rows, best[rows]]
    weight = np.where(counted, np.exp(lowest[:, None] - found.objective[rows]), 0.0)
    weight /= weight.sum(1, keepdims=True)
    windows, starts = np.nonzero(counted)
    size = problem.model.state_size
    x, stdev = problem.engine.trajectories(
        problem.model, problem.cost, found.control[rows[windows], starts],
        found.hessian[rows[windows], starts], lead=setting_of(problem, options).lead,
        steps=problem.batch.observation.shape[1],
    )  # fmt: skip
    x, square = x[..., :size], np.square(stdev[..., :size])
    at_best = x[starts == best[rows[windows]]]
    square = weight[windows, starts][:, None, None] * (square + (x - at_best[windows]) ** 2)
    total = np.zeros((len(rows), *x.shape[1:]))
    np.add.at(total, windows, square)
    return np.sqrt(total), rows


def all_minima(
    problem: Problem, options: StrongConstraintOptions, found: Minima
) -> dict[str, Array]:
    """Return objective and first state of the distinct minima, up to `options.count` per window.

    Missing minima are NaN, as are windows without observations or in which every start failed.
    """
    found, distinct = ordered(found)
    lead, size = setting_of(problem, options).lead, problem.model.state_size
    objective = np.full((len(distinct), options.count), np.nan)
    state = np.full((*objective.shape, size), np.nan)
    windows, starts = np.nonzero(distinct)
    places = (np.cumsum(distinct, axis=1) - 1)[windows, starts]
    objective[windows, places] = found.objective[windows, starts]
    state[windows, places] = problem.engine.trajectories(
        problem.model, problem.cost, found.control[windows, starts],
        found.hessian[windows, starts], lead=lead, steps=1,
    )[0][:, 0, :size]  # fmt: skip
    return {names.MINIMUM_OBJECTIVE: objective, names.MINIMUM_STATE: state}


def _reordered(values: Array, order: Array) -> Array:
    index = order.reshape(order.shape + (1,) * (values.ndim - 2))
    return np.take_along_axis(values, index, axis=1)
