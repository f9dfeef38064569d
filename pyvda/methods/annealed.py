"""Annealed weak-constraint 4D-Var, which avoids most wrong minima of a cost that has many.

The cost is the statistical form of gauss_newton.py with nodes at the observation times. Its model
error q starts so large that the observations alone determine the states, and is halved stage by
stage until the model is almost exact; each stage starts from the minimum of the previous one. The
first start is the mean of an ensemble smoother. Windows whose cost is larger than expected of
correct observations are restarted from other states and then hop: a stretch of a few nodes is
replaced by that of another smoother, and the result is kept if its cost is lower. Windows whose
cost is still too large at the end are flagged as doubtful.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import Field

from pyvda import names
from pyvda.climate.background import Background
from pyvda.climate.background_option import CLIMATOLOGY, get_background
from pyvda.climate.climatology import Climatology, climatology
from pyvda.engine import Engine
from pyvda.engine.data import GIVEN_UP, Minimum, Shooting
from pyvda.engine.interface import Array
from pyvda.methods.blocks import blocks
from pyvda.methods.ensemble_smoother import members, reflections
from pyvda.methods.gauss_newton import spacing
from pyvda.methods.problem import Problem, Seed, Solution, Status
from pyvda.methods.statistics import (
    StatisticalOptions,
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.models.model import Model
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.data import Data

# Model-error variances, in units of the mean climatological variance (13.3 for Lorenz-96): for a
# start from a smoother's mean, a worse start, and a start after a hop; where costs are compared;
# where a start is given up; at the end.
_FROM_MEAN, _FROM_LESS, _FROM_HOP = 0.075, 0.3, 0.0225
_COMPARED, _GIVE_UP, _END = 7.5e-5, 2.25e-3, 7.5e-7
# The last one is at most this share of R, so that accurate observations are not fitted too well.
_END_OF_R = 3e-5
# For the Hessian that gives the standard deviations. At its maximum the posterior of a nearly exact
# model looks tighter than it is: on Lorenz-96 the squared normalised errors have a mean of 1.4 with
# the final model error. Beside accurate observations so large an error would widen it: it is at
# most the second number times R.
_SPREAD, _SPREAD_OF_R = 1.5e-5, 6e-4
_GIVE_UP_COST = 1.3  # in units of half the number of data
_STAGE_ITERATIONS = 10
_DROP = 0.1
_MEMBERS, _INFLATION, _LAG, _MIXING = 100, 1.04, 8, 10
_HOP_NODES = (4, 10)
_BLOCK = 256  # maximum number of windows between two progress reports


class AnnealedOptions(StatisticalOptions):
    """Options of the annealed weak constraint.

    Attributes
    ----------
    restarts : int
        Additional starts of a window whose cost is suspicious.
    hops : int
        Consecutive failed hops after which the search in a suspicious window ends.
    seed : int
        Seed of the ensembles, the noise of the starts and the choice of stretches.
    budget : float, optional
        Seconds after which no further restart or hop begins. Default: no limit.
    every : int, optional
        Steps between two nodes. Default: the spacing of the observation times.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Final variance q, or covariance Q, of the model error between two nodes, in the state's
        units squared: see `pyvda.operators.covariance_input.as_covariance`. Earlier stages have
        larger variances than q, or the mean one of Q, the last ones multiples of Q. Default: 7.5e-7
        of the climatological variance (1e-5 for Lorenz-96), or 3e-5 of R if that is less. For
        `state_stdev` a smaller value than 1.5e-5 of that variance (2e-4), or 6e-4 of R if that is
        less, is replaced by it, Q by a multiple of it.
    background : str
        Background of the first node: see `pyvda.climate.background_option.get_background`.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True

    restarts: int = Field(4, ge=0, le=10**9)
    hops: int = Field(12, ge=0, le=10**9)
    seed: Seed = 0
    budget: float | None = Field(None, gt=0)
    every: int | None = Field(None, ge=1, le=10**9)
    model_error: CovarianceOption | None = None
    background: str = CLIMATOLOGY

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        if self.restarts or self.hops:
            return {}
        return {
            "budget": "there is no further start that it could prevent, since restarts and hops "
            "are 0; leave it out, or give one of them"
        }

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return True

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT)


