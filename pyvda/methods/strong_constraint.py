"""Strong-constraint 4D-Var: the model is exact, and one state decides the whole window.

Its cost has many minima. Two ways lead to the right one: to start from the likeliest states of a
library (low-dimensional models), or to grow the window from a short one, whose cost has few minima.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.background import CLIMATOLOGY, get_background, is_name
from pyvda.climate.climatology import climatology
from pyvda.climate.library import LOW_DIMENSIONAL, library
from pyvda.engine import Engine
from pyvda.engine.data import Minima
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods import final_covariance
from pyvda.methods.control import Prior, parameter_stdev, with_parameters
from pyvda.methods.forcing import with_forcing
from pyvda.methods.problem import Positive, Problem, Seed, Solution, Status
from pyvda.methods.shared_parameters import in_common
from pyvda.methods.statistics import (
    CyclingOptions,
    chi_square_limit,
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.points import Points, nearest_steps

_WORK = 4_000_000  # numbers in a block of windows: about a second of work
_APART = 0.1  # climatological standard deviations between two starts from the library
_SINGLE = ("mean", "first-guess")  # starts of which there is one
_LOOKS = 25  # steps at which a library is compared with a first guess
_SAME = 1e-3  # standard deviations of the posterior between two distinct minima


class StrongConstraintOptions(CyclingOptions):
    """Options of strong-constraint 4D-Var.

    Attributes
    ----------
    starts : {"library", "climatology", "mean", "first-guess"}, optional
        The likeliest states of a library; climatological states; the background's mean; the state
        of a library whose trajectory is nearest to the first guess (of other models the first
        guess at t₀). The last two are one start. Default: "first-guess" with a warm start, else
        "library" for low-dimensional models, else "mean".
    count : int
        Number of starts; the minimum of least cost is kept.
    growth : int, optional
        Steps by which the window grows (quasi-static); 0: the whole window at once. Default: 0 from
        a library or a first guess, else 16.
    background : str
        "climatology" (Gaussian), "flat" (none), or a file: see
        `pyvda.climate.background.get_background`.
    background_lead : int, optional
        Steps before the window at which the background stands. Default: 0 for a given one; for the
        climatology 20 for low-dimensional models, so that the flow brings it onto the attractor,
        else 0.
    members : int
        Of the library, mirrored ones included.
    iterations : int
        Of Gauss-Newton, at most so many for a start and a length of the window.
    tolerance : float
        On twice what the cost could still fall by.
    seed : int
        Of the climatological starts.
    parameters : bool or "shared"
        Whether the model's parameters belong to the control, too: of each window its own, or one
        vector that all windows share which are assimilated together (those of a block, where a file
        is read in blocks). Their deviation counts the observations' errors alone; of hundreds of
        windows it is small, and that a minimum is not the mean (1-2 %) then counts for more.
    minima : bool
        Keep every distinct minimum that the starts led to, not the best alone: objective and first
        state, `(window, minimum)`, the least first and NaN behind the last.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q, in the state's units squared: the covariance of an error that the model makes at every
        step, which then belongs to the control (`pyvda.methods.forcing`). The minima of the exact
        model are the first guesses, the background stands at t₀, and `tolerance` is relative to the
        first gradient norm. Default: the model is exact.
    parameter_stdev : float
        Of their Gaussian prior, relative to the model's values, around which it stands.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = True
    takes_points: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True

    starts: Literal["library", "climatology", "mean", "first-guess"] | None = None
    count: int = Field(3, ge=1)
    growth: int | None = Field(None, ge=0)
    background_lead: int | None = Field(None, ge=0, le=1000)
    members: int = Field(120_000, ge=100, le=20_000_000)
    iterations: int = Field(100, ge=1)
    tolerance: float = Field(1e-8, gt=0)
    seed: Seed = 0
    parameters: bool | Literal["shared"] = False
    parameter_stdev: Positive = 0.1
    minima: bool = False
    model_error: CovarianceOption | None = None

    @model_validator(mode="after")
    def _check(self) -> StrongConstraintOptions:
        for name in ("parameters", "minima", "background_lead"):
            if self.model_error is not None and getattr(self, name):
                raise ValueError(
                    f"{name} cannot be combined with model_error; leave out one of them"
                )
        return self

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return True

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        of_parameters = names.OF_PARAMETERS if self.parameters else ()
        of_minima = names.OF_MINIMA if self.minima else ()
        # With the parameters estimated the state alone does not follow from its covariance.
        final = (names.FINAL_COVARIANCE,) if self.final_covariance and not self.parameters else ()
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT, *of_parameters, *of_minima, *final)

    def model_error_per_step(self, state_size: int) -> Array:
        """Return the covariance (D, D) that the model adds to a state's error in a step."""
        if self.model_error is None:
            return np.zeros((state_size, state_size))
        return as_covariance(self.model_error, state_size, "model_error").dense()


