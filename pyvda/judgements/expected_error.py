"""The standard deviation of an analysis whose method states none (`spread=True`).

For any analysis xₐ the expected squared error is, over the posterior distribution with mean m and
variance s²,

    E(x - xₐ)² = s² + (m - xₐ)².

whatever made xₐ: a learned model, or a descent of the cost (4). Of a low-dimensional model, m and s
come from the states of its attractor that fit the observations, by the method `posterior-mean`; of
a larger one, from the minimum of the method `annealed` and its Hessian, with the doubts of that
minimum, or from the climatology where it has diverged.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.climate.library import is_low_dimensional
from pyvda.errors import InputError
from pyvda.judgements.judge import judged_solution, status_with
from pyvda.methods import annealed, posterior_mean
from pyvda.methods.problem import Problem, Solution, Status
from pyvda.models.model import Model
from pyvda.names import Doubt
from pyvda.progress import silent

LARGEST = 100
"""Components of a model's state up to which `with_expected_error` has a posterior distribution."""


def expect_posterior(model: Model, observed: xr.Dataset) -> None:
    """Raise InputError for a model that is too large, or observations that are not of components.

    Parameters
    ----------
    model : Model
    observed : Dataset
        Windows of observations.
    """
    if model.state_size > LARGEST:
        raise InputError(
            f"spread is the expected error of an analysis of a model of at most {LARGEST} "
            f"components, but {model.name} has {model.state_size}; leave out spread (--spread), or "
            "choose a method with a spread of its own, such as ensemble-smoother"
        )
    others = [n for n in (names.POINT_OBSERVATION, names.CHANNEL_OBSERVATION) if n in observed]
    if others:
        raise InputError(
            "spread takes observations of components at the analysis times, but the file has "
            f"others ({others[0]}); leave out spread (--spread), or choose a method with a spread "
            "of its own, such as strong-constraint"
        )


def with_expected_error(problem: Problem, solution: Solution, variance: float) -> Solution:
    """Return the judged solution with `stdev`; windows whose posterior is in doubt are so, too.

    Parameters
    ----------
    problem : Problem
    solution : Solution
        With `names.DOUBTS`.
    variance : float
        R of a datum with weight 1.
    """
    quiet = replace(problem, report=silent)
    if is_low_dimensional(problem.model):
        options = posterior_mean.PosteriorMeanOptions(observation_variance=variance)
        posterior = posterior_mean.solve(quiet, options)
        # Few samples, or no state that is as close to the observations as their errors are large.
        few = posterior.per_window[names.EFFECTIVE_SAMPLE_SIZE] < options.doubtful
        few |= posterior.status == Status.DOUBTFUL
        mean, spread, more = posterior.x, posterior.stdev, np.where(few, int(Doubt.FEW_SAMPLES), 0)
    else:
        by = annealed.AnnealedOptions(observation_variance=variance)
        posterior = judged_solution(quiet, by, annealed.solve(quiet, by))
        mean, spread, more = posterior.x, posterior.stdev, posterior.per_window[names.DOUBTS]
        lost = ~np.asarray(np.isfinite(mean).all((1, 2)))
        if lost.any() and spread is not None:
            known = climatology(problem.model, problem.engine)
            at = lost[:, None, None]
            mean, spread = np.where(at, known.mean, mean), np.where(at, known.variance**0.5, spread)
            more = np.where(lost, int(Doubt.SPREAD_LIMITED), more)
    if spread is None:
        raise ValueError("the posterior has no standard deviation")
    stdev = np.sqrt(np.square(spread) + np.square(mean - solution.x))
    judged = ~np.isin(solution.status, [int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    doubts = solution.per_window[names.DOUBTS] | np.where(judged, more, 0)
    per_window = {**solution.per_window, names.DOUBTS: doubts}
    status = status_with(doubts, solution.status)
    return replace(solution, stdev=stdev, status=status, per_window=per_window)
