"""The posterior mean of a low-dimensional model, with its attractor as the prior.

No analysis has a smaller expected squared error than the posterior mean, which therefore bounds
every other method. Importance sampling from a library of attractor states gives the mean and
standard deviation; where few members of the library carry most of the weight, a second stage uses
draws around them instead, and a third one more draws where these are too few. In a cycle, or from a
given background, the members that the window before has left, or draws from the background, take
the place of the library (`pyvda.methods.particles`).

With every component of a state fewer members of the library are near a window's truth. Of half the
components of Lorenz-96 at every second step, with errors of 1, the root mean square error is 0.19
for five components and 1.2 for ten (`annealed`: 0.38), where all windows are DOUBTFUL: their
effective sample size is near one, or no draw fits (tests/methods/test_posterior_mean.py).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from pyvda import names
from pyvda.climate.background_of_analysis import ensemble_in
from pyvda.climate.background_option import CLIMATOLOGY, BackgroundOption, is_name
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.climate.library import LEAD, expect_low_dimensional, library, starts
from pyvda.engine.interface import Array
from pyvda.methods import particles
from pyvda.methods.ensemble_smoother import members
from pyvda.methods.problem import Positive, Problem, Seed, Solution, Status
from pyvda.methods.statistics import (
    EnsembleOptions,
    chi_square_limit,
    precision_of,
    without_observations,
)
from pyvda.models.model import Model

_BLOCK = 128  # windows between two reports: less than a second of work
# Effective sample size below which the third stage runs, and its draws and its `enough` over those
# of the second.
_FEW, _MORE_DRAWS, _MORE_MEMBERS = 10.0, 16, 4
_MOST_DRAWS = 10**6
# Effective sample size from which the variance of so few samples is predicted: that of two has an
# infinite expected quotient.
_LEAST = 3.0


class PosteriorMeanOptions(EnsembleOptions):
    """Options of the posterior mean.

    Attributes
    ----------
    members : int
        Number of members of the library, including mirrored ones.
    enough : float
        Effective sample size below which the second stage runs.
    draws : int
        Number of draws of the second stage, a multiple of eight; 0: neither second nor third stage.
        The third has sixteen times as many, in windows whose effective sample size is below 10.
    bandwidth : float
        Standard deviation of the perturbations of the second stage, in climatological standard
        deviations.
    lead : int, optional
        Steps before the window at which draws are perturbed, so that the flow brings them back
        onto the attractor. Default: 20, or 0 for a given climatology, which applies at the first
        step.
    doubtful : float
        Effective sample size below which a window is flagged.
    seed : int
        Seed of the perturbations, and of resampling.
    background : str, path, Dataset or Background
        See `pyvda.climate.background_option.get_background`; a given background applies at the
        window's first step. Its members, or draws from its mean and covariance, take the place of
        the library.
    particles : int
        Number of members of the final ensemble, and of draws from a background that is Gaussian.
        Give more where the effective sample size is near 1.
    kernel : float
        Bandwidth of the noise on the members of the final ensemble, over the one that is optimal
        for estimating a Gaussian density from them. 0: no noise.
    final_ensemble : bool, optional
        See `EnsembleOptions`. Default: in a cycle only.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    takes_ensemble: ClassVar[bool] = True
    cycles: ClassVar[bool] = True

    members: int = Field(240_000, ge=100, le=20_000_000)
    enough: float = Field(50.0, ge=1)
    draws: int = Field(1024, ge=0, le=10**6, multiple_of=8)
    bandwidth: Positive = 0.01
    lead: int | None = Field(None, ge=0, le=1000)
    doubtful: float = Field(5.0, ge=0)
    seed: Seed = 0
    background: BackgroundOption = CLIMATOLOGY
    particles: int = Field(8192, ge=100, le=1_000_000)
    kernel: float = Field(0.15, ge=0, le=10)

    def has_particles(self) -> bool:
        """Tell whether members are weighed one by one, without a second stage."""
        return bool(self.final_ensemble) or not self.is_climatological()

    def is_climatological(self) -> bool:
        """Tell whether the background is the climatology."""
        return is_name(self.background) and self.background == CLIMATOLOGY

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        found: dict[str, str] = {}
        if self.has_particles():
            why = "there is no second stage with a given background or final_ensemble; leave it out"
            found |= dict.fromkeys(("enough", "draws", "bandwidth", "lead"), why)
            given = ensemble_in(self.background) is not None
            if not self.is_climatological():
                found["members"] = "the background takes the place of the library; leave it out"
            if not self.final_ensemble:
                why = "only the members of the final ensemble are resampled; leave it out"
                idle = ("kernel", "seed", "particles") if given else ("kernel",)
                found |= dict.fromkeys(idle, why)
        else:
            why = "it belongs to a cycle, a given background, or final_ensemble; leave it out"
            found |= dict.fromkeys(("particles", "kernel"), why)
            if not self.draws:
                why = (
                    "it belongs to the second stage, which draws 0 leaves out; leave it out, or "
                    "give draws"
                )
                found |= dict.fromkeys(("enough", "bandwidth", "seed"), why)
        return found

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        final = (names.FINAL_ENSEMBLE,) if self.final_ensemble else ()
        return (names.EFFECTIVE_SAMPLE_SIZE, *final)


