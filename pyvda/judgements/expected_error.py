"""The standard deviation of an analysis whose method states none (`spread=True`).

For any analysis xₐ the expected squared error is, over the posterior distribution with mean m and
variance s²,

    E(x - xₐ)² = s² + (m - xₐ)².

whatever made xₐ: a learned model, or a descent of the cost (4). Of a model of a few components, m
and s come from the states of its attractor that fit the observations, by the method
`posterior-mean`; of a larger one, and where too few of these states fit, from the minimum of the
method `annealed` and its Hessian, or from the climatology where it has diverged. The doubts of the
posterior are those of the analysis, too, and so is its fit, by which the file is judged: where the
model or the error variances are wrong, so is the spread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.judgements.judge import judged_solution, status_with
from pyvda.methods import annealed, posterior_mean
from pyvda.methods.problem import Problem, Solution, Status
from pyvda.models.model import Model
from pyvda.names import Doubt
from pyvda.progress import silent

LARGEST = 100
"""Components of a model's state up to which `with_expected_error` has a posterior distribution."""

SAMPLED = 5
"""Components up to which the library of a model has enough states that fit."""


class _Posterior(NamedTuple):
    """Mean and standard deviation (W, T, D), doubts and `names.FIT`, (W,)."""

    mean: Array
    stdev: Array
    doubts: Array
    fit: Array


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
    others = [n for n in names.OTHER_OBSERVATIONS if n in observed]
    if others:
        raise InputError(
            "spread takes observations of components at the analysis times, but the file has "
            f"others ({others[0]}); leave out spread (--spread), or choose a method with a spread "
            "of its own, such as strong-constraint"
        )


def with_expected_error(problem: Problem, solution: Solution, variance: float) -> Solution:
    """Return the solution with `stdev` and the posterior's `names.FIT` and doubts.

    Parameters
    ----------
    problem : Problem
    solution : Solution
        With `names.DOUBTS`.
    variance : float
        R of a datum with weight 1.
    """
    quiet = replace(problem, report=silent)
    of_posterior = _of_library if problem.model.state_size <= SAMPLED else _of_minimum
    found = of_posterior(quiet, variance)
    stdev = np.sqrt(np.square(found.stdev) + np.square(found.mean - solution.x))
    judged = ~np.isin(solution.status, [int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    doubts = solution.per_window[names.DOUBTS] | np.where(judged, found.doubts, 0)
    per_window = {**solution.per_window, names.DOUBTS: doubts, names.FIT: found.fit}
    status = status_with(doubts, solution.status)
    return replace(solution, stdev=stdev, status=status, per_window=per_window)


def _of_library(problem: Problem, variance: float) -> _Posterior:
    """Return the posterior from the states that fit the observations.

    Of a window of which too few do, they are those of `_of_minimum`.
    """
    options = posterior_mean.PosteriorMeanOptions(observation_variance=variance)
    found = judged_solution(problem, options, posterior_mean.solve(problem, options))
    posterior = _Posterior(
        found.x, _stdev_of(found), found.per_window[names.DOUBTS], found.per_window[names.FIT]
    )
    few = np.flatnonzero(posterior.doubts & int(Doubt.FEW_SAMPLES))
    if len(few):
        for into, values in zip(posterior, _of_minimum(problem.chosen(few), variance), strict=True):
            into[few] = values
    return posterior


def _of_minimum(problem: Problem, variance: float) -> _Posterior:
    """Return the posterior around a minimum, or the climatology, without a fit, where it fails."""
    options = annealed.AnnealedOptions(observation_variance=variance)
    found = judged_solution(problem, options, annealed.solve(problem, options))
    mean, spread, doubts = found.x, _stdev_of(found), found.per_window[names.DOUBTS]
    known = climatology(problem.model, problem.engine)
    lost = ~np.asarray(np.isfinite(mean).all((1, 2)))
    mean = np.where(lost[:, None, None], known.mean, mean)
    doubts = np.where(lost, 0, doubts)
    # With few data the Hessian may have no positive inverse to rounding.
    unknown = ~np.isfinite(spread) | lost[:, None, None]
    spread = np.where(unknown, known.variance**0.5, spread)
    doubts = doubts | np.where(unknown.any((1, 2)), int(Doubt.SPREAD_LIMITED), 0)
    return _Posterior(mean, spread, doubts, np.where(lost, np.nan, found.per_window[names.FIT]))


def _stdev_of(posterior: Solution) -> Array:
    if posterior.stdev is None:
        raise ValueError("the posterior has no standard deviation")
    return posterior.stdev
