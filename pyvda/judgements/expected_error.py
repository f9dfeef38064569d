"""The standard deviation of an analysis whose method states none (`spread=True`).

For any analysis xₐ the expected squared error is, over the posterior distribution with mean m and
variance s²,

    E(x - xₐ)² = s² + (m - xₐ)².

Of a low-dimensional model, m and s come from the states of its attractor that fit the observations,
by the method `posterior-mean`, whatever made xₐ: a learned model, or a descent of the cost (4).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyvda import names
from pyvda.climate.library import LOW_DIMENSIONAL
from pyvda.errors import InputError
from pyvda.methods import posterior_mean
from pyvda.methods.problem import Problem, Solution, Status
from pyvda.models.model import Model
from pyvda.names import Doubt
from pyvda.progress import silent


def expect_low_dimensional(model: Model) -> None:
    """Raise InputError for a model whose attractor no library can stand for."""
    if model.state_size > LOW_DIMENSIONAL:
        raise InputError(
            f"spread is the expected error over the attractor of a model of at most "
            f"{LOW_DIMENSIONAL} components, but {model.name} has {model.state_size}; leave out "
            "spread (--spread), or choose a method with a spread of its own, such as "
            "ensemble-smoother"
        )


def with_expected_error(problem: Problem, solution: Solution, variance: float) -> Solution:
    """Return the judged solution with `stdev`; where too few states fit, windows are doubtful.

    Parameters
    ----------
    problem : Problem
    solution : Solution
        With `names.DOUBTS`.
    variance : float
        R of a datum with weight 1.
    """
    options = posterior_mean.PosteriorMeanOptions(observation_variance=variance)
    posterior = posterior_mean.solve(replace(problem, report=silent), options)
    if posterior.stdev is None:
        raise ValueError("the posterior mean has no standard deviation")
    stdev = np.sqrt(np.square(posterior.stdev) + np.square(posterior.x - solution.x))
    judged = ~np.isin(solution.status, [int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    effective = posterior.per_window[names.EFFECTIVE_SAMPLE_SIZE]
    # Few samples, or none that is as close to the observations as their errors are large.
    few = judged & (~(effective >= options.doubtful) | (posterior.status == Status.DOUBTFUL))
    doubts = solution.per_window[names.DOUBTS] | np.where(few, int(Doubt.FEW_SAMPLES), 0)
    status = np.where(few, int(Status.DOUBTFUL), solution.status)
    per_window = {**solution.per_window, names.DOUBTS: doubts}
    return replace(solution, stdev=stdev, status=status, per_window=per_window)
