"""Observations with gross errors, found and rejected before the analysis (`robust=True`).

Every observation is good or bad, see `pyvda.gross_errors`, whose parameters are estimated from the
file. Of a linear problem, the distance of an observation from what all other data say, in standard
deviations √R, and its variance follow from the analysis xₐ with the spread σ itself:

    z = (y - xₐ) / √R / (1 - h),   v = 1 / (1 - h),   h = σ² / R    for data that were used,
    z = (y - xₐ) / √R,             v = 1 + σ² / R                   for others.

Data that are more likely bad than good are left out, the analysis is repeated, and data that it
fits again come back, until nothing changes. Where the model is nonlinear, the first analysis may
have followed the bad data to a wrong minimum. A window that costs more than usual, at minus the log
density of each datum that is left out, is therefore searched again from random subsets of its data,
as in other robust regressions (Rousseeuw & Leroy 1987), and the cheapest result is kept. The spread
that is stated covers the other results, and where they lie beyond it the window is ambiguous.

Whatever the method, it only ever sees windows of observations, some of which are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.gross_errors import UNKNOWN, GrossErrors
from pyvda.io.quality import bad_data
from pyvda.methods import Problem, Solution, Status
from pyvda.methods.minima import reaches_further
from pyvda.methods.statistics import half_misfit, half_point_misfit

_MOST = 0.75  # h at most: the spread is not that accurate
_FEW = 8  # data of a window, below which their residuals say nothing of its spread
_SUBSETS, _LEFT_OUT = 8, (0.35, 0.6)  # their number, and probabilities that a datum is left out
_SEED = 5
_APART, _RESULT = "squared_distance_to_other_results", "result_of_the_search"
_ROUNDS = 6  # analyses of a search at most
_ESTIMATES = 2  # of the parameters of the gross errors, each with the analysis of the one before

Bad = tuple[Array, ...]
"""Which data are left out: on the grid, (W, T, D) bool, and perhaps along `datum`, (W, K) bool."""


@dataclass(frozen=True)
class Analyst:
    """Computes analyses of some windows of a block.

    Attributes
    ----------
    problem : callable
        Maps windows of the block, some of their observations perhaps left out, and their numbers
        in the block to the problem that they pose.
    solve : callable
        Maps that problem and these numbers to the analysis.
    variance : float
        R of a datum with weight 1.
    coupled : bool
        Whether the analysis of a window depends on the others.
    """

    problem: Callable[[xr.Dataset, Array], Problem]
    solve: Callable[[Problem, Array], Solution]
    variance: float
    coupled: bool = False


@dataclass(frozen=True)
class _Found:
    """The end of a search of n windows.

    Attributes
    ----------
    bad : Bad
        Which data are left out.
    cost : (n,)
        Negative log density of analysis and data, up to a constant.
    x : (n, T, D)
        The analysis.
    z, variance : tuple of arrays like `bad`
        Distance of each datum from what all others say, and its variance for good data; NaN: there
        is none.
    """

    bad: Bad
    cost: Array
    x: Array
    z: tuple[Array, ...]
    variance: tuple[Array, ...]

    def put(self, rows: Array, found: _Found) -> None:
        """Replace the results of some windows."""
        self.cost[rows], self.x[rows] = found.cost, found.x
        for own, other in (
            (self.bad, found.bad), (self.z, found.z), (self.variance, found.variance)
        ):  # fmt: skip
            for into, values in zip(own, other, strict=True):
                into[rows] = values

    def __getitem__(self, rows: Array) -> _Found:
        bad, z, variance = (
            tuple(one[rows] for one in each) for each in (self.bad, self.z, self.variance)
        )
        return _Found(bad, self.cost[rows], self.x[rows], z, variance)


def without_gross_errors(
    block: xr.Dataset, analyst: Analyst, errors: GrossErrors = UNKNOWN
) -> xr.Dataset:
    """Return a block of windows with NaN in place of the observations that are likely bad.

    Their flags are `names.Flag.REJECTED`, as of data that the file itself calls bad. For `covering`
    and `from_result` the block also holds the result of the search, NaN where nothing is left out,
    and the mean squared distance from it to others.

    Parameters
    ----------
    block : Dataset
        Windows in memory: `observation` (window, time, state), perhaps data along `datum`.
    analyst : Analyst
    errors : GrossErrors
    """
    best, apart = _best(block, analyst, errors)
    result = np.where(_any(best.bad)[:, None, None], best.x, np.nan)
    found = {_APART: (names.DIMENSIONS, apart), _RESULT: (names.DIMENSIONS, result)}
    return _left_out(block, best.bad).assign(found)


def estimated(block: xr.Dataset, analyst: Analyst) -> tuple[GrossErrors, float]:
    """Return the estimate of the gross errors from windows in memory, of which there are many.

    The second result is by how many standard deviations the good data's errors are larger than
    expected, see `GrossErrors.excess_of_good`.
    """
    errors, excess = UNKNOWN, np.nan
    for _ in range(_ESTIMATES):
        best, _ = _best(block, analyst, errors)
        z, variance = (
            np.concatenate([one.ravel() for one in each]) for each in (best.z, best.variance)
        )
        there = np.isfinite(z)
        errors = UNKNOWN.fitted(z[there], variance[there])
        excess = errors.excess_of_good(z[there], variance[there])
    return errors, excess


def _best(block: xr.Dataset, analyst: Analyst, errors: GrossErrors) -> tuple[_Found, Array]:
    """Return the cheapest end of the searches, and the mean square from it to others, (W, T, D)."""
    windows = np.arange(block.sizes[names.WINDOW])
    problem = analyst.problem(block, windows)
    weights = _weights(problem)
    best = _searched(block, windows, analyst, errors, tuple(weight < 0 for weight in weights))
    apart = np.zeros(best.x.shape)
    data = problem.data()
    usual = data / 2 + np.sqrt(data / 2)
    again = windows[_any(best.bad) & (best.cost > usual)]
    if not len(again) or analyst.coupled:
        return best, apart
    subsets = _subsets(problem, weights, again)
    each = len(subsets[0]) // len(again)
    found = _searched(block, np.repeat(again, each), analyst, errors, subsets)
    for place, window in enumerate(again):
        its = slice(place * each, (place + 1) * each)
        costs = np.append(best.cost[window], found.cost[its])
        x = np.concatenate([best.x[[window]], found.x[its]])
        bad = [
            np.concatenate([one[[window]], other[its]])
            for one, other in zip(best.bad, found.bad, strict=True)
        ]
        lowest = int(costs.argmin())
        apart[window] = _mean_distance(costs, bad, x, lowest)
        if lowest:
            best.put(np.array([window]), found[np.array([its.start + lowest - 1])])
    return best, apart


def from_result(block: xr.Dataset, problem: Problem) -> Problem:
    """Return the problem with the results of the search as first guesses, where data are left out.

    Parameters
    ----------
    block : Dataset
        As `without_gross_errors` returns it.
    problem : Problem
    """
    result = block[_RESULT].transpose(*names.DIMENSIONS).values
    finite = np.isfinite(result).all((1, 2), keepdims=True)
    guess = np.where(finite, result, problem.batch.first_guess)
    return replace(problem, batch=replace(problem.batch, first_guess=guess))


def covering(block: xr.Dataset, solution: Solution) -> Solution:
    """Return the solution with a spread that also covers the other results of the search.

    Parameters
    ----------
    block : Dataset
        As `without_gross_errors` returns it, or any other.
    """
    if _APART not in block or solution.stdev is None:
        return solution
    apart = block[_APART].transpose(*names.DIMENSIONS).values
    stdev = np.sqrt(np.square(solution.stdev) + apart)
    ambiguous = reaches_further(stdev, solution.stdev) & (solution.status == Status.CONVERGED)
    status = np.where(ambiguous, int(Status.AMBIGUOUS), solution.status)
    return replace(solution, stdev=stdev, status=status)


def _mean_distance(costs: Array, bad: list[Array], x: Array, best: int) -> Array:
    """Return Σ w (x - x_best)² over different results, w ∝ exp(-cost), (T, D)."""
    distinct = {
        b"".join(one[k].tobytes() for one in bad): k for k in np.argsort(-costs, kind="stable")
    }
    chosen = [k for k in distinct.values() if np.isfinite(costs[k]) and np.isfinite(x[k]).all()]
    weights = np.exp(costs[best] - costs[chosen])
    square = np.einsum("k,ktd->td", weights, (x[chosen] - x[best]) ** 2)
    return np.asarray(square / max(weights.sum(), 1.0))


def _subsets(problem: Problem, weights: tuple[Array, ...], windows: Array) -> Bad:
    """Return random data of each window to leave out at first, several sets after one another.

    They depend on the window's number in its file alone.
    """
    drawn: list[list[Array]] = [[] for _ in weights]
    shares = np.repeat(_LEFT_OUT, _SUBSETS)
    for window in windows:
        random = np.random.default_rng([_SEED, int(problem.window_numbers()[window])])
        for weight, into in zip(weights, drawn, strict=True):
            uniform = random.random((len(shares), *weight.shape[1:]))
            share = shares.reshape(-1, *(1,) * (weight.ndim - 1))
            into.append((uniform < share) & (weight[window] > 0))
    return tuple(np.concatenate(each) for each in drawn)


def _searched(
    block: xr.Dataset, windows: Array, analyst: Analyst, errors: GrossErrors, bad: Bad
) -> _Found:
    """Return the end of a search.

    Parameters
    ----------
    windows : (n,) int
        Numbers of windows, perhaps some of them several times.
    bad : Bad
        Which of their data to leave out at first, (n, ...).
    """
    given = analyst.problem(block.isel({names.WINDOW: windows}), windows)
    nothing = tuple(np.full(one.shape, np.nan) for one in bad)
    end = _Found(
        tuple(one.copy() for one in bad), np.full(len(windows), np.inf),
        np.full(given.batch.observation.shape, np.nan), nothing,
        tuple(one.copy() for one in nothing),
    )  # fmt: skip
    rows = np.arange(len(windows))
    for _ in range(_ROUNDS):
        own = tuple(one[rows] for one in end.bad)
        part = _left_out(block.isel({names.WINDOW: windows[rows]}), own)
        problem = analyst.problem(part, windows[rows])
        solution = analyst.solve(problem, windows[rows])
        found = _judged(given.chosen(rows), problem, solution, own, analyst.variance, errors)
        different = _any(tuple(a != b for a, b in zip(found.bad, own, strict=True)))
        end.put(rows, found)
        if not different.any():
            break
        rows = np.arange(len(windows)) if analyst.coupled else rows[different]
    return end


def _judged(
    given: Problem, problem: Problem, solution: Solution, bad: Bad, variance: float,
    errors: GrossErrors,
) -> _Found:  # fmt: skip
    """Return which data are more likely bad than good, and the cost of those that were left out.

    Parameters
    ----------
    given, problem : Problem
        With all data, and with those that are not `bad`.
    solution : Solution
        The analysis of the latter.
    variance : float
        R of a datum with weight 1.
    """
    residuals, weights = _residuals(given, solution.x), _weights(given)
    if solution.stdev is None:
        squares = _squares_of_residuals(residuals, weights, bad, variance)
    else:
        squares = _squares(given, np.asarray(solution.stdev))
    cost = _cost_of_used(problem, solution, variance)
    after, distances, variances = [], [], []
    for d, weight, square, out in zip(residuals, weights, squares, bad, strict=True):
        there = weight > 0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            residual = np.where(there, d * np.sqrt(weight / variance), np.nan)
            share = square * weight / variance
            left = np.where(out, 1.0, 1 - np.minimum(share, _MOST))
            z, v = residual / left, np.where(out, 1 + share, 1 / left)
            far = errors.log_bad(z, v) > errors.log_good(z, v)
            dearer = errors.log_good(0 * residual) - errors.log_bad(residual)
        # A window without an analysis says nothing of its data.
        after.append(np.where(np.isfinite(d), far, out) & there)
        cost = cost + np.where(out, dearer, 0.0).reshape(len(d), -1).sum(1)
        distances.append(z)
        variances.append(v)
    cost = np.where(np.isfinite(cost), cost, np.inf)
    return _Found(tuple(after), cost, np.asarray(solution.x), tuple(distances), tuple(variances))


def _residuals(problem: Problem, x: Array) -> tuple[Array, ...]:
    """Return observation minus analysis, NaN where the analysis is not finite."""
    on_grid = np.asarray(problem.batch.observation, float) - x
    points = problem.batch.points
    if points is None:
        return (on_grid,)
    finite = np.asarray(np.isfinite(x).all((1, 2)))[:, None]
    usable = np.where(finite[..., None], x, 0.0)
    predicted = problem.engine.observed(problem.model, problem.cost, usable, points)
    return on_grid, np.where(finite, np.asarray(points.value, float) - predicted, np.nan)


def _squares(problem: Problem, stdev: Array) -> tuple[Array, ...]:
    """Return σ² of observed values; errors of several components count as fully correlated."""
    points = problem.batch.points
    if points is None:
        return (stdev**2,)
    return stdev**2, points.terms(stdev).sum(2) ** 2


def _squares_of_residuals(
    residuals: tuple[Array, ...], weights: tuple[Array, ...], bad: Bad, variance: float
) -> tuple[Array, ...]:
    """Return σ² from residuals, of variance R - σ², for a method that states no spread."""
    scaled = np.concatenate(
        [
            np.where((weight > 0) & ~out, np.abs(d) * np.sqrt(weight), np.nan).reshape(len(d), -1)
            for d, weight, out in zip(residuals, weights, bad, strict=True)
        ],
        axis=1,
    )
    share = np.ones(len(scaled))
    usable = np.isfinite(scaled).sum(1) >= _FEW
    middle = 1.4826 * np.nanmedian(scaled[usable], axis=1)
    share[usable] = np.minimum(middle**2 / variance, 1.0)
    found = []
    for weight in weights:
        with np.errstate(divide="ignore", invalid="ignore"):
            left = (1 - share).reshape(-1, *(1,) * (weight.ndim - 1))
            found.append(np.where(weight > 0, left * variance / weight, 0.0))
    return tuple(found)


def _cost_of_used(problem: Problem, solution: Solution, variance: float) -> Array:
    """Return the negative log density of analysis and data in use, up to a constant, (n,)."""
    found = solution.per_window.get(names.OBJECTIVE)
    if found is not None:
        return np.asarray(found)
    x, y = np.asarray(solution.x), np.asarray(problem.batch.observation, float)
    on_grid = half_misfit(np.asarray(problem.batch.mask, float) / variance, x, y)
    return np.asarray(on_grid + half_point_misfit(problem, x, variance))


def _any(bad: Bad) -> Array:
    """Return whether a window has such data, (W,)."""
    return np.asarray(np.any([one.reshape(len(one), -1).any(1) for one in bad], axis=0))


def _weights(problem: Problem) -> tuple[Array, ...]:
    points = problem.batch.points
    on_grid = np.asarray(problem.batch.mask, float)
    return (on_grid,) if points is None else (on_grid, np.asarray(points.weight, float))


def _left_out(block: xr.Dataset, bad: Bad) -> xr.Dataset:
    """Return the block with NaN in place of bad data, which are marked as rejected."""
    block = _marked(block, names.OBSERVATION, names.REJECTED, names.DIMENSIONS, bad[0])
    if len(bad) == 1:
        return block
    along = (names.WINDOW, names.DATUM)
    return _marked(block, names.POINT_OBSERVATION, names.POINT_REJECTED, along, bad[1])


def _marked(
    block: xr.Dataset, values: str, codes: str, dims: tuple[str, ...], bad: Array
) -> xr.Dataset:
    there = xr.Variable(dims, bad)
    code = xr.Variable(dims, np.zeros(bad.shape, np.int8))
    if codes in block:
        code = block.variables[codes].transpose(*dims)
    code = code.where(~there, np.int8(bad_data.REJECTED))
    observed = block[values].transpose(*dims)
    return block.assign({values: observed.where(~there), codes: (dims, code.data)})
