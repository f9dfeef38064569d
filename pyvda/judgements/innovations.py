"""Innovations of the data on the grid, one by one, and tests of their independence.

An observation minus the analysis that used it has the variance R - σ², less than that of the
observation error, because the analysis has moved towards it. A sensor that repeats one value, or an
analysis that stays on one side of its data, is seen in runs: the longest one of n independent
values with two equally likely signs is k or longer with a probability below n 2⁻ᵏ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtr

from pyvda.engine.interface import Array
from pyvda.operators.points import Points

_UNLIKELY = 1e-4  # probability of a run in a window without faults
_FEWEST = 8  # data below which a misfit is never too small
# Less than this share of an observation error's variance is never expected of an innovation: the
# variance that a method states is not that accurate.
_LEAST_SHARE = 0.1
_TOO_SMALL = 1 / 2450  # as the limit of misfits that are too large


@dataclass(frozen=True)
class Innovations:
    """The data of some windows, ordered by window, component and time.

    Attributes
    ----------
    windows : int
        Their number, W.
    window, component : (N,) int
    observation, value : (N,)
        The observation, and the observation minus the analysis, NaN without an analysis.
    variance, expected : (N,), optional
        Variance of the observation error, and of `value`; None where they are unknown.
    """

    windows: int
    window: Array
    component: Array
    observation: Array
    value: Array
    variance: Array | None = None
    expected: Array | None = None

    def summed(self, values: Array) -> Array:
        """Return the sum of one value for each datum over each window, (W,)."""
        return np.bincount(self.window, values, minlength=self.windows)

    def continues(self) -> Array:
        """Return whether the next datum is of the same window and component, (N - 1,) bool."""
        same = self.window[1:] == self.window[:-1]
        return np.asarray(same & (self.component[1:] == self.component[:-1]))


def innovations(
    observation: Array,
    mask: Array,
    x: Array,
    variance: float | None = None,
    stdev: Array | None = None,
) -> Innovations:
    """Return the innovations of windows.

    Parameters
    ----------
    observation, mask, x : (W, T, D)
        As in `Batch`, and the analysis.
    variance : float, optional
        R of a datum with weight 1.
    stdev : (W, T, D), optional
        Standard deviation of the analysis.
    """
    # numpy finds the nonzero values of a flat array much faster.
    there = np.ascontiguousarray(np.swapaxes(np.asarray(mask) > 0, 1, 2))
    series, step = np.divmod(np.flatnonzero(there), there.shape[2])
    window, component = np.divmod(series, there.shape[1])
    at = (window, step, component)
    y = np.asarray(observation, float)[at]
    of_errors = expected = None
    if variance is not None:
        of_errors = variance / np.asarray(mask, float)[at]
        expected = of_errors
        if stdev is not None:
            expected = np.maximum(of_errors - stdev[at] ** 2, _LEAST_SHARE * of_errors)
    return Innovations(len(x), window, component, y, y - x[at], of_errors, expected)


def fit(of: Innovations) -> tuple[Array, Array]:
    """Return the squared innovations over their expected value, (W,), and that value, (W,).

    Both are in units of the observation errors' variance. NaN where there is no datum or no
    analysis, or where no variance is known.
    """
    if of.variance is None or of.expected is None:
        return np.full(of.windows, np.nan), np.full(of.windows, np.nan)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        expected = of.summed(of.expected / of.variance)
        found = of.summed(of.value**2 / of.variance) / expected
    return found, np.where(expected > 0, expected, np.nan)


def expected_at_points(points: Points, stdev: Array, variance: float) -> tuple[Array, Array]:
    """Return the least and the largest expected sum of squared innovations at points, (W,) each.

    In units of the observation errors' variance R: Σ (1 - σ²/R), where σ is the spread of the
    observed value if the errors of its components at the nearest step are fully correlated, and
    if they are independent.

    Parameters
    ----------
    points : Points
    stdev : (W, T, D)
        Standard deviation of the analysis.
    variance : float
        R of a datum with weight 1.
    """
    weight = np.asarray(points.weight, float)
    terms = points.terms(stdev)
    low, high = (
        np.where(weight > 0, np.maximum(1 - square * weight / variance, _LEAST_SHARE), 0.0).sum(1)
        for square in (terms.sum(2) ** 2, (terms**2).sum(2))
    )
    return low, high


def too_small(fit: Array, freedom: Array) -> Array:
    """Return whether a window fits its data better than their stated errors allow, (W,) bool.

    `fit` times the degrees of freedom is then a chi-square variable, which falls below the limit in
    one window of 2450.
    """
    n = np.where(np.isfinite(freedom), freedom, 0.0)
    with np.errstate(invalid="ignore"):
        chance = chdtr(np.maximum(n, 1.0), np.where(np.isfinite(fit), fit, 1.0) * n)
    return np.asarray((n >= _FEWEST) & np.isfinite(fit) & (chance < _TOO_SMALL))


def equal_values(of: Innovations) -> Array:
    """Return whether a sensor repeats one value more often than errors of its size allow, (W,).

    Two values of independent errors with standard deviation σ that are rounded to multiples of q
    are equal with probability q / (2 √π σ) at most. Unknown errors are taken from the differences
    of consecutive values.
    """
    found = np.zeros(of.windows, bool)
    alike = of.continues() & (of.observation[1:] == of.observation[:-1])
    if not alike.any():
        return found
    lengths, starts = _runs(alike)
    for run in np.flatnonzero(lengths >= 3):
        start, length = starts[run], lengths[run]
        window, component = of.window[start], of.component[start]
        own = of.observation[of.component == component]
        distinct = np.unique(own)
        if len(distinct) < 2:
            continue  # a constant variable has no information on its errors
        if of.variance is not None:
            sigma = float(np.sqrt(of.variance[start]))
        else:
            sigma = float(np.diff(own).std()) / np.sqrt(2.0)
        equal = min(1.0, float(np.diff(distinct).min()) / (2 * np.sqrt(np.pi) * sigma))
        tries = int(((of.window == window) & (of.component == component)).sum())
        found[window] |= bool(tries * equal ** (length - 1) < _UNLIKELY)
    return found


def equal_signs(of: Innovations) -> Array:
    """Return whether innovations stay on one side longer than independent ones do, (W,) bool."""
    if not len(of.value):
        return np.zeros(of.windows, bool)
    alike = of.continues() & ((of.value[1:] > 0) == (of.value[:-1] > 0))
    lengths, starts = _runs(alike)
    longest = np.zeros(of.windows)
    np.maximum.at(longest, of.window[starts], lengths)
    data = np.bincount(of.window, minlength=of.windows)
    return np.asarray(data * 2.0**-longest < _UNLIKELY) & (data > 0)


def _runs(alike: Array) -> tuple[Array, Array]:
    """Return lengths and first data of runs, from whether a datum is like the one before it."""
    starts = np.concatenate([[0], np.flatnonzero(~alike) + 1])
    return np.diff(np.append(starts, len(alike) + 1)), starts
