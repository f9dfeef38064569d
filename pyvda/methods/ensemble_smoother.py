"""The ensemble transform Kalman smoother, from a climatological ensemble.

It needs no adjoint and no tangent linear, and its spread says how far to trust the mean. Windows
are assimilated on their own, all from the same members; but where the background is an earlier
analysis with its members at the last step, from these (`pyvda.cycling`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.background_of_analysis import ensemble_in, member_count
from pyvda.climate.background_option import CLIMATOLOGY, BackgroundOption, get_background, is_name
from pyvda.climate.climatology import LARGE, climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.climate.library import LOW_DIMENSIONAL, is_low_dimensional
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.effects import was_given
from pyvda.methods.model_error import drawn, model_noise
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
from pyvda.operators.covariance import Dense
from pyvda.operators.covariance_input import CovarianceOption, as_covariance

_REFLECTIONS = 16
_MIXING = 20
_MOST = 1_000_000  # numbers up to which the final members are written without being asked for
# Defaults for states that are not low-dimensional, with which (error / spread)² is about 1 on
# Lorenz-96 (with 100 members, no inflation and all observations 4 to 7).
_MEMBERS, _INFLATION, _LAG = 200, 1.05, 8
_BLOCK = 32  # windows between two reports: less than a second of work


class EnsembleSmootherOptions(EnsembleOptions):
    """Options of the ensemble smoother.

    Attributes
    ----------
    members : int
        Drawn from the background, for all windows the same. For states of 11 to 2000 components
        the default is 200, with an inflation of 1.05 and a lag of 8, where none of these, `depth`,
        `mixing` or `model_error` is given. Of a background that is an analysis
        with `final_ensemble` its members are taken, as many as it has.
    background : str, path, Dataset or Background
        "climatology": members are states of the model's climatology. Otherwise they are drawn from
        the Gaussian that `pyvda.climate.background_option.get_background` returns, at the window's
        first step; where there are more members than components, with exactly its moments.
    inflation : float
        Factor on the anomalies when the members leave an observation time within a window; 1.04 and
        a lag of 8 suit 100 members of Lorenz-96, 1.03 suits 400.
    lag : int
        Number of later observation times that a state learns from, `depth` at least; 0: all of
        them.
    depth : int
        Number of observation times that an analysis goes back to change the members there, from
        where they run again (the iterative smoother of Bocquet & Sakov 2014); 0 is the plain
        smoother. Over a depth the error should stay nearly linear: 3 is better still for
        Lorenz-63, but not for Lorenz-96, and with long gaps between observations take 0.
    iterations : int
        Gauss-Newton steps of an analysis that goes back. Lorenz-96 needs more than one, and
        three are as good as five; for Lorenz-63 one would do.
    mixing : int, optional
        Number of random directions in the space of the members along which the anomalies are
        reflected after each analysis, against outliers (on Lorenz-63 and on Lorenz-96 the error
        falls by 6 and 14 %, and the spread is then right). Default: a tenth of the members, at
        most 20.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q, in the state's units squared: the covariance of the error that the model makes in a step,
        drawn for each member at each step (`pyvda.methods.model_error.model_noise`). An analysis
        then does not go back: the default of `depth` is 0, and so is that of `mixing`. Default: the
        model is exact.
    final_ensemble : bool, optional
        Whether the analysis has the members at the last step, `final_ensemble`, from which the next
        window can start. Default: where these are at most a million numbers.
    seed : int
        Seed of the draws of members, reflections and model error.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    takes_points: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True
    takes_ensemble: ClassVar[bool] = True
    cycles: ClassVar[bool] = True

    members: int = Field(100, ge=3, le=16384)
    background: BackgroundOption = CLIMATOLOGY
    inflation: float = Field(1.0, ge=1.0, le=100.0)
    lag: int = Field(0, ge=0, le=10**9)
    depth: int = Field(1, ge=0, le=10**9)
    iterations: int = Field(3, ge=1, le=10**9)
    mixing: int | None = Field(None, ge=0, le=10**9)
    model_error: CovarianceOption | None = None
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _without_depth(cls, given: Any) -> Any:
        # Stated, so that the options in an analysis file can be read again.
        if isinstance(given, dict) and given.get("model_error") is not None:
            return {"depth": 0, **given}
        return given

    @model_validator(mode="after")
    def _check(self) -> EnsembleSmootherOptions:
        if self.model_error is not None and self.depth:
            raise ValueError(
                f"depth is {self.depth}, but with model_error an analysis cannot go back; leave "
                "out one of them"
            )
        return self

    def screened_by(self, model: Model) -> str | None:
        """Return the strong constraint, of models whose library has its starts."""
        own = self.model_error is not None or was_given(self, "background")
        return "strong-constraint" if not own and is_low_dimensional(model) else None

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        found = {}
        if not self.depth:
            found["iterations"] = (
                "an analysis that does not go back (depth 0) has one; leave it out, or give depth"
            )
        if 0 < self.lag < self.depth:
            found["lag"] = (
                f"it counts as the depth where it is less, and depth is {self.depth}; give a "
                "larger one, or a smaller depth"
            )
        if self.mixing is not None and self.mixing >= self.members:
            found["mixing"] = (
                f"{self.members} members have {self.members - 1} directions to mix; give at most "
                "so many"
            )
        given = ensemble_in(self.background) is not None
        if given and self.mixing == 0 and self.model_error is None:
            found["seed"] = (
                "nothing is drawn: the background has members, mixing is 0 and there is no "
                "model_error; leave it out"
            )
        return found

    def for_problem(self, windows: int, state_size: int) -> EnsembleSmootherOptions:
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
        tuned = {"members", "inflation", "lag", "depth", "mixing"} & self.model_fields_set
        given = ensemble_in(self.background) is not None
        tuned_or_given = tuned or given or self.model_error is not None
        if LOW_DIMENSIONAL < state_size <= LARGE and not tuned_or_given:
            # A hundred members are too few: the spread would be a third of the error.
            count = found["members"] = _MEMBERS
            found |= {"inflation": _INFLATION, "lag": _LAG}
        if self.final_ensemble is None:
            found["final_ensemble"] = windows * count * state_size <= _MOST
        return self.model_copy(update=found)

    def model_error_per_step(self, state_size: int) -> Array:
        """Return the covariance (D, D) that the model adds to a state's error in a step."""
        if self.model_error is None:
            return np.zeros((state_size, state_size))
        return as_covariance(self.model_error, state_size, "model_error").dense()

    def model_noise(self, members: Array, steps: int, *key: int) -> Array | None:
        """Return the model error of ensemble members (N, D), (steps, D, N); None: there is none."""
        if self.model_error is None:
            return None
        Q = as_covariance(self.model_error, members.shape[1], "model_error")
        return model_noise(Q, members, steps, (self.seed, *key))


