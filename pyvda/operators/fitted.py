"""Covariances fitted to samples: states of a climatology, or differences of forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array
from pyvda.operators.spectral import Boundary, Spectral, transform

_ROUNDS = 5
_LEAST = 1e-8  # of the largest variance of a mode: without it the covariance would be singular


def fitted_spectral(
    samples: ArrayLike, shape: Sequence[int], boundary: Boundary = "open", *, smoothing: int = 2
) -> Spectral:
    """Return a spectral covariance with the samples' standard deviations and isotropic spectrum.

    Parameters
    ----------
    samples : (N, D)
        States or differences, N ≥ 2; their mean is removed.
    shape : sequence of int
        The grid, slowest dimension first.
    boundary : {"wall", "open", "periodic"}
        See `Spectral`.
    smoothing : int
        Points over which the variance is averaged in each direction, because a small sample has
        noisy variances.

    Returns
    -------
    Spectral
        The variance of each point is the samples', and the variance of a mode the mean of all modes
        of about the same wave number.

    Raises
    ------
    InputError
        There are fewer than two samples, they do not fit the grid, or they do not vary.

    Examples
    --------
    >>> B = fitted_spectral(np.random.default_rng(0).normal(size=(50, 64)), (8, 8))
    >>> bool(abs(B.variance().mean() - 1) < 0.1)
    True
    """
    shape = tuple(shape)
    states = np.asarray(samples, float)
    if states.ndim != 2 or len(states) < 2 or states.shape[1] != np.prod(shape):
        raise InputError(
            f"the samples have the shape {states.shape}, expected at least two states of "
            f"{' x '.join(map(str, shape))} points"
        )
    if not np.isfinite(states).all():
        raise InputError("the samples have NaN or infinite values; give finite ones")
    fields = (states - states.mean(0)).reshape(-1, *shape)
    variance = _smoothed((fields**2).sum(0) / (len(fields) - 1), smoothing, boundary)
    inside = (slice(None), *((slice(1, -1) if boundary == "wall" else slice(None),) * len(shape)))
    deviation = np.sqrt(variance)
    if not (deviation[inside[1:]] > 0).all():
        raise InputError(
            "the samples do not vary everywhere, so that no covariance can be fitted; leave out "
            "the points that are constant, or choose the boundary wall where they are its edge"
        )
    inner = inside[1:]
    relative, power = np.ones_like(variance[inner]), np.zeros(0)
    # Modes of equal variance everywhere have another sum of squares beside a wall or an edge, by
    # which the fields are divided; it depends on the spectrum, in turn.
    for _ in range(_ROUNDS):
        modes = transform(fields[inside] * relative / deviation[inner], boundary, len(shape))
        power = (modes**2).sum(0) / (len(fields) - 1)
        spectrum = partial(_isotropic, power=power)
        found = Spectral(shape, spectrum, deviation, boundary=boundary)
        relative = found.relative_deviation()
    return found


def _isotropic(wave_number: Array, power: Array) -> Array:
    """Return the mean of `power` over modes of about the same wave number, interpolated."""
    width = wave_number[wave_number > 0].min()
    number = np.rint(wave_number / width).astype(int).ravel()
    used = np.flatnonzero(np.bincount(number))
    count = np.bincount(number)[used]
    at = np.bincount(number, wave_number.ravel())[used] / count
    mean = np.bincount(number, power.ravel())[used] / count
    least = _LEAST * mean.max()
    return np.asarray(np.exp(np.interp(wave_number, at, np.log(np.maximum(mean, least)))))


def _smoothed(variance: Array, points: int, boundary: Boundary) -> Array:
    """Return the variance averaged over boxes of 2 `points` + 1, without its wall."""
    from scipy.ndimage import uniform_filter

    if points == 0:
        return variance
    mode = "wrap" if boundary == "periodic" else "nearest"
    if boundary != "wall":
        return np.asarray(uniform_filter(variance, 2 * points + 1, mode=mode))
    inner = (slice(1, -1),) * variance.ndim
    found = np.zeros_like(variance)
    found[inner] = uniform_filter(variance[inner], 2 * points + 1, mode=mode)
    return found
