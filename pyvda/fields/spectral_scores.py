"""Scores of maps of sea level as defined by the ocean data challenges: μ, σ, λx and λt.

μ and σ are mean and standard deviation over time of 1 - RMSE(t) / RMS(t), and λx (λt) is the
wavelength (period) at which the power spectrum of the error is half of that of the truth: shorter
ones are not resolved (github.com/ocean-data-challenges).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal.windows import hann

from pyvda.engine.data import Array
from pyvda.operators.sphere import EARTH_RADIUS

_SEGMENT = 64  # points of a row without land
_KM_PER_DEGREE = EARTH_RADIUS * np.pi / 180


class MapScores(NamedTuple):
    """Scores of maps.

    Attributes
    ----------
    rmse : float
    mu, sigma : float
        Without unit.
    lambda_x : float
        km; NaN where no scale is resolved, or no row is long enough.
    lambda_t : float
        Days; NaN likewise.
    """

    rmse: float
    mu: float
    sigma: float
    lambda_x: float
    lambda_t: float


def map_scores(
    analysis: Array, truth: Array, latitude: Array, longitude: Array, days: float = 1.0
) -> MapScores:
    """Return the scores of maps (T, Y, X).

    Parameters
    ----------
    analysis, truth : (T, Y, X)
        NaN on land; anomalies from the same mean.
    latitude, longitude : (Y,), (X,)
        Degrees, evenly spaced longitudes.
    days : float
        Between two maps.
    """
    error = analysis - truth
    sea = np.isfinite(error).all(0)
    rms = [np.sqrt((one[:, sea] ** 2).mean(1)) for one in (error, truth)]
    ratio = 1 - rms[0] / rms[1]
    spacing = np.abs(np.diff(longitude)).mean() * _KM_PER_DEGREE
    rows = [
        (row, start)
        for row in range(sea.shape[0])
        for start in range(0, sea.shape[1] - _SEGMENT + 1, _SEGMENT // 2)
        if sea[row, start : start + _SEGMENT].all()
    ]
    lambda_x = np.nan
    if rows:
        of_error, of_truth = (
            np.mean([_power(one[:, y, x : x + _SEGMENT]).mean(0) for y, x in rows], axis=0)
            for one in (error, truth)
        )
        km = np.mean([spacing * np.cos(np.radians(latitude[row])) for row, _ in rows])
        lambda_x = _resolved(of_error, of_truth, float(km))
    lambda_t = np.nan
    if len(truth) >= 8:
        of_error, of_truth = (_power(one[:, sea].T).mean(0) for one in (error, truth))
        lambda_t = _resolved(of_error, of_truth, days)
    return MapScores(
        float(np.sqrt((error[:, sea] ** 2).mean())), float(ratio.mean()), float(ratio.std()),
        lambda_x, lambda_t,
    )  # fmt: skip


def _power(series: Array) -> Array:
    """Return the power spectra of series (..., n), without their linear trend, tapered."""
    n = series.shape[-1]
    basis = np.stack([np.ones(n), np.linspace(-1, 1, n)])
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    left = series - (series @ basis.T) @ basis
    return np.asarray(np.abs(np.fft.rfft(left * hann(n, sym=False))) ** 2)


def _resolved(error: Array, truth: Array, spacing: float) -> float:
    """Return the shortest wavelength down to which the error has less than half the power.

    >>> _resolved(np.array([0, 0.1, 0.3, 0.7, 0.9]), np.ones(5), 1.0)
    3.2
    """
    ratio = error[1:] / truth[1:]
    frequency = np.arange(1, len(error)) / (2 * (len(error) - 1) * spacing)
    above = np.flatnonzero(ratio > 0.5)
    if not len(above):
        return float(1 / frequency[-1])
    k = int(above[0])
    if k == 0:
        return float("nan")
    part = (0.5 - ratio[k - 1]) / (ratio[k] - ratio[k - 1])
    return round(float(1 / (frequency[k - 1] + part * (frequency[k] - frequency[k - 1]))), 10)