class _Setting(NamedTuple):
    """The options with their defaults for this model."""

    starts: str
    growth: int
    lead: int


def minima(problem: Problem, options: StrongConstraintOptions) -> tuple[Minima, Array]:
    """Return where every start led to, ordered by cost, and which of the minima are distinct.

    Windows without observations have the background's mean, where that is given.

    Returns
    -------
    Minima
        The best of each window first.
    (W, S) of bool
        Converged, and not one of the minima before it.
    """
    engine = problem.engine
    precision = precision_of(problem, options.observation_variance)
    found = _minimised(problem, options, engine, precision)
    return _ordered(found)


def _ordered(found: Minima) -> tuple[Minima, Array]:
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


def solve(problem: Problem, options: StrongConstraintOptions) -> Solution:
    """Minimise from each start and keep the best minimum of every window.

    A window is DOUBTFUL when its cost is above what the observations' error variance lets expect.

    Raises
    ------
    InputError
        The variance of the observations is not known, starts from a library are asked for a model
        that cannot have one, or options contradict each other.
    """
    engine = problem.engine
    precision = precision_of(problem, options.observation_variance)
    windows, steps, size = np.shape(problem.batch.observation)
    objective, iterations = np.full(windows, np.nan), np.zeros(windows, int)
    observed = problem.has_observations()
    found = _minimised(problem, options, engine, precision)
    if options.model_error is not None:
        return _with_model_error(problem, options, engine, found)
    finite = np.isfinite(found.objective) & np.isfinite(found.hessian).all((2, 3))
    best = np.where(finite, found.objective, np.inf).argmin(1)
    rows = np.arange(windows)
    control, hessian = found.control[rows, best], found.hessian[rows, best]
    usable = observed & finite[rows, best]
    followed, spread = engine.trajectories(
        problem.model, problem.cost, control[usable], hessian[usable],
        lead=_setting(problem, options).lead, steps=steps,
    )  # fmt: skip
    x, stdev, status = followed[..., :size], spread[..., :size], np.zeros(windows, int)
    if not usable.all():
        x, stdev, status = without_observations(problem)
        x[usable], stdev[usable] = followed[..., :size], spread[..., :size]
    objective[usable] = found.objective[rows, best][usable]
    iterations[observed] = found.iterations[observed].sum(1)
    status[usable] = found.status[rows, best][usable]
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
            steps=_setting(problem, options).lead + steps - 1,
        )  # fmt: skip
        final[~np.isfinite(stdev[:, -1]).all(1)] = np.nan
        per_window[names.FINAL_COVARIANCE] = final
    if options.minima:
        per_window |= _all_minima(problem, options, engine, found)
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def _with_model_error(
    problem: Problem, options: StrongConstraintOptions, engine: Engine, found: Minima
) -> Solution:
    """Start from the minima of the exact model, and let it make errors."""
    windows, steps, size = np.shape(problem.batch.observation)
    chosen = np.flatnonzero(problem.has_observations())
    starts = found.control.shape[1]
    guess, _ = engine.trajectories(
        problem.model, problem.cost, found.control[chosen].reshape(-1, size),
        found.hessian[chosen].reshape(-1, size, size), lead=0, steps=steps,
    )  # fmt: skip
    prior = _prior(problem, options, engine)
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
        per_window[names.FINAL_COVARIANCE] = final_covariance.of_windows(
            problem, x, precision_of(problem, options.observation_variance), prior.precision,
            options.model_error_per_step(size),
        )  # fmt: skip
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def _all_minima(
    problem: Problem, options: StrongConstraintOptions, engine: Engine, found: Minima
) -> dict[str, Array]:
    """Return objective and first state of each distinct minimum, `options.count` places a window.

    Of a window all of whose starts failed, or without observations, all are NaN.
    """
    found, distinct = _ordered(found)
    lead, size = _setting(problem, options).lead, problem.model.state_size
    objective = np.full((len(distinct), options.count), np.nan)
    state = np.full((*objective.shape, size), np.nan)
    windows, starts = np.nonzero(distinct)
    places = (np.cumsum(distinct, axis=1) - 1)[windows, starts]
    objective[windows, places] = found.objective[windows, starts]
    state[windows, places] = engine.trajectories(
        problem.model, problem.cost, found.control[windows, starts],
        found.hessian[windows, starts], lead=lead, steps=1,
    )[0][:, 0, :size]  # fmt: skip
    return {names.MINIMUM_OBJECTIVE: objective, names.MINIMUM_STATE: state}


