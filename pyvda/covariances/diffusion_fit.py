"""The correlation length of a diffusion, from the correlations of neighbouring points at sea."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.errors import InputError
from pyvda.io.cf.spacing import Spacing
from pyvda.operators.covariance import Array
from pyvda.operators.diffusion import Diffusion

STEPS = 10  # of the diffusion
_LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_LEAST = 0.1  # correlations below this say little of the length
_DOMAIN = 256  # points of the periodic grid that correlations are computed on


class DiffusionFit(NamedTuple):
    """The parts of a diffusion operator, as arrays that a file can hold.

    Attributes
    ----------
    land : (Y, X) of bool
    stdev : (Y, X)
        In the state's units; 0 on land.
    length : (Y, X)
        In the units of `spacing`.
    spacing : Spacing
    """

    land: Array
    stdev: Array
    length: Array
    spacing: Spacing

    def operator(self) -> Diffusion:
        """Return the covariance."""
        return Diffusion(
            self.length, np.where(self.land, 1.0, self.stdev), self.land,
            spacing=(self.spacing.along_y, self.spacing.along_x), steps=STEPS,
        )  # fmt: skip


def diffusion_fit(
    samples: Array,
    land: Array,
    spacing: Spacing,
    *,
    smoothing: int = 2,
    floor: float = 0.0,
    varying: bool = False,
) -> DiffusionFit:
    """Fit standard deviations and correlation lengths to samples.

    Parameters
    ----------
    samples : (N, Y, X)
        Their mean is removed.
    land : (Y, X) of bool
    spacing : Spacing
    smoothing : int
        Points at sea over which the variance is averaged in each direction.
    floor : float
        Added to the variance everywhere, as a fraction of its mean.
    varying : bool
        Whether the length varies in space: from the correlations of neighbours within some 4
        `smoothing` points.

    Raises
    ------
    InputError
        The samples do not vary everywhere, or neighbours are not correlated.
    """
    anomalies = samples - samples.mean(0)
    variance = _smoothed((anomalies**2).sum(0) / (len(samples) - 1), ~land, smoothing)
    variance = variance + np.where(land, 0.0, floor * variance[~land].mean())
    if not (variance[~land] > 0).all():
        raise InputError(
            "the samples do not vary everywhere at sea, so that no covariance can be fitted; make "
            "the points that are constant land (NaN), or give a floor"
        )
    found = {}
    for axis in (0, 1):
        for lag in _LAGS:
            r, pairs = _correlation(anomalies, ~land, axis, lag)
            if pairs == 0 or r < _LEAST:
                break
            found[axis, lag] = r, pairs
    if not found:
        raise InputError(
            "neighbouring points at sea are hardly correlated, so that no length can be fitted; "
            "choose the form spectral, or give variances"
        )
    length = np.full(land.shape, _fitted(found, spacing.mean))
    if varying:
        length = _local(anomalies, ~land, spacing, max(4 * smoothing, 4))
    return DiffusionFit(land, np.sqrt(variance), length, spacing)


def _correlation(anomalies: Array, sea: Array, axis: int, lag: int) -> tuple[float, int]:
    """Return the correlation of points `lag` apart with sea between them, and their number."""
    length = sea.shape[axis]
    if lag >= length:
        return 0.0, 0
    wet = np.ones_like(np.take(sea, range(length - lag), axis))
    for k in range(lag + 1):
        wet = wet & np.take(sea, range(k, length - lag + k), axis)
    near = np.take(anomalies, range(length - lag), axis + 1)[:, wet]
    far = np.take(anomalies, range(lag, length), axis + 1)[:, wet]
    if not wet.any():
        return 0.0, 0
    # A ratio of sums, not a mean of ratios: that of few samples would be biased.
    scale = np.sqrt((near**2).sum(0) * (far**2).sum(0))
    return float((near * far).sum() / scale.sum()), int(wet.sum())


def _fitted(found: dict[tuple[int, int], tuple[float, int]], mean: tuple[float, float]) -> float:
    """Return the length whose correlations are nearest to those found, weighted by their pairs."""
    from scipy.optimize import minimize_scalar

    def cost(logarithm: float) -> float:
        table = _correlations(float(np.exp(logarithm)), mean)
        return sum(pairs * (r - table[axis][lag]) ** 2 for (axis, lag), (r, pairs) in found.items())

    shortest, longest = 0.2 * min(mean), 0.15 * _DOMAIN * min(mean)
    best = minimize_scalar(
        cost, bounds=(np.log(shortest), np.log(longest)), method="bounded",
        options={"xatol": 1e-5},
    )  # fmt: skip
    return float(np.exp(best.x))


def _local(anomalies: Array, sea: Array, spacing: Spacing, points: int) -> Array:
    """Return the lengths whose correlations of neighbours are those around each point."""
    total, scale = np.zeros(sea.shape), np.zeros(sea.shape)
    for axis in (0, 1):
        near, far = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        wet = sea[near] & sea[far]
        a, b = anomalies[(slice(None), *near)], anomalies[(slice(None), *far)]
        product = np.where(wet, (a * b).sum(0), 0.0)
        deviations = np.where(wet, np.sqrt((a**2).sum(0) * (b**2).sum(0)), 0.0)
        for into, values in ((total, product), (scale, deviations)):
            into[near] += values
            into[far] += values
    r = _smoothed(total, sea, points) / np.maximum(_smoothed(scale, sea, points), 1e-300)
    mean = spacing.mean
    lengths = np.geomspace(0.2, 0.15 * _DOMAIN, 80) * min(mean)
    tables = (_correlations(one, mean) for one in lengths)
    table = [(along_y[1] + along_x[1]) / 2 for along_y, along_x in tables]
    found = np.exp(np.interp(r, table, np.log(lengths)))
    # A length in steps of the grid, which may differ in size.
    return np.asarray(found * np.sqrt(spacing.along_y * spacing.along_x / np.prod(mean)))


def _correlations(length: float, mean: tuple[float, float]) -> tuple[Array, Array]:
    """Return the correlations along y and x of the diffusion on a periodic grid without land."""
    symbol = 2 * np.sin(np.pi * np.arange(_DOMAIN) / _DOMAIN)
    diffusivity = length**2 / (2 * (STEPS - 2))
    ky, kx = ((symbol / spacing) ** 2 for spacing in mean)
    spectrum = (1 + diffusivity * (ky[:, None] + kx)) ** -float(STEPS)
    along_y, along_x = (np.fft.ifft(spectrum.sum(axis)).real for axis in (1, 0))
    return along_y / along_y[0], along_x / along_x[0]


def _smoothed(variance: Array, sea: Array, points: int) -> Array:
    """Return the variance averaged over the sea in boxes of 2 `points` + 1; 0 on land."""
    from scipy.ndimage import uniform_filter

    if points == 0:
        return np.where(sea, variance, 0.0)
    total = uniform_filter(np.where(sea, variance, 0.0), 2 * points + 1, mode="constant")
    weight = uniform_filter(sea.astype(float), 2 * points + 1, mode="constant")
    return np.where(sea, total / np.maximum(weight, 1e-12), 0.0)
