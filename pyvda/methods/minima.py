"""The minima of strong-constraint 4D-Var: one for each start, ordered by cost, duplicates found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda import names
from pyvda.climate.background import CLIMATOLOGY, is_name
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
