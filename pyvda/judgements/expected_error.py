"""The standard deviation of an analysis whose method states none (`spread=True`).

For any analysis xₐ the expected squared error is, over the posterior distribution with mean m and
variance s²,

    E(x - xₐ)² = s² + (m - xₐ)².

whatever made xₐ: a learned model, or a descent of the cost (4). Of a low-dimensional model, m and s
come from the states of its attractor that fit the observations, by the method `posterior-mean`; of
a larger one, from the minimum of the method `annealed` and its Hessian.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.library import LOW_DIMENSIONAL
from pyvda.errors import InputError
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
    """Return the judged solution with `stdev`; windows whose posterior is in doubt are doubtful.

    Parameters
    ----------
    problem : Problem
    solution : Solution
        With `names.DOUBTS`.
    variance : float
        R of a datum with weight 1.
    """
    quiet = replace(problem, report=silent)
    if problem.model.state_size <= LOW_DIMENSIONAL:
        options = posterior_mean.PosteriorMeanOptions(observation_variance=variance)
        posterior, doubt = posterior_mean.solve(quiet, options), Doubt.FEW_SAMPLES
        enough = posterior.per_window[names.EFFECTIVE_SAMPLE_SIZE] >= options.doubtful
    else:
        by = annealed.AnnealedOptions(observation_variance=variance)
        posterior, doubt = annealed.solve(quiet, by), Doubt.MISFIT_LARGE
        enough = np.asarray(np.isfinite(posterior.x).all((1, 2)))
    if posterior.stdev is None:
        raise ValueError("the posterior has no standard deviation")
    stdev = np.sqrt(np.square(posterior.stdev) + np.square(posterior.x - solution.x))
    judged = ~np.isin(solution.status, [int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    # Few samples, or no state that is as close to the observations as their errors are large.
    unknown = judged & (~enough | (posterior.status == Status.DOUBTFUL))
    doubts = solution.per_window[names.DOUBTS] | np.where(unknown, int(doubt), 0)
    status = np.where(unknown, int(Status.DOUBTFUL), solution.status)
    per_window = {**solution.per_window, names.DOUBTS: doubts}
    return replace(solution, stdev=stdev, status=status, per_window=per_window)