def unbiased(stdev: Array, effective: Array) -> Array:
    """Correct a standard deviation for the scatter of small samples.

    The variance of n samples scatters itself, so that a squared error over it is n / (n - 2) on
    average (Student's distribution); the variance is multiplied by as much, at most by 3. For a
    single sample the result is NaN.

    Parameters
    ----------
    stdev : (W, T, D)
        Root of the weighted mean of squared deviations.
    effective : (W,)
        Effective sample size.

    Examples
    --------
    >>> round(unbiased(np.ones((1, 1, 1)), np.array([4.0])).item() ** 2, 9)  # 4 / (4 - 2)
    2.0
    """
    n = np.maximum(effective, _LEAST)
    factor = np.where(effective > 1, n / (n - 2), np.nan)
    return np.asarray(stdev * np.sqrt(factor)[:, None, None])


def solve(problem: Problem, options: PosteriorMeanOptions) -> Solution:
    """Compute mean, standard deviation and effective sample size of every window with observations.

    A window is DOUBTFUL when its effective sample size stays small, or when no sample is as close
    to its observations as their error variance suggests it should be.

    Raises
    ------
    InputError
        The model is not low-dimensional, or the error variance of the observations is unknown.
    """
    precision = precision_of(problem, options.observation_variance)
    if options.has_particles():
        return _from_particles(problem, options, precision)
    engine = problem.engine
    observation = np.asarray(problem.batch.observation, float)
    windows, steps, size = observation.shape
    lead = options.lead
    if lead is None:
        lead = LEAD if problem.model.climatology is None else 0
    prior = library(problem.model, engine, problem.cost.time_step, steps, options.members, lead)
    draws = min(_MORE_DRAWS * options.draws, _MOST_DRAWS)
    noise = np.random.default_rng(options.seed).standard_normal((options.draws, size))
    more = np.random.default_rng([options.seed, 3]).standard_normal((draws, size))
    deviation = np.sqrt(climatology(problem.model, engine).variance)
    x, stdev, status = without_observations(problem)
    effective, misfit = np.full(windows, np.nan), np.full(windows, np.nan)

    def sample(block: Array, noise: Array, enough: float) -> None:
        """Sample windows, and keep what has more samples than before."""
        found = engine.posterior_mean(
            problem.model, problem.cost, observation[block], precision[block], prior,
            noise=noise, enough=enough, spread=options.bandwidth * deviation,
        )  # fmt: skip
        better = ~(found.effective <= effective[block])
        rows = block[better]
        x[rows], stdev[rows] = found.mean[better], found.stdev[better]
        effective[rows], misfit[rows] = found.effective[better], found.misfit[better]

    chosen = np.flatnonzero(problem.has_observations())
    for first in range(0, len(chosen), _BLOCK):
        block = chosen[first : first + _BLOCK]
        sample(block, noise, options.enough)
        few = block[effective[block] < min(_FEW, options.enough)]
        if draws and len(few):
            sample(few, more, _MORE_MEMBERS * options.enough)
        stdev[block] = unbiased(stdev[block], effective[block])
        status[block] = _judged(misfit[block], effective[block], precision[block], options)
        problem.report(first + len(block), len(chosen))
    status[~np.isfinite(x).all((1, 2))] = Status.DIVERGED
    return Solution(
        x, status, np.zeros(windows, int), stdev=stdev,
        per_window={names.EFFECTIVE_SAMPLE_SIZE: effective},
    )  # fmt: skip


def _judged(
    misfit: Array, effective: Array, precision: Array, options: PosteriorMeanOptions
) -> Array:
    """Return the status of windows by the misfit of the likeliest sample and the sample's size."""
    far = misfit > chi_square_limit((precision > 0).sum((1, 2)))
    few = effective < options.doubtful
    return np.where(far | few, Status.DOUBTFUL, Status.CONVERGED)


def _from_particles(problem: Problem, options: PosteriorMeanOptions, precision: Array) -> Solution:
    """Compute what `solve` does from members of the background."""
    expect_low_dimensional(problem.model)
    observation = np.asarray(problem.batch.observation, float)
    if options.is_climatological():
        start = starts(problem.model, problem.engine, problem.cost.time_step, options.members)
    else:
        start = members(problem, options.particles, options.seed, options.background)
    cycle = options.background.cycle if isinstance(options.background, Ensemble) else 0
    x, stdev, status = without_observations(problem)
    effective, misfit = np.full(len(x), np.nan), np.full(len(x), np.nan)
    per_window: dict[str, Array] = {names.EFFECTIVE_SAMPLE_SIZE: effective}
    if options.final_ensemble:
        shape = (len(x), options.particles, start.shape[1])
        per_window[names.FINAL_ENSEMBLE] = np.full(shape, np.nan)
    chosen = np.flatnonzero(problem.has_observations())
    for done, (row, number) in enumerate(
        zip(chosen, problem.window_numbers()[chosen], strict=True)
    ):
        found = particles.weigh(problem, start, observation[row], precision[row])
        x[row], stdev[row], effective[row] = found.mean, found.stdev, found.effective
        misfit[row] = found.misfit
        if options.final_ensemble:
            random = np.random.default_rng([options.seed, cycle, int(number)])
            per_window[names.FINAL_ENSEMBLE][row] = particles.resampled(
                problem, found, options.particles, options.kernel, random
            )
        problem.report(done + 1, len(chosen))
    stdev[chosen] = unbiased(stdev[chosen], effective[chosen])
    status[chosen] = _judged(misfit[chosen], effective[chosen], precision[chosen], options)
    status[~np.isfinite(x).all((1, 2))] = Status.DIVERGED
    return Solution(x, status, np.zeros(len(x), int), stdev=stdev, per_window=per_window)
