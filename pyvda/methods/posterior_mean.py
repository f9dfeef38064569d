"""The posterior mean of a low-dimensional model, with its attractor as the prior.

No analysis has a smaller expected squared error than the posterior mean, which therefore bounds
every other method. Importance sampling from a library of attractor states gives the mean and
standard deviation; where few members of the library carry most of the weight, a second stage uses
draws around them instead.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.climate.library import LEAD, library
from pyvda.engine.interface import Array
from pyvda.methods.problem import Positive, Problem, Seed, Solution, Status
from pyvda.methods.statistics import (
    StatisticalOptions,
    chi_square_limit,
    precision_of,
    without_observations,
)
from pyvda.models.model import Model

_BLOCK = 128  # windows between two reports: less than a second of work


class PosteriorMeanOptions(StatisticalOptions):
    """Options of the posterior mean.

    Attributes
    ----------
    members : int
        Number of members of the library, including mirrored ones.
    enough : float
        Effective sample size below which the second stage runs.
    draws : int
        Number of draws of the second stage, a multiple of eight; 0: no second stage.
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
        Seed of the perturbations.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    members: int = Field(240_000, ge=100, le=20_000_000)
    enough: float = Field(50.0, ge=1)
    draws: int = Field(1024, ge=0, le=10**6, multiple_of=8)
    bandwidth: Positive = 0.01
    lead: int | None = Field(None, ge=0, le=1000)
    doubtful: float = Field(5.0, ge=0)
    seed: Seed = 0

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        if self.draws:
            return {}
        why = (
            "it belongs to the second stage, which draws 0 leaves out; leave it out, or give draws"
        )
        return dict.fromkeys(("enough", "bandwidth", "seed"), why)

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return True

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        return (names.EFFECTIVE_SAMPLE_SIZE,)


def unbiased(stdev: Array, effective: Array) -> Array:
    """Correct a standard deviation for the bias of small samples.

    With weights that sum to one, E[Σ w (x - Σ w x)²] = σ² (1 - Σ w²), and Σ w² is one over the
    effective sample size. For a single sample the result is NaN.

    Parameters
    ----------
    stdev : (W, T, D)
        Root of the weighted mean of squared deviations.
    effective : (W,)
        Effective sample size.

    Examples
    --------
    >>> round(unbiased(np.ones((1, 1, 1)), np.array([2.0])).item() ** 2, 9)  # Bessel: 2 / (2 - 1)
    2.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = 1 - 1 / effective
        return np.asarray(stdev / np.sqrt(np.where(lost > 0, lost, np.nan))[:, None, None])


def solve(problem: Problem, options: PosteriorMeanOptions) -> Solution:
    """Compute mean, standard deviation and effective sample size of every window with observations.

    A window is DOUBTFUL when its effective sample size stays small, or when no sample is as close
    to its observations as their error variance suggests it should be.

    Raises
    ------
    InputError
        The model is not low-dimensional, or the error variance of the observations is unknown.
    """
    engine = problem.engine
    precision = precision_of(problem, options.observation_variance)
    observation = np.asarray(problem.batch.observation, float)
    windows, steps, size = observation.shape
    lead = options.lead
    if lead is None:
        lead = LEAD if problem.model.climatology is None else 0
    prior = library(problem.model, engine, problem.cost.time_step, steps, options.members, lead)
    noise = np.random.default_rng(options.seed).standard_normal((options.draws, size))
    deviation = np.sqrt(climatology(problem.model, engine).variance)
    x, stdev, status = without_observations(problem)
    effective = np.full(windows, np.nan)
    chosen = np.flatnonzero(problem.has_observations())
    for first in range(0, len(chosen), _BLOCK):
        block = chosen[first : first + _BLOCK]
        found = engine.posterior_mean(
            problem.model, problem.cost, observation[block], precision[block], prior,
            noise=noise, enough=options.enough, spread=options.bandwidth * deviation,
        )  # fmt: skip
        x[block], effective[block] = found.mean, found.effective
        stdev[block] = unbiased(found.stdev, found.effective)
        far = found.misfit > chi_square_limit((precision[block] > 0).sum((1, 2)))
        few = found.effective < options.doubtful
        status[block] = np.where(far | few, Status.DOUBTFUL, Status.CONVERGED)
        problem.report(first + len(block), len(chosen))
    status[~np.isfinite(x).all((1, 2))] = Status.DIVERGED
    return Solution(
        x, status, np.zeros(windows, int), stdev=stdev,
        per_window={names.EFFECTIVE_SAMPLE_SIZE: effective},
    )  # fmt: skip
