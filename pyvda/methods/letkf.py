"""The local ensemble transform Kalman filter, for states of any size.

Members run by the model from one observation time to the next. There, around every point, the
members are changed by the data within reach of it, whose weight falls with their distance (Hunt,
Kostelich & Szunyogh 2007). With a lag the members of earlier steps are changed by the same local
weights: a smoother. Nothing larger than the ensemble, at the steps within the lag, is kept.

Reference scores, root mean square error of the analysis: Lorenz-96 with 7 members (radius 4,
inflation 1.04, rotation; Sakov & Oke 2008 as in DAPPER) 0.22; quasi-geostrophic ocean with 45
members (`benchmarks/letkf.py`; DAPPER 0.52).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from pyvda import names
from pyvda.climate.background_of_analysis import ensemble_in, member_count
from pyvda.climate.background_option import CLIMATOLOGY, StateOption, is_name
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.blocks import expect_memory
from pyvda.methods.first_state import first_state
from pyvda.methods.localisation import Localisation, Unit, localised
from pyvda.methods.model_error import drawn
from pyvda.methods.problem import Problem, Seed, Solution, Status
from pyvda.methods.statistics import (
    EnsembleOptions,
    half_misfit,
    half_point_misfit,
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.operators.covariance import Covariance
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.points import Points

_MOST = 1_000_000  # numbers up to which the final members are written without being asked for
_AT_ONCE = 1 << 22  # numbers of a run of the members
_FEW = 10  # components a member, beyond which data everywhere have lost the truth in small oceans

Radius = Annotated[float, Field(gt=0, le=1e9)]
Stride = Annotated[int, Field(ge=1, le=10**6)]
Inflation = Annotated[float, Field(ge=1.0, le=100.0)]


def _dimensions(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


class LETKFOptions(EnsembleOptions):
    """Options of the local ensemble transform Kalman filter.

    Attributes
    ----------
    members : int
        Number of members; a background with `final_ensemble` brings its own.
    radius : float or mapping, optional
        In grid points, for all dimensions of the model or by their names, or in km: the weight of a
        datum resembles exp(-r²/2 radius²) and is zero from 3.65 radii on. Default: all data count
        everywhere, which takes more members than the state has unstable directions.
    radius_unit : {"points", "km"}
        "km" for models with coordinates of latitude and longitude: distances are chords through the
        Earth, and other dimensions do not count.
    periodic : tuple of str, optional
        Dimensions that are circles. Default: those that the model states.
    stride : int or mapping
        Grid points from one local analysis to the next; in between their weights are interpolated
        (Yang et al. 2009).
    inflation : float or "adaptive"
        Factor on the anomalies before an analysis; "adaptive": that of the finite-size filter
        (Bocquet, Raanes & Hannart 2015), for each local analysis its own.
    lag : int
        Number of later observation times that a state learns from; 0 is the filter.
    rotation : bool
        Whether the members are mixed at random after each analysis, mean and covariance unchanged.
    background : str, path, (D,), pair, Dataset, Background
        Where members are drawn at the window's first step: "climatology", states of the model's
        climatology; a state, with `covariance`; a state and its covariance; or what
        `pyvda.climate.background_option.get_background` takes.
    covariance : float, (D,), (D, D), str or Covariance, optional
        B, from which the members are drawn around the mean of the background.
    final_ensemble : bool, optional
        Whether the analysis has the members at the last step, `final_ensemble`, from which the next
        window can start. Default: where these are at most a million numbers.
    seed : int
        Seed of the draws of members and rotations.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    takes_points: ClassVar[bool] = True
    takes_ensemble: ClassVar[bool] = True
    cycles: ClassVar[bool] = True
    has_own_covariance: ClassVar[bool] = True

    members: int = Field(40, ge=3, le=16384)
    radius: Radius | dict[str, Radius] | None = None
    radius_unit: Unit = "points"
    periodic: Annotated[tuple[str, ...] | None, BeforeValidator(_dimensions)] = None
    stride: Stride | dict[str, Stride] = 1
    inflation: Inflation | Literal["adaptive"] = "adaptive"
    lag: int = Field(0, ge=0, le=10**9)
    rotation: bool = False
    background: StateOption = CLIMATOLOGY
    covariance: CovarianceOption | None = None
    seed: Seed = 0

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        found = {}
        if self.radius is None:
            for name in ("radius_unit", "periodic", "stride"):
                found[name] = (
                    "all data count everywhere, since there is no radius; leave it out, or give "
                    "radius"
                )
        members_given = isinstance(self.background, Ensemble) or (
            ensemble_in(self.background) is not None
        )
        if members_given:
            found["covariance"] = "the background has members; leave it out"
            if not self.rotation:
                found["seed"] = (
                    "nothing is drawn: the background has members and there is no rotation; leave "
                    "it out"
                )
        return found

    def for_problem(self, windows: int, state_size: int) -> LETKFOptions:
        """Return the options with the defaults that depend on the problem and the background.

        Raises
        ------
        InputError
            The background is an ensemble of another number of members than was asked for.
        """
        found: dict[str, Any] = {}
        chosen = "members" in self.model_fields_set
        count = member_count(self.background, self.members, chosen=chosen)
        if count != self.members:
            found["members"] = count
        if self.final_ensemble is None:
            found["final_ensemble"] = windows * count * state_size <= _MOST
        return self.model_copy(update=found)

    def expected_state(self, model: Model, engine: Engine) -> Array:
        """Return the state (D,) to expect where nothing was observed: the background's mean."""
        return _gaussian(self, model, engine)[0]