def _setting(problem: Problem, options: StrongConstraintOptions) -> _Setting:
    low = problem.model.state_size <= LOW_DIMENSIONAL
    # How likely a library's states make a function's values is not known.
    usual = "library" if low and problem.batch.channels is None else "mean"
    starts = options.starts or ("first-guess" if problem.warm else usual)
    if starts == "library" and problem.batch.channels is not None:
        raise InputError(
            "starts is library, which knows components of the state alone, but the observations "
            "are a function of it; choose starts climatology or mean"
        )
    if problem.warm and starts != "first-guess":
        raise InputError(
            f"a warm start was given, but starts is {starts}, which would ignore it; leave out one "
            "of them"
        )
    if starts in _SINGLE and options.count > 1 and "count" in options.model_fields_set:
        raise InputError(
            f"count is {options.count}, but starts {starts} is one start; leave out count, or "
            "choose starts library or climatology"
        )
    at_once = starts in ("library", "first-guess")
    growth = (0 if at_once else 16) if options.growth is None else options.growth
    lead = options.background_lead
    if lead is None:
        lead = 20 if low and is_name(options.background) else 0
    if options.model_error is not None:
        lead = 0
    return _Setting(starts, growth, lead)


def _minimised(
    problem: Problem, options: StrongConstraintOptions, engine: Engine, precision: Array
) -> Minima:
    """Minimise from every start; windows without observations keep the prior's mean."""
    setting = _setting(problem, options)
    prior = _prior(problem, options, engine)
    starts, count = _starts(problem, options, engine, precision, prior, setting)
    found = _from_starts(
        problem, options, engine, precision, prior, starts, count, setting.growth
    )  # fmt: skip
    if options.parameters != "shared":
        return found

    def again(controls: Array, prior: Prior) -> Minima:
        count = controls.shape[1]
        return _from_starts(
            problem, options, engine, precision, prior, lambda block: controls[block], count, 0
        )

    limit = chi_square_limit(problem.data())
    return in_common(found, prior, problem.model.state_size, limit, again)


