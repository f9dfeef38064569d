"""Covariances fitted to samples: states of a climatology, or differences of forecasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array
from pyvda.operators.spectral import Boundary, Spectral, transform, wave_numbers

Spectrum = Literal["binned", "power"]

_ROUNDS = 5
_TABLE = 1000  # wave numbers that a curve is written down at
_LEAST = 1e-8  # of the largest variance of a mode: without it the covariance would be singular


class SpectralFit(NamedTuple):
    """The parts of a spectral covariance, as arrays that a file can hold.

    Attributes
    ----------
    shape : tuple of int
    boundary : {"wall", "open", "periodic"}
    stdev : array of `shape`
        In the state's units.
    wave_number : (K,)
        In radians per grid spacing, increasing.
    spectrum : (K,)
        Variance of the modes there, up to a factor, positive; interpolated between.
    length, exponent : float
        L and p of `pyvda.operators.power` where that was fitted, else NaN.
    """

    shape: tuple[int, ...]
    boundary: Boundary
    stdev: Array
    wave_number: Array
    spectrum: Array
    length: float = np.nan
    exponent: float = np.nan

    def operator(self) -> Spectral:
        """Return the covariance."""
        spectrum = interpolated(self.wave_number, self.spectrum)
        return Spectral(self.shape, spectrum, self.stdev, boundary=self.boundary)


def interpolated(at: Array, spectrum: Array) -> Callable[[Array], Array]:
    """Return a function of the wave number through the logarithms of a spectrum."""
    logarithm = np.log(spectrum)
    return lambda wave_number: np.exp(np.interp(wave_number, at, logarithm))


def fitted_spectral(
    samples: ArrayLike,
    shape: Sequence[int],
    boundary: Boundary = "open",
    *,
    smoothing: int = 2,
    floor: float = 0.0,
    spectrum: Spectrum = "binned",
) -> Spectral:
    """Return a spectral covariance with the samples' standard deviations and isotropic spectrum.

    Parameters and errors are those of `spectral_fit`.

    Examples
    --------
    >>> B = fitted_spectral(np.random.default_rng(0).normal(size=(50, 64)), (8, 8))
    >>> bool(abs(B.variance().mean() - 1) < 0.1)
    True
    """
    return spectral_fit(
        samples, shape, boundary, smoothing=smoothing, floor=floor, spectrum=spectrum
    ).operator()


def spectral_fit(
    samples: ArrayLike,
    shape: Sequence[int],
    boundary: Boundary = "open",
    *,
    smoothing: int = 2,
    floor: float = 0.0,
    spectrum: Spectrum = "binned",
) -> SpectralFit:
    """Fit standard deviations and an isotropic spectrum to samples.

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
    floor : float
        Added to the variance everywhere, as a fraction of its mean.
    spectrum : {"binned", "power"}
        The mean variance of all modes of about the same wave number, or (1 + (k L)²)^−p with the
        most likely L and p.

    Raises
    ------
    InputError
        There are fewer than two samples, they do not fit the grid, or they do not vary.
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
    inner = ((slice(1, -1) if boundary == "wall" else slice(None)),) * len(shape)
    variance = _smoothed((fields**2).sum(0) / (len(fields) - 1), smoothing, boundary)
    variance[inner] += floor * variance[inner].mean()
    deviation = np.sqrt(variance)
    if not (deviation[inner] > 0).all():
        raise InputError(
            "the samples do not vary everywhere, so that no covariance can be fitted; leave out "
            "the points that are constant, or choose the boundary wall where they are its edge"
        )
    relative = np.ones_like(variance[inner])
    wave_number = wave_numbers(relative.shape, boundary)
    # Modes of equal variance everywhere have another sum of squares beside a wall or an edge, by
    # which the fields are divided; it depends on the spectrum, in turn.
    for _ in range(_ROUNDS):
        scaled = fields[(slice(None), *inner)] * relative / deviation[inner]
        power = (transform(scaled, boundary, len(shape)) ** 2).sum(0) / (len(fields) - 1)
        curve = _isotropic(wave_number, power, spectrum)
        found = SpectralFit(shape, boundary, deviation, *curve)
        relative = found.operator().relative_deviation()
    return found


class _Curve(NamedTuple):
    wave_number: Array
    spectrum: Array
    length: float = np.nan
    exponent: float = np.nan


def _isotropic(wave_number: Array, power: Array, form: Spectrum) -> _Curve:
    """Return a function of the wave number that is nearest to the `power` of the modes."""
    if form == "power":
        return _power_law(*_grouped(wave_number, power, np.round(wave_number, 9)))
    width = wave_number[wave_number > 0].min()
    at, mean, _ = _grouped(wave_number, power, np.rint(wave_number / width))
    return _Curve(at, np.maximum(mean, _LEAST * mean.max()))


def _grouped(wave_number: Array, power: Array, group: Array) -> tuple[Array, Array, Array]:
    """Return mean wave number, mean power and number of the modes of each group."""
    _, number, count = np.unique(group, return_inverse=True, return_counts=True)
    number = number.ravel()
    at, mean = (np.bincount(number, v.ravel()) / count for v in (wave_number, power))
    return at, mean, count


def _power_law(at: Array, mean: Array, count: Array) -> _Curve:
    """Return (1 + (k L)²)^−p with the largest likelihood of the modes' squares.

    These are exponential variables about the spectrum to the accuracy that matters (Whittle 1953).
    """
    from scipy.optimize import minimize

    def curve(parameters: Array, at: Array) -> Array:
        length, exponent = np.exp(parameters)
        return np.asarray((1 + (at * length) ** 2) ** -exponent)

    def cost(parameters: Array) -> float:
        shape = np.maximum(curve(parameters, at), 1e-300)
        scale = (count * mean / shape).sum() / count.sum()
        return float(np.log(scale) + (count * np.log(shape)).sum() / count.sum())

    starts = [np.log([length, exponent]) for length in (1.0, 5.0) for exponent in (1.5, 4.0)]
    options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000}
    tried = [minimize(cost, start, method="Nelder-Mead", options=options) for start in starts]
    best = min(tried, key=lambda one: one.fun).x
    length, exponent = np.exp(best)
    table = np.linspace(0.0, at.max(), _TABLE)
    shape = np.maximum(curve(best, table), _LEAST)
    return _Curve(table, shape, float(length), float(exponent))


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
