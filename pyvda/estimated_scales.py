"""The variance of the model error and the scale of B, estimated from the observations.

Of a linear problem with the covariances s B₀ and q I, the likelihood of all data y has the gradient

    ∂(-2 log p) / ∂ log s = dᵇ - 2 Jᵇ,      ∂(-2 log p) / ∂ log q = d^q - 2 J^q,

where Jᵇ and J^q are the terms of the minimum, and dᵇ + d^q = Σ σ² / R over the data the degrees of
freedom that they determine (Desroziers & Ivanov 2001; for one scale, MacKay 1992). The updates

    s ← s Σ 2 Jᵇ / Σ dᵇ,    q ← q Σ 2 J^q / Σ d^q        (sums over windows)

therefore end at the maximum of the likelihood. With an exact model, d^q = 0. Otherwise
dᵇ = D - tr(∂x₁ / ∂b), the sensitivity of the first state to the background's mean, from analyses
with another mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from pyvda.block_task import Backgrounds, BlockTask
from pyvda.climate.background import Background
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods import Options, Problem, Solution, Status, get_method
from pyvda.methods.statistics import background_of, variance_of
from pyvda.names import OBJECTIVE
from pyvda.operators.covariance import Dense
from pyvda.progress import silent
from pyvda.settings import COVARIANCE, MODEL_ERROR
from pyvda.state.windows import windows_across

_WINDOWS = 256
_ROUNDS, _CLOSE = 60, 1e-3  # updates at most, and the relative change that ends them
_UNUSUAL = 4.0  # times the median of the objective: such a window may be in a wrong minimum
_PROBES = 4  # random changes of a background with more components
_STEP = 0.01  # of a change, in standard deviations


@dataclass(frozen=True)
class _Terms:
    """Twice the terms of the minimum and their degrees of freedom, of each window, (W,)."""

    background: Array
    model: Array
    background_freedom: Array
    model_freedom: Array


def with_scales(
    task: BlockTask, windows: xr.Dataset, own: Backgrounds | None, wanted: tuple[str, ...]
) -> tuple[BlockTask, dict[str, str]]:
    """Return the task with the estimates, and the attributes of an analysis that state them.

    Parameters
    ----------
    windows : Dataset
        Up to 256 of them are used.
    own : sequence, optional
        Backgrounds of the windows; the estimate is not available with them.
    wanted : tuple of {"covariance", "model_error"}
        Options of the method.

    Raises
    ------
    InputError
        Windows have backgrounds of their own; observations are not of components at analysis times;
        or no window has an analysis.
    """
    if own is not None:
        raise InputError(
            f"{', '.join(wanted)} to be estimated, which needs windows that are independent of "
            "each other, but their backgrounds are an earlier analysis; give numbers"
        )
    quiet = replace(task, report=silent)
    with quiet.engine() as engine:
        sample = quiet.screened(windows_across(windows, _WINDOWS), None, engine)
        problem = quiet.problem(sample, None, engine)
        if problem.batch.points is not None or problem.batch.channels is not None:
            raise InputError(
                f"{', '.join(wanted)} can be estimated from observations of components at the "
                "analysis times only; give numbers"
            )
        options = task.options
        first = background_of(options, problem.model, engine)  # type: ignore[arg-type]
        s = 1.0
        for _ in range(_ROUNDS):
            terms = _terms(task, problem, options, Background(first.mean, first.precision / s))
            changes = [1.0]
            if COVARIANCE in wanted:
                changes.append(terms.background.sum() / terms.background_freedom.sum())
                s *= changes[-1]
                B = Dense(s * np.linalg.inv(first.precision))
                options = options.model_copy(update={COVARIANCE: B})
            if MODEL_ERROR in wanted:
                changes.append(terms.model.sum() / max(terms.model_freedom.sum(), 1e-9))
                q = float(options.model_error) * changes[-1]  # type: ignore[attr-defined]
                options = options.model_copy(update={MODEL_ERROR: max(q, 1e-12)})
            if max(abs(change - 1) for change in changes) < _CLOSE:
                break
    said = {"pyvda_background_scale": json.dumps(s)} if COVARIANCE in wanted else {}
    return replace(task, options=options), said


def _terms(task: BlockTask, problem: Problem, options: Options, background: Background) -> _Terms:
    """Return the terms of the windows that have an analysis and no unusual objective."""
    R = variance_of(problem, options.observation_variance)  # type: ignore[attr-defined]
    solution = _solved(task, problem, options)
    precision = np.asarray(problem.batch.mask, float) / R
    d = np.asarray(problem.batch.observation, float) - solution.x
    twice = 2 * np.asarray(solution.per_window[OBJECTIVE], float)
    with np.errstate(invalid="ignore"):
        prior = twice - (precision * d**2).sum((1, 2))
        determined = np.minimum(precision * np.square(np.asarray(solution.stdev)), 1.0).sum((1, 2))
    rows = _usual(solution, twice)
    if not options.model_error_per_step(problem.model.state_size).any():
        none = np.zeros(len(rows))
        return _Terms(prior[rows], none, determined[rows], none)
    away = solution.x[:, 0] - background.mean
    of_background = np.einsum("wi,ij,wj->w", away, background.precision, away)
    freedom = _freedom_of_background(task, problem, options, background, solution)
    rows = rows[np.isfinite(freedom[rows])]
    return _Terms(
        of_background[rows], (prior - of_background)[rows], freedom[rows],
        (determined - freedom)[rows],
    )  # fmt: skip


def _solved(task: BlockTask, problem: Problem, options: Options) -> Solution:
    return get_method(task.method).solve(problem, options)


def _usual(solution: Solution, twice: Array) -> Array:
    good = solution.status == int(Status.CONVERGED)
    good |= solution.status == int(Status.ITERATION_LIMIT)
    good |= solution.status == int(Status.DOUBTFUL)
    good &= np.isfinite(twice)
    if not good.any():
        raise InputError(
            "covariances are to be estimated, but no window has an analysis from which they could "
            "be; give numbers"
        )
    return np.flatnonzero(good & (twice <= _UNUSUAL * np.median(twice[good])))


def _freedom_of_background(
    task: BlockTask, problem: Problem, options: Options, background: Background, solution: Solution
) -> Array:
    """Return D - tr(∂x₁ / ∂b), NaN where the other analysis is in another minimum, (W,)."""
    size = len(background.mean)
    factor = np.linalg.cholesky(np.linalg.inv(background.precision))
    directions = np.eye(size)
    if size > _PROBES:
        directions = np.random.default_rng(0).choice([-1.0, 1.0], (_PROBES, size))
        directions /= np.sqrt(_PROBES)
    trace = np.zeros(len(solution.x))
    for v in directions:
        moved = Background(background.mean + _STEP * factor @ v, background.precision)
        other = options.model_copy(update={"background": moved, COVARIANCE: None})
        x = _solved(task, problem, other).x[:, 0]
        trace += np.linalg.solve(factor, (x - solution.x[:, 0]).T).T @ v / _STEP
    return np.where((trace > -0.1 * size) & (trace < 1.1 * size), size - trace, np.nan)