@dataclass
class _Search:
    """The best trajectory found for each window so far, and the ways to improve it.

    A window's result does not depend on the other windows of its block, because each window has its
    own random numbers, limits and node spacing.
    """

    problem: Problem
    engine: Engine
    options: AnnealedOptions
    precision: Array
    background: Background
    climate: Climatology
    every: Array
    x: Array
    stdev: Array
    status: Array
    cost: Array
    iterations: Array
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.variance = float(self.climate.variance.mean())
        self.data = self.problem.data()
        # This retries about one correct window in six and misses few wrong ones.
        self.suspicious_above = self.data / 2 + np.sqrt(self.data / 2)
        self.numbers = self.problem.window_numbers()
        given = self.options.model_error
        R = variance_of(self.problem, self.options.observation_variance)
        self.end, self.model_precision = min(_END * self.variance, _END_OF_R * R), None
        if isinstance(given, int | float):
            self.end = float(given)
        elif given is not None:
            Q = as_covariance(given, self.x.shape[2], "model_error")
            # The weight of a stage with the variance q is 1/q times this: q/`end` Q.
            self.end = float(Q.variance().mean())
            self.model_precision = self.end * Q.precision()

    def random(self, window: int, round_: int) -> np.random.Generator:
        """Return the random numbers of a window in a round."""
        key = [self.options.seed, 2, int(self.numbers[window]), round_]
        return np.random.default_rng(key)

    def spacing(self, windows: Array) -> int:
        """Return the steps between two nodes, the same for all of these windows."""
        return int(self.every[windows[0]])

    def blocks(self, windows: Array) -> list[Array]:
        """Return windows in blocks, each of one spacing of nodes."""
        steps, size = self.x.shape[1:]
        alike = [windows[self.every[windows] == every] for every in np.unique(self.every[windows])]
        return [block for one in alike for block in blocks(one, steps, size, at_most=_BLOCK)]

    def suspicious(self, windows: Array) -> Array:
        """Return those of `windows` that may be in a wrong minimum."""
        return np.asarray(windows[~(self.cost[windows] <= self.suspicious_above[windows])])

    def has_time(self) -> bool:
        budget = self.options.budget
        return budget is None or time.monotonic() - self.began < budget

    def smoothed(self, windows: Array, round_: int) -> Array:
        """Return the mean of an ensemble smoother with new members each round, (W, T, D)."""
        seed = self.options.seed + 1000 * round_
        mean, _, _ = self.engine.ensemble_smoother(
            self.problem.model, self.problem.cost, self.observation(windows),
            self.precision[windows], members(self.problem, _MEMBERS, seed), inflation=_INFLATION,
            lag=_LAG, reflections=reflections(_MEMBERS, _MIXING, seed), spread=False,
            points=self.points(windows),
        )  # fmt: skip
        return np.where(np.isfinite(mean), mean, self.climate.mean)

    def points(self, windows: Array) -> Data | None:
        """Return the observations of functions of the state, of weight one over their variance."""
        points = self.problem.points(windows)
        variance = variance_of(self.problem, self.options.observation_variance)
        return points and points.weighed(1 / variance)

    def observation(self, windows: Array) -> Array:
        return np.asarray(self.problem.batch.observation, float)[windows]

    def stages(self, start: float, end: float, ratio: float = 2.0) -> Array:
        """Return model-error variances from `start`, falling by `ratio`, to `end`."""
        count = int(np.ceil(np.log(start / end) / np.log(ratio) - 1e-9)) + 1
        return self.variance * np.maximum(start / ratio ** np.arange(max(count, 1)), end)

    def anneal(self, windows: Array, x: Array, start: float) -> tuple[Array, Array]:
        """Return the trajectories that annealing from `x` leads to and their costs.

        The cost of a start that was given up is infinite. All costs that are compared use one step
        of the scheme per step of the window.
        """
        q = self.stages(start, max(_COMPARED, min(start, self.end / self.variance)))
        give_up = int((q >= _GIVE_UP * self.variance * (1 - 1e-9)).sum())
        shooting = Shooting(
            1 / q, self.spacing(windows), 1, _STAGE_ITERATIONS, 0.0, _DROP, give_up + 1,
            _GIVE_UP_COST * self.data[windows] / 2,
        )  # fmt: skip
        found = self.minimum(windows, x, shooting)
        lost = (found.status == GIVEN_UP) | (found.status == Status.DIVERGED)
        self.iterations[windows] += found.iterations
        return found.x, np.where(lost | ~np.isfinite(found.x).all((1, 2)), np.inf, found.cost)

    def minimum(
        self, windows: Array, x: Array, shooting: Shooting, *, spread: bool = False
    ) -> Minimum:
        """Minimise the cost of these windows from `x`."""
        return self.engine.weak_constraint(
            self.problem.model, self.problem.cost, shooting, x,
            self.observation(windows), self.precision[windows], np.ones(len(windows)),
            np.broadcast_to(self.background.mean, (len(windows), x.shape[2])),
            self.background.precision, spread=spread, points=self.points(windows),
        )  # fmt: skip

    def keep(self, windows: Array, x: Array, cost: Array, margin: float = 0.0) -> Array:
        """Keep trajectories whose cost is lower by more than `margin`; return which, (n,) bool."""
        better = cost < self.cost[windows] - margin
        self.x[windows[better]] = x[better]
        self.cost[windows[better]] = cost[better]
        return np.asarray(better)

    def try_start(self, windows: Array, number: int) -> None:
        """Anneal from start number 0 (a smoother's mean, or a warm start), 1, 2, ..."""
        warm = number == 0 and self.problem.warm
        if warm:
            mean = np.asarray(self.problem.batch.first_guess, float)[windows]
        else:
            mean = self.smoothed(windows, number)
        kind = number % 3
        if kind == 0:
            x = mean
        else:
            seen = self.precision[windows] > 0
            noise = np.array(
                [self.random(w, number).standard_normal(mean.shape[1:]) for w in windows]
            )
            other = self.climate.mean + np.sqrt(_FROM_LESS * self.variance) * noise
            x = np.where(seen, self.observation(windows), mean if kind == 1 else other)
        start = _FROM_LESS if kind else _FROM_HOP if warm else _FROM_MEAN
        found, cost = self.anneal(windows, x, start)
        if number == 0:
            self.x[windows] = np.where(np.isfinite(found), found, mean)
        self.keep(windows, found, cost)

    def hop(self, windows: Array, round_: int) -> Array:
        """Replace a stretch of each window and anneal; return which windows improved."""
        x = self.x[windows].copy()
        other = self.smoothed(windows, round_)
        every = self.spacing(windows)
        nodes = -(-x.shape[1] // every)
        for window, stretch, replaced in zip(windows, x, other, strict=True):
            random = self.random(window, round_)
            length = min(int(random.integers(_HOP_NODES[0], _HOP_NODES[1] + 1)), nodes)
            place = random.random()
            first = int(random.integers(0, nodes - length + 1))
            first = 0 if place < 1 / 3 else nodes - length if place < 1 / 2 else first
            steps = slice(first * every, (first + length) * every)
            stretch[steps] = replaced[steps]
        found, cost = self.anneal(windows, x, _FROM_HOP)
        return self.keep(windows, found, cost, _DROP)

    def polish(self, windows: Array) -> None:
        """Anneal to the final model error with half the time step, then compute `stdev`.

        A model that is given by its step keeps its time step.
        """
        substeps = 1 if self.problem.model.kind == "step" else 2
        relative = self.end / self.variance
        q = self.stages(max(_COMPARED / 2, relative), relative, 4.0)
        every, Q = self.spacing(windows), self.model_precision
        shooting = Shooting(
            1 / q, every, substeps, 2 * _STAGE_ITERATIONS, 0.0, _DROP / 10, model_precision=Q
        )
        found = self.minimum(windows, self.x[windows], shooting)
        usable = np.isfinite(found.x).all((1, 2)) & np.isfinite(found.cost)
        self.x[windows[usable]] = found.x[usable]
        R = variance_of(self.problem, self.options.observation_variance)
        wide = max(self.end, min(_SPREAD * self.variance, _SPREAD_OF_R * R))
        loose = Shooting((1 / wide,), every, substeps, 0, model_precision=Q)
        at_minimum = self.minimum(windows, self.x[windows], loose, spread=True)
        if at_minimum.stdev is not None:
            self.stdev[windows[usable]] = at_minimum.stdev[usable]
        self.stdev[windows[~usable]] = np.nan
        self.cost[windows] = np.where(usable, found.cost, np.nan)
        self.iterations[windows] += found.iterations
        self.status[windows] = np.where(usable, found.status, Status.DIVERGED)


def _every(problem: Problem, options: AnnealedOptions) -> Array:
    """Return the steps between two nodes of each window, (W,)."""
    mask = np.asarray(problem.batch.mask)
    if problem.batch.channels is not None:
        mask = np.concatenate([mask, np.asarray(problem.batch.channels.weight)], axis=2)
    if options.every is not None:
        return np.full(len(mask), options.every)
    return np.array([spacing(mask[w : w + 1]) for w in range(len(mask))], int)


def solve(problem: Problem, options: AnnealedOptions) -> Solution:
    """Anneal every window that has observations.

    Raises
    ------
    InputError
        R is unknown, or the background is singular.
    """
    engine = problem.engine
    x, stdev, status = without_observations(problem)
    precision = precision_of(problem, options.observation_variance)
    search = _Search(
        problem, engine, options, precision,
        get_background(options.background, problem.model, engine),
        climatology(problem.model, engine), _every(problem, options),
        x, stdev, status, np.full(len(x), np.inf), np.zeros(len(x), int),
    )  # fmt: skip
    chosen = np.flatnonzero(problem.has_observations())
    rounds = 1 + options.restarts + options.hops
    # With observations of absurd magnitude every start diverges.
    values = [search.observation(chosen)]
    if problem.batch.channels is not None:
        values.append(np.asarray(problem.batch.channels.value)[chosen])
    sane = np.max([np.abs(each).max((1, 2), initial=0.0) for each in values], axis=0) < 1e100
    search.x[chosen[~sane]], search.stdev[chosen[~sane]] = np.nan, np.nan
    search.status[chosen[~sane]] = Status.DIVERGED
    chosen = chosen[sane]

    def in_blocks(do: Callable[[Array], None], windows: Array, round_: int) -> None:
        done = round_ * len(chosen)
        for block in search.blocks(windows):
            do(block)
            done += len(block)
            problem.report(done, (rounds + 1) * len(chosen))

    in_blocks(lambda block: search.try_start(block, 0), chosen, 0)
    for number in range(1, options.restarts + 1):
        if search.has_time():
            in_blocks(
                lambda block, n=number: search.try_start(block, n),  # type: ignore[misc]
                search.suspicious(chosen), number,
            )  # fmt: skip
    failures = np.zeros(len(x), int)
    round_ = options.restarts
    while options.hops and search.has_time():
        active = search.suspicious(chosen)
        active = active[failures[active] < options.hops]
        if not len(active):
            break
        round_ += 1

        def hop(block: Array, round_: int = round_) -> None:
            better = search.hop(block, round_)
            failures[block] = np.where(better, 0, failures[block] + 1)

        in_blocks(hop, active, min(round_, rounds - 1))
    in_blocks(search.polish, chosen, rounds)
    status, limit = judged(search.status, search.cost, search.data)
    objective = np.where(np.isfinite(search.cost), search.cost, np.nan)
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    return Solution(search.x, status, search.iterations, stdev=search.stdev, per_window=per_window)