def members(problem: Problem, count: int, seed: int, background: Any = CLIMATOLOGY) -> Array:
    """Return the states at the first step, (N, D): `count` of the climatology or of a Gaussian.

    An ensemble gives its own members, however many they are.

    Raises
    ------
    InputError
        The background is none, so that nothing says how the members differ.
    """
    if isinstance(background, Ensemble):
        return background.members
    if not is_name(background):
        known = get_background(background, problem.model, problem.engine)
        return drawn(known.mean, Dense(np.linalg.inv(known.precision)), count, seed)
    if background != CLIMATOLOGY:
        raise InputError(
            f"the background is {background}, and an ensemble needs one to draw its members from; "
            "give a mean and a covariance, or leave background out for the climatology"
        )
    states = climatology(problem.model, problem.engine).states
    order = np.random.default_rng(seed).permutation(len(states))
    return np.asarray(states[order[:count]])


def reflections(members: int, directions: int, seed: int) -> Array:
    """Return sets of random orthonormal vectors that are orthogonal to the vector of ones.

    Returns
    -------
    (16, r, N)
        r is `directions`, or N - 1 where that is smaller.
    """
    random = np.random.default_rng([seed, 1])
    found = np.empty((_REFLECTIONS, min(directions, members - 1), members))
    for vectors in found:
        columns = [np.ones((members, 1)), random.standard_normal((members, len(vectors)))]
        vectors[:] = np.linalg.qr(np.hstack(columns))[0][:, 1:].T
    return found


def solve(problem: Problem, options: EnsembleSmootherOptions) -> Solution:
    """Smooth every window that has observations.

    A window is DOUBTFUL when its mean is farther from the observations than their error variance
    lets expect.

    Raises
    ------
    InputError
        The variance of the observations is not known.
    """
    variance = variance_of(problem, options.observation_variance)
    precision = precision_of(problem, options.observation_variance)
    observation = np.asarray(problem.batch.observation, float)
    start = members(problem, options.members, options.seed, options.background)
    mixing = options.mixing
    if mixing is None:
        # Noise keeps the members from forming an outlier and a cluster.
        mixing = 0 if options.model_error is not None else min(len(start) // 10, _MIXING)
    mixed = reflections(len(start), mixing, options.seed)
    cycle = (options.background.cycle,) if isinstance(options.background, Ensemble) else ()
    noise = options.model_noise(start, observation.shape[1] - 1, *cycle)
    x, stdev, status = without_observations(problem)
    final = None
    if options.final_ensemble:
        final = np.full((len(x), *start.shape), np.nan)
    chosen = np.flatnonzero(problem.has_observations())
    for first in range(0, len(chosen), _BLOCK):
        block = chosen[first : first + _BLOCK]
        points = problem.points(block)
        x[block], stdev[block], last = problem.engine.ensemble_smoother(
            problem.model, problem.cost, observation[block], precision[block], start,
            inflation=options.inflation, lag=options.lag, depth=options.depth,
            iterations=options.iterations, reflections=mixed, noise=noise,
            points=points and points.weighed(1 / variance), final=final is not None,
        )  # fmt: skip
        if final is not None:
            final[block] = last
        problem.report(first + len(block), len(chosen))
    status[chosen] = Status.CONVERGED
    status[~np.isfinite(x).all((1, 2))] = Status.DIVERGED
    misfit = half_misfit(precision, x, observation) + half_point_misfit(problem, x, variance)
    status, limit = judged(status, misfit, problem.data())
    passes = problem.has_observations().astype(int)
    per_window = {names.MISFIT: misfit, names.CHI_SQUARE_LIMIT: limit}
    if final is not None:
        per_window[names.FINAL_ENSEMBLE] = final
    return Solution(x, status, passes, stdev=stdev, per_window=per_window)