def _gaussian(
    options: LETKFOptions, model: Model, engine: Engine
) -> tuple[Array, Covariance | None]:
    """Return mean (D,) and covariance that members are drawn from; None: none is known.

    Raises
    ------
    InputError
        The background is none, or of another size than the state.
    """
    given = options.background
    if not (isinstance(given, str) and is_name(given)):
        return first_state(given, options.covariance, model, engine)
    if given != CLIMATOLOGY:
        raise InputError(
            f"the background is {given}, and an ensemble needs one to draw its members from; "
            "give a state and a covariance, or leave background out for the climatology"
        )
    mean = climatology(model, engine).mean
    if options.covariance is None:
        return mean, None
    B = as_covariance(options.covariance, model.state_size, "covariance", model.state_space)
    return mean, B


def first_members(problem: Problem, options: LETKFOptions) -> Array:
    """Return the members at the first step, (N, D), 0 on land.

    Raises
    ------
    InputError
        The spread of the members is undetermined, or the climatology has fewer states.
    """
    model, given = problem.model, options.background
    if isinstance(given, Ensemble):
        found = given.members
    elif isinstance(given, str) and given == CLIMATOLOGY and options.covariance is None:
        states = climatology(model, problem.engine).states
        if len(states) < options.members:
            raise InputError(
                f"members is {options.members}, and the climatology of {model.name} has "
                f"{len(states)} states; give fewer members, or a covariance"
            )
        order = np.random.default_rng(options.seed).permutation(len(states))
        found = states[order[: options.members]]
    else:
        mean, B = _gaussian(options, model, problem.engine)
        if B is None:
            raise InputError(
                "the background is a state without a covariance, so that nothing says how the "
                "members differ; give covariance"
            )
        found = drawn(mean, B, options.members, options.seed)
    return np.where(model.sea, np.nan_to_num(found), 0.0)


def rotation(members: int, *key: int) -> Array:
    """Return a random orthogonal matrix (N, N) whose rows and columns add up to 1.

    It mixes anomalies and leaves their mean and covariance (Sakov & Oke 2008).
    """
    random = np.random.default_rng(key)
    ones = np.ones((members, 1))
    basis = np.linalg.qr(np.hstack([ones, random.standard_normal((members, members - 1))]))[0]
    turned, R = np.linalg.qr(random.standard_normal((members - 1, members - 1)))
    turned = turned * np.sign(np.diag(R))
    return np.asarray(1 / members + basis[:, 1:] @ turned @ basis[:, 1:].T)


def solve(problem: Problem, options: LETKFOptions) -> Solution:
    """Filter, or smooth, every window that has observations.

    A window is DOUBTFUL when its mean is farther from the observations than their error variance
    lets expect.

    Raises
    ------
    InputError
        The variance of the observations is not known, the options do not fit the model, or the
        members do not fit in memory.
    """
    variance = variance_of(problem, options.observation_variance)
    precision = precision_of(problem, options.observation_variance)
    observation = np.asarray(problem.batch.observation, float)
    model = problem.model
    where = localised(model, options.radius, options.stride, options.periodic, options.radius_unit)
    if options.radius is None and model.state_size > _FEW * options.members:
        notice(
            f"letkf without a radius: all data count everywhere in {model.state_size} components, "
            f"with the spurious correlations of {options.members} members; give radius"
        )
    start = first_members(problem, options)
    expect_memory(
        start.size * (3 + options.lag), f"an ensemble of {len(start)} states and a lag of "
        f"{options.lag} observation times", "take fewer members, or a shorter lag",
    )  # fmt: skip
    x, stdev, status = without_observations(problem)
    final = np.full((len(x), *start.shape), np.nan) if options.final_ensemble else None
    chosen = np.flatnonzero(problem.has_observations())
    for done, window in enumerate(chosen):
        points = problem.points(slice(window, window + 1))
        data = _Data(
            observation[window], precision[window],
            points.weighed(1 / variance) if isinstance(points, Points) else None,
        )  # fmt: skip
        run = _Run(problem, options, where, data, x[window], stdev[window])
        last = run.filtered(start)
        if last is None:
            status[window], x[window], stdev[window] = Status.DIVERGED, np.nan, np.nan
        else:
            status[window] = Status.CONVERGED
            if final is not None:
                final[window] = last
        problem.report(done + 1, len(chosen))
    misfit = half_misfit(precision, x, observation) + half_point_misfit(problem, x, variance)
    status, limit = judged(status, misfit, problem.data())
    per_window = {names.MISFIT: misfit, names.CHI_SQUARE_LIMIT: limit}
    if final is not None:
        per_window[names.FINAL_ENSEMBLE] = final
    passes = problem.has_observations().astype(int)
    return Solution(x, status, passes, stdev=stdev, per_window=per_window)