def _from_starts(
    problem: Problem,
    options: StrongConstraintOptions,
    engine: Engine,
    precision: Array,
    prior: Prior,
    starts: Callable[[Array], Array],
    count: int,
    growth: int,
) -> Minima:
    """Minimise in blocks of windows, `starts` giving each its controls (W, count, C)."""
    observation = np.asarray(problem.batch.observation, float)
    windows, steps, _ = observation.shape
    size = len(prior.mean)
    control = np.broadcast_to(prior.mean, (windows, count, size)).copy()
    hessian = np.broadcast_to(prior.precision, (windows, count, size, size)).copy()
    objective = np.zeros((windows, count))
    iterations = np.zeros((windows, count), int)
    status = np.full((windows, count), int(Status.NO_OBSERVATIONS))
    chosen = np.flatnonzero(problem.has_observations())
    everything = len(chosen) == windows
    length = max(8, _WORK // (steps * size * size))
    lead = _setting(problem, options).lead
    weight = 1 / variance_of(problem, options.observation_variance)
    for first in range(0, len(chosen), length):
        block = chosen[first : first + length]
        points = problem.points(block)
        rows = slice(first, first + length) if everything else block  # a slice copies nothing
        part = engine.strong_constraint(
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


def _starts(
    problem: Problem,
    options: StrongConstraintOptions,
    engine: Engine,
    precision: Array,
    prior: Prior,
    setting: _Setting,
) -> tuple[Callable[[Array], Array], int]:
    """Return what gives some windows their starts (W, count, C), and the count."""
    observation = np.asarray(problem.batch.observation, float)
    variance = variance_of(problem, options.observation_variance)
    _, steps, size = observation.shape
    count = 1 if setting.starts in _SINGLE else options.count
    shelf, drawn, apart = None, None, None
    if setting.starts == "climatology":
        known = climatology(problem.model, engine).states
        drawn = known[np.random.default_rng(options.seed).permutation(len(known))[:count]]
    low = problem.model.state_size <= LOW_DIMENSIONAL
    if setting.starts == "library" or (low and setting.starts == "first-guess"):
        shelf = library(
            problem.model, engine, problem.cost.time_step, steps, options.members, setting.lead
        )
        apart = _APART * np.sqrt(np.diag(climatology(problem.model, engine).covariance))

    def states(block: Array) -> Array:
        shape = (len(block), count, size)
        if drawn is not None:
            return np.broadcast_to(drawn, shape)
        if setting.starts == "first-guess" and shelf is None:
            return np.asarray(problem.batch.first_guess, float)[block, :1]
        if shelf is None or apart is None:
            return np.broadcast_to(prior.mean[:size], shape)
        near, weight = observation[block], precision[block]
        points = problem.points(block)
        if isinstance(points, Points):
            values, there = nearest_steps(points, steps, size)
            near = np.where(weight > 0, near, values)
            weight = np.maximum(weight, there / variance)
        if setting.starts == "first-guess":
            near = np.asarray(problem.batch.first_guess, float)[block]
            weight = np.zeros_like(near)
            weight[:, :: max(1, steps // _LOOKS)] = 1 / variance
        return engine.best_starts(near, weight, shelf, apart=apart, count=count)

    def controls(block: Array) -> Array:
        found = states(block)
        own = problem.model.parameters if options.parameters else ()
        return np.concatenate([found, np.broadcast_to(own, (*found.shape[:2], len(own)))], axis=2)

    return controls, count


def _prior(problem: Problem, options: StrongConstraintOptions, engine: Engine) -> Prior:
    given = get_background(options.background, problem.model, engine)
    if is_name(options.background):
        known = climatology(problem.model, engine)
        mean = given.mean if options.background == CLIMATOLOGY else known.mean
        state = Prior(mean, given.precision, np.diag(known.covariance))
    else:  # a model without an attractor has a background all the same
        state = Prior(given.mean, given.precision, np.diag(np.linalg.inv(given.precision)))
    if not options.parameters:
        return state
    return with_parameters(state, problem.model, options.parameter_stdev)


def _reordered(values: Array, order: Array) -> Array:
    index = order.reshape(order.shape + (1,) * (values.ndim - 2))
    return np.take_along_axis(values, index, axis=1)
