"""Mean, correlation and outliers of the innovations of a file, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, pdtrc, stdtr, stdtrit

from pyvda.engine.interface import Array

FEW = 8
"""Windows, below which the spread between them is not used, or data of a window."""

_FAR, _USUAL_FAR = 3.0, 0.0027  # standard deviations, and the share beyond them
_ALIKE, _MOST_GROUPS = 100, 16  # innovations of alike spread, whose size is taken together
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


def of_innovations(
    d: Array, stdev: Array | None, fields: Sequence[tuple[str, slice]]
) -> tuple[dict[str, Statistic], Statistic | None, float | None, float]:
    """Return the statistics of innovations.

    Parameters
    ----------
    d : (W, T, D)
        Innovations, NaN where there is none.
    stdev : (W, T, D), optional
        Stated standard deviation of the analysis.
    fields : sequence of (str, slice)
        Variables of the state, see `judged_together`.

    Returns
    -------
    bias : dict of str to Statistic
        Mean of each group of components, in its root mean square.
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
    for what, columns in judged_together(np.isfinite(d).sum((0, 1)), fields):
        part = np.swapaxes(d[:, :, columns], 1, 2)
        there = np.isfinite(part)
        window, column, _ = np.nonzero(there)
        own = part[there]
        size = float(np.sqrt(np.mean(own**2))) if len(own) else 0.0
        if size == 0 or len(own) < FEW:
            continue
        number = np.bincount(window, minlength=len(d))
        means = (np.bincount(window, own, minlength=len(d)) / np.maximum(number, 1))[number > 0]
        bias[what] = mean_with_interval(means / size, 0.0, np.sqrt(len(means) / len(own)))
        if len(own) >= _OWN:
            alike = None if stdev is None else np.swapaxes(stdev[:, :, columns], 1, 2)[there]
            far += _far(own, alike)
            judged += len(own)
        scaled = own / size
        same = (window[1:] == window[:-1]) & (column[1:] == column[:-1])
        products += float((scaled[1:] * scaled[:-1])[same].sum())
        pairs += int(same.sum())
        square += float((scaled**2).sum())
        count += len(own)
    if not count:
        return bias, None, None, 1.0
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
    where the spread σ varies only those of alike σ are compared.
    """
    count = 1 if stdev is None else min(max(len(own) // _ALIKE, 1), _MOST_GROUPS)
    order = np.arange(len(own)) if stdev is None or count == 1 else np.argsort(stdev, kind="stable")
    far, middle = 0, np.median(own)
    for group in np.array_split(np.abs(own - middle)[order], count):
        spread = 1.4826 * float(np.median(group))
        far += int((group > _FAR * (spread or np.inf)).sum())
    return far


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
