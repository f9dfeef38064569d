"""Mean, correlation and outliers of the innovations of a file, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, pdtrc, stdtr, stdtrit

from pyvda.engine.interface import Array

FEW = 8
"""Windows, below which the spread between them is not used, or data of a window."""

_FAR, _USUAL_FAR = 3.0, 0.0027  # standard deviations, and the share beyond them
_ALIKE, _MOST_GROUPS = 100, 16  # innovations of alike spread, whose size is taken together
_MEDIAN = 0.455  # of the square of a normal variable with unit variance
_LEAST_SHARE = 0.02  # of R, that an innovation's variance is taken to have
_BISECTIONS = 20
_OWN = 30  # data from which the deviation of a component is known by itself


@dataclass(frozen=True)
class Statistic:
    """A mean over windows, its 95 % interval, and the chance of one as far from the expected."""

    mean: float
    low: float
    high: float
    chance: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Innovations:
    """Innovations of one kind.

    Attributes
    ----------
    values : (W, T, D)
        NaN where there is none.
    groups : list of (str, (n,) int)
        What is judged together, with its label.
    stdev : (W, T, D), optional
        Stated standard deviation of the analysis.
    of_components : bool
        Whether they are of components of the state. Of others the spread is unknown, so that some
        may have a larger variance R - σ² than most.
    at_points : bool
        Whether they are of data at arbitrary times, (W, K, 1), of several sensors.
    """

    values: Array
    groups: list[tuple[str, Array]]
    stdev: Array | None = None
    of_components: bool = True
    at_points: bool = False

    def number(self) -> Array:
        """Return the number of data of each window, (W,)."""
        return np.asarray(np.isfinite(self.values).sum((1, 2)))

    def of_windows(self, chosen: Array) -> Innovations:
        """Return those of some windows."""
        stdev = None if self.stdev is None else self.stdev[chosen]
        return replace(self, values=self.values[chosen], stdev=stdev)


def of_components(
    d: Array, stdev: Array | None, fields: Sequence[tuple[str, slice]]
) -> Innovations:
    """Return the innovations (W, T, D) of components of the state.

    Parameters
    ----------
    d, stdev : (W, T, D)
        See `Innovations`.
    fields : sequence of (str, slice)
        Variables of the state, see `judged_together`.
    """
    return Innovations(d, list(judged_together(np.isfinite(d).sum((0, 1)), fields)), stdev)


def of_innovations(
    *kinds: Innovations,
) -> tuple[dict[str, Statistic], Statistic | None, float | None, float]:
    """Return the statistics of innovations.

    Returns
    -------
    bias : dict of str to Statistic
        Mean of each group, in its root mean square.
    correlation : Statistic, optional
        Correlation of consecutive innovations.
    outliers : float, optional
        Share beyond three standard deviations.
    chance : float
        Probability of as many outliers or more among independent normal innovations.
    """
    bias: dict[str, Statistic] = {}
    products, square, pairs, count = 0.0, 0.0, 0, 0
    far, judged = 0, 0
    for kind, what, columns in ((k, *group) for k in kinds for group in k.groups):
        part = np.swapaxes(kind.values[:, :, columns], 1, 2)
        there = np.isfinite(part)
        window, column, _ = np.nonzero(there)
        own = part[there]
        size = float(np.sqrt(np.mean(own**2))) if len(own) else 0.0
        if size == 0 or len(own) < FEW:
            continue
        number = np.bincount(window, minlength=len(part))
        means = (np.bincount(window, own, minlength=len(part)) / np.maximum(number, 1))[number > 0]
        bias[what] = mean_with_interval(means / size, 0.0, np.sqrt(len(means) / len(own)))
        if len(own) >= _OWN and kind.of_components:
            stdev = kind.stdev
            alike = None if stdev is None else np.swapaxes(stdev[:, :, columns], 1, 2)[there]
            far += _far(own, alike)
            judged += len(own)
        if kind.at_points:  # whose neighbours are of other sensors
            continue
        scaled = own / size
        same = (window[1:] == window[:-1]) & (column[1:] == column[:-1])
        products += float((scaled[1:] * scaled[:-1])[same].sum())
        pairs += int(same.sum())
        square += float((scaled**2).sum())
        count += len(own)
    correlation = None
    if pairs >= FEW:
        value, error = products / pairs * count / square, 1 / np.sqrt(pairs)
        correlation = _interval(value, error, 0.0, np.inf)
    if not judged:
        return bias, correlation, None, 1.0
    return bias, correlation, far / judged, float(pdtrc(far - 1, _USUAL_FAR * judged))


def _far(own: Array, stdev: Array | None) -> int:
    """Return the number of innovations (n,) beyond three of their standard deviations.

    These are taken from the median of their sizes. An innovation has the variance R - σ², so that
    where the spread σ varies, those of alike σ are compared, as they are and in units of √(R - σ²).
    The smaller number counts, because σ is wrong where R is not as stated.
    """
    d = np.abs(own - np.median(own))
    if stdev is None or not np.isfinite(stdev).all():
        return _beyond(d)
    count = min(max(len(d) // _ALIKE, 1), _MOST_GROUPS)
    order = np.argsort(stdev, kind="stable")
    scaled = d / np.sqrt(_expected(d, np.square(stdev)))
    return min(
        sum(_beyond(group) for group in np.array_split(one[order], count)) for one in (d, scaled)
    )


def _beyond(d: Array) -> int:
    return int((d > _FAR * (1.4826 * float(np.median(d)) or np.inf)).sum())


def _expected(d: Array, square: Array) -> Array:
    """Return R - σ² of innovations (n,), where R makes the median of d² / (R - σ²) the usual one.

    The variance that a method states is not so accurate that less than a share of R is expected.
    """

    def expected(R: float) -> Array:
        return np.maximum(R - square, _LEAST_SHARE * R)

    low = float(np.median(d**2)) + 1e-300
    high = (low + float(square.max())) / _MEDIAN
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low) * np.sqrt(high)
        larger = np.median(d**2 / expected(middle)) > _MEDIAN
        low, high = (middle, high) if larger else (low, middle)
    return expected(high)


def judged_together(
    count: Array, fields: Sequence[tuple[str, slice]]
) -> Iterator[tuple[str, Array]]:
    """Yield groups of components judged together, with their label.

    Parameters
    ----------
    count : (D,)
        Data of each component.
    fields : list of (name, slice)
        Points of a field with few data each are alike; other components stand alone.
    """
    alone = count > 0
    for name, place in fields:
        few = np.zeros(len(count), bool)
        few[place] = (count[place] > 0) & (count[place] < _OWN)
        if few.any():
            alone &= ~few
            yield name, np.flatnonzero(few)
    for component in np.flatnonzero(alone):
        yield f"component {component}", np.array([component])


def mean_with_interval(
    values: Array, expected: float, deviation: float, own: float = 1.0
) -> Statistic:
    """Return the mean, with the sample deviation or, for few values, the given one.

    The values are worth `own` times as many independent ones.
    """
    n = own * len(values)
    error = (float(np.std(values, ddof=1)) if n >= FEW else deviation) / np.sqrt(n)
    return _interval(float(np.mean(values)), float(error), expected, n - 1 if n >= FEW else np.inf)


def _interval(mean: float, error: float, expected: float, freedom: float) -> Statistic:
    """Return an estimate whose error, relative to `error`, has Student's distribution."""
    far = abs(mean - expected) / max(error, 1e-300)
    tail = stdtr(freedom, -far) if np.isfinite(freedom) else ndtr(-far)
    half = (stdtrit(freedom, 0.975) if np.isfinite(freedom) else 1.96) * error
    return Statistic(mean, mean - half, mean + half, 2 * float(tail))