@dataclass
class _Data:
    """The data of one window; weights are one over the error variances.

    Attributes
    ----------
    observation, precision : (T, D)
    points : Points, optional
        The point observations of the window.
    """

    observation: Array
    precision: Array
    points: Points | None

    def times(self) -> list[int]:
        """Return the steps that have data, in order."""
        found = np.asarray((self.precision > 0).any(1))
        if self.points is not None:
            found[np.asarray(self.points.step)[np.asarray(self.points.weight) > 0]] = True
        return [int(step) for step in np.flatnonzero(found)]


class _Run:
    """The members during one window; writes mean and deviation of every step."""

    def __init__(
        self, problem: Problem, options: LETKFOptions, where: Localisation, data: _Data,
        mean: Array, stdev: Array,
    ) -> None:  # fmt: skip
        self.problem, self.options, self.where, self.data = problem, options, where, data
        self.mean, self.stdev = mean, stdev
        self.held: dict[int, Array] = {}  # members (N, D) of the steps that still learn
        given = options.background
        self.cycle = given.cycle if isinstance(given, Ensemble) else 0

    def filtered(self, start: Array) -> Array | None:
        """Return the members at the last step; None: they did not stay finite."""
        times, T = self.data.times(), len(self.mean)
        self.held[0] = np.array(start)
        now = 0
        for number, time in enumerate(times):
            if not self._forecast(now, time):
                return None
            now = time
            learned = {s: number + 1 - bisect_right(times, s) for s in self.held}
            for step in [s for s, count in learned.items() if count > self.options.lag]:
                self._write(step)
            if not self._analysis(number, time):
                return None
        if not self._forecast(now, T - 1):
            return None
        last = self.held[T - 1].copy() if self.options.final_ensemble else self.held[T - 1]
        for step in list(self.held):
            self._write(step)
        return last

    def _forecast(self, now: int, then: int) -> bool:
        """Run the members from one step to another; return whether they are finite."""
        start = self.held[now]
        length = max(1, _AT_ONCE // start.size)
        while now < then:
            steps = min(length, then - now)
            runs = self.problem.engine.run(
                self.problem.model, self.problem.cost, self.held[now], steps + 1
            )
            if not np.isfinite(runs).all():
                return False
            for step in range(1, steps + 1):
                self.held[now + step] = np.ascontiguousarray(runs[:, step])
            now += steps
            if self.options.lag == 0:  # nothing earlier is of use
                for step in [s for s in self.held if s < now]:
                    self._write(step)
        return True

    def _analysis(self, number: int, time: int) -> bool:
        """Change the members at a time, and those that still learn, by its data."""
        members = self.held[time]
        predicted, value, weight, place = self._data_of(time, members)
        mean = predicted.mean(0)
        root = np.sqrt(weight)
        inflation = self.options.inflation
        turn = None
        if self.options.rotation:
            turn = rotation(len(members), self.options.seed, 4, self.cycle, number)
        ensembles = [members, *(self.held[step] for step in self.held if step != time)]
        self.problem.engine.local_analyses(
            ensembles, ((predicted - mean) * root).T, root * (value - mean), place,
            self.where.centres, inflation=None if inflation == "adaptive" else inflation,
            rotation=turn,
        )  # fmt: skip
        return bool(np.isfinite(members).all())

    def _data_of(self, time: int, members: Array) -> tuple[Array, Array, Array, Array]:
        """Return the data of a time: (N, p) of the members, values, weights (p,), places (p, d)."""
        seen = np.flatnonzero(self.data.precision[time])
        predicted, value = members[:, seen], self.data.observation[time, seen]
        weight, place = self.data.precision[time, seen], self.where.place[seen]
        points = self.data.points
        if points is None:
            return predicted, value, weight, place
        own = (np.asarray(points.step)[0] == time) & (np.asarray(points.weight)[0] > 0)
        here = Points(
            np.zeros((1, own.sum()), int), points.fraction[:, own], points.value[:, own],
            points.weight[:, own], points.operator[:, own],
        )  # fmt: skip
        of_each = here[np.zeros(len(members), int)]
        more = self.problem.engine.observed(
            self.problem.model, self.problem.cost, members[:, None], of_each
        )
        return (
            np.concatenate([predicted, more], 1),
            np.concatenate([value, np.asarray(here.value)[0]]),
            np.concatenate([weight, np.asarray(here.weight)[0]]),
            np.concatenate([place, self.where.of_rows(here.operator[0])]),
        )

    def _write(self, step: int) -> None:
        """Keep mean and deviation of a step, and discard its members."""
        members = self.held.pop(step)
        self.mean[step] = members.mean(0)
        self.stdev[step] = members.std(0, ddof=1)
