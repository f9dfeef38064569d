"""Observations with gross errors, found and rejected before the analysis (`robust=True`).

Every observation is good, with the error variance R, or, rarely, bad, with an error of any size. It
is bad with the probability γ / (γ + exp(-z²/2)), where z is its distance, in standard deviations,
from what all other data say, and γ = A √(2π) / (2 d (1 - A)) for a share A of gross errors that are
uniform within d standard deviations (Andersson & Järvinen 1999). Of a linear problem, z follows
from the analysis xₐ with the spread σ itself:

    z² = (y - xₐ)² / (R - σ²)  for data that were used,      (y - xₐ)² / (R + σ²)  for others.

Data that are more likely bad than good are left out, the analysis is repeated, and data that it
fits again come back, until nothing changes. Where the model is nonlinear, the first analysis may
have followed the bad data to a wrong minimum. A window that costs more than usual, at -log γ for
each datum that is left out, is therefore searched again from random subsets of its data, as in
other robust regressions (Rousseeuw & Leroy 1987), and the cheapest result is kept. The spread that
is stated covers the other results, and where they lie beyond it the window is ambiguous.

Whatever the method, it only ever sees windows of observations, some of which are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.io.quality import bad_data
from pyvda.methods import Problem, Solution, Status
from pyvda.methods.minima import reaches_further
from pyvda.methods.statistics import half_misfit, half_point_misfit

_SHARE, _WITHIN = 0.1, 5.0  # A and d
_GAMMA = _SHARE * np.sqrt(2 * np.pi) / (2 * _WITHIN * (1 - _SHARE))
_COST = -np.log(_GAMMA)  # of a datum that is left out; it is as likely bad as good at z = 2.68
_LEAST_SHARE = 0.25  # of R that R - σ² is never below: the spread is not that accurate
_FEW = 8  # data of a window, below which their residuals say nothing of its spread
_SUBSETS, _LEFT_OUT = 8, 0.35  # their number, and the probability that a datum is left out
_SEED = 5
_APART = "squared_distance_to_other_results"
_ROUNDS = 6  # analyses of a search at most

Bad = tuple[Array, ...]
"""Which data are left out: on the grid, (W, T, D) bool, and perhaps along `datum`, (W, K) bool."""


@dataclass(frozen=True)
class Analyst:
    """What makes an analysis of some windows of a block.

    Attributes
    ----------
    problem : callable
        Of windows of the block, with observations that may be left out, and their numbers in the
        block, to the problem that they pose.
    solve : callable
        Of that problem and these numbers to the analysis.
    variance : float
        R of a datum with weight 1.
    coupled : bool
        Whether the analysis of a window depends on the others.
    """

    problem: Callable[[xr.Dataset, Array], Problem]
    solve: Callable[[Problem, Array], Solution]
    variance: float
    coupled: bool = False


def without_gross_errors(block: xr.Dataset, analyst: Analyst) -> xr.Dataset:
    """Return a block of windows with NaN in place of the observations that are likely bad.

    Their flags are `names.Flag.REJECTED`, as of data that the file itself calls bad. For `covering`
    the block also holds the mean squared distance to the other results.

    Parameters
    ----------
    block : Dataset
        Windows in memory: `observation` (window, time, state), perhaps data along `datum`.
    analyst : Analyst
    """
    windows = np.arange(block.sizes[names.WINDOW])
    problem = analyst.problem(block, windows)
    weights = _weights(problem)
    everything = tuple(weight < 0 for weight in weights)
    bad, lowest, x = _searched(block, windows, analyst, everything)
    apart = np.zeros(x.shape)
    data = problem.data()
    again = windows[_any(bad) & (lowest > data / 2 + np.sqrt(data / 2))]
    if len(again) and not analyst.coupled:
        rows = np.repeat(again, _SUBSETS)
        subsets = _subsets(problem, weights, again)
        found, cost, others = _searched(block, rows, analyst, subsets)
        for place, window in enumerate(again):
            its = slice(place * _SUBSETS, (place + 1) * _SUBSETS)
            # The first search, and those from subsets.
            costs = np.append(lowest[window], cost[its])
            ends = [
                np.concatenate([one[[window]], other[its]])
                for one, other in zip((*bad, x), (*found, others), strict=True)
            ]
            best = int(costs.argmin())
            for one, end in zip(bad, ends, strict=False):
                one[window] = end[best]
            apart[window] = _mean_distance(costs, ends[:-1], ends[-1], best)
    return _left_out(block, bad).assign({_APART: (names.DIMENSIONS, apart)})


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
    """Return random data of each window to leave out at first, `_SUBSETS` times after one another.

    They depend on the window's number in its file alone.
    """
    drawn: list[list[Array]] = [[] for _ in weights]
    for window in windows:
        random = np.random.default_rng([_SEED, int(problem.window_numbers()[window])])
        for weight, into in zip(weights, drawn, strict=True):
            shape = (_SUBSETS, *weight.shape[1:])
            into.append((random.random(shape) < _LEFT_OUT) & (weight[window] > 0))
    return tuple(np.concatenate(each) for each in drawn)


def _searched(
    block: xr.Dataset, windows: Array, analyst: Analyst, bad: Bad
) -> tuple[Bad, Array, Array]:
    """Return which data to leave out in the end, the cost of that, (n,), and the analysis.

    Parameters
    ----------
    windows : (n,) int
        Numbers of windows, perhaps some of them several times.
    bad : Bad
        Which of their data to leave out at first, (n, ...).
    """
    given = analyst.problem(block.isel({names.WINDOW: windows}), windows)
    bad = tuple(one.copy() for one in bad)
    cost = np.full(len(windows), np.inf)
    x = np.full(given.batch.observation.shape, np.nan)
    rows = np.arange(len(windows))
    for _ in range(_ROUNDS):
        own = tuple(one[rows] for one in bad)
        part = _left_out(block.isel({names.WINDOW: windows[rows]}), own)
        problem = analyst.problem(part, windows[rows])
        solution = analyst.solve(problem, windows[rows])
        x[rows] = solution.x
        cost[rows] = _cost(problem, solution, own, analyst.variance)
        found = _rejected(_chosen(given, rows), solution, own, analyst.variance)
        different = _any(tuple(a != b for a, b in zip(found, own, strict=True)))
        if not different.any():
            break
        for all_of, now in zip(bad, found, strict=True):
            all_of[rows] = now
        rows = np.arange(len(windows)) if analyst.coupled else rows[different]
    return bad, cost, x


def _rejected(problem: Problem, solution: Solution, bad: Bad, variance: float) -> Bad:
    """Return which data are more likely bad than good.

    Parameters
    ----------
    problem : Problem
        With all data.
    solution : Solution
        Of the data that are not `bad`.
    variance : float
        R of a datum with weight 1.
    """
    found = []
    residuals, weights = _residuals(problem, solution.x), _weights(problem)
    if solution.stdev is None:
        squares = _squares_of_residuals(residuals, weights, bad, variance)
    else:
        squares = _squares(problem, np.asarray(solution.stdev))
    for d, weight, square, out in zip(residuals, weights, squares, bad, strict=True):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            R = variance / weight
            expected = np.where(out, R + square, np.maximum(R - square, _LEAST_SHARE * R))
            far = d**2 > 2 * _COST * expected
        # A window without an analysis says nothing of its data.
        found.append(np.where(np.isfinite(d), far, out) & (weight > 0))
    return tuple(found)


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
    """Return σ² of what is observed. Errors of several components are taken as alike: σ at most."""
    points = problem.batch.points
    if points is None:
        return (stdev**2,)
    at_step = np.take_along_axis(stdev, np.asarray(points.step)[..., None], axis=1)
    terms = np.take_along_axis(at_step, points.operator.index, axis=2)
    return stdev**2, (np.abs(points.operator.coefficient) * terms).sum(2) ** 2


def _squares_of_residuals(
    residuals: tuple[Array, ...], weights: tuple[Array, ...], bad: Bad, variance: float
) -> tuple[Array, ...]:
    """Return σ² of a method that states none, from residuals: their variance is R - σ²."""
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


def _cost(problem: Problem, solution: Solution, bad: Bad, variance: float) -> Array:
    """Return the negative log density of analysis and data, up to a constant, (n,)."""
    found = solution.per_window.get(names.OBJECTIVE)
    if found is None:
        x, y = np.asarray(solution.x), np.asarray(problem.batch.observation, float)
        found = half_misfit(np.asarray(problem.batch.mask, float) / variance, x, y)
        found = found + half_point_misfit(problem, x, variance)
    found = found + _COST * sum(out.reshape(len(out), -1).sum(1) for out in bad)
    return np.where(np.isfinite(found), found, np.inf)


def _any(bad: Bad) -> Array:
    """Return whether a window has such data, (W,)."""
    return np.asarray(np.any([one.reshape(len(one), -1).any(1) for one in bad], axis=0))


def _weights(problem: Problem) -> tuple[Array, ...]:
    points = problem.batch.points
    on_grid = np.asarray(problem.batch.mask, float)
    return (on_grid,) if points is None else (on_grid, np.asarray(points.weight, float))


def _chosen(problem: Problem, windows: Array) -> Problem:
    numbers = problem.window_numbers()[windows]
    return replace(problem, batch=problem.batch[windows], numbers=numbers)


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
