"""Covariances on a rectangle that are diagonal in a spectral transform.

C = Σ F diag(c) Fᵀ Σ with F an orthonormal transform of the grid, c the variance of each of its
modes and Σ the standard deviations of the points. A product with S or Sᵀ takes one transform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance

Boundary = Literal["wall", "open", "periodic"]


class Spectral(Covariance):
    r"""A covariance on a rectangular grid, homogeneous but for its boundary and standard deviation.

    With an orthonormal transform F, the variances c of its modes and the standard deviations Σ,

    .. math:: C = Σ F \, \mathrm{diag}(c) F^T Σ.

    Parameters
    ----------
    shape : sequence of int
        Points along each dimension, slowest first; D is their product.
    spectrum : callable
        Variance of the modes, up to a factor: a function of the wave number, in radians per grid
        spacing, an array. See `gaussian` and `power`.
    stdev : float or array of `shape`
        Standard deviation of the points, in the state's units.
    boundary : {"wall", "open", "periodic"}
        "wall": the points of the boundary are 0 and have no variance (sine transform of the
        others); "open": symmetric about the edges (cosine transform); "periodic" (Fourier
        transform).
    uniform : bool
        Whether the variance is `stdev` squared everywhere. Otherwise it is so on average, and falls
        towards a wall.
    least : float
        Modes with a smaller variance than this times the largest do not belong to the control,
        which makes it short where the correlation is long.

    Raises
    ------
    InputError
        The grid has a dimension of fewer than three points, the spectrum is not positive and
        finite, or the standard deviation is negative or of another shape.

    Examples
    --------
    >>> B = Spectral((8, 8), gaussian(2.0), stdev=0.5)
    >>> bool(np.allclose(B.variance(), 0.25))
    True
    """

    def __init__(
        self,
        shape: Sequence[int],
        spectrum: Callable[[Array], ArrayLike],
        stdev: ArrayLike = 1.0,
        *,
        boundary: Boundary = "open",
        uniform: bool = True,
        least: float = 0.0,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        if not self.shape or min(self.shape) < 3:
            raise InputError(
                f"the grid has the shape {self.shape}, expected at least three points along each "
                "dimension"
            )
        self.size = int(np.prod(self.shape))
        self._boundary = boundary
        self._inner = tuple(n - 2 for n in self.shape) if boundary == "wall" else self.shape
        modes = np.asarray(spectrum(wave_numbers(self._inner, boundary)), float)
        if modes.shape != self._inner or not (np.isfinite(modes) & (modes >= 0)).all():
            raise InputError(
                "the spectrum has negative or infinite values, or another shape than the wave "
                "numbers; give the variance of each mode"
            )
        if not modes.any():
            raise InputError("the spectrum is 0 everywhere; give at least one mode some variance")
        if not 0 <= least < 1:
            raise InputError(f"least is {least}, expected a fraction from 0 to below 1")
        self._kept = np.flatnonzero(modes.ravel() > least * modes.max()) if least else None
        if self._kept is not None:
            modes = np.where(modes > least * modes.max(), modes, 0.0)
        self.rank = modes.size if self._kept is None else len(self._kept)
        variance = _point_variance(modes, boundary)
        self._modes = np.sqrt(modes / variance.mean())
        deviation = np.asarray(stdev, float)
        if (
            deviation.shape not in ((), self.shape)
            or not (np.isfinite(deviation) & (deviation >= 0)).all()
        ):
            raise InputError(
                f"the standard deviation has the shape {deviation.shape} and values from "
                f"{deviation.min(initial=np.inf)} to {deviation.max(initial=0.0)}, expected a "
                f"number or {self.shape}, finite and not negative"
            )
        self._relative = np.sqrt(variance / variance.mean())
        scale = 1 / self._relative if uniform else np.ones(self._inner)
        self._deviation = self._inside(np.broadcast_to(deviation, self.shape)) * scale
        self._variance = self._deviation**2 * variance / variance.mean()

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return self.sqrt(self.sqrt_adjoint(v))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D), with S = Σ F √diag(c)."""
        controls = self._controls(w)
        if self._kept is not None:
            whole = np.zeros((*controls.shape[:-1], self._modes.size))
            whole[..., self._kept] = controls
            controls = whole
        modes = self._modes * controls.reshape(*controls.shape[:-1], *self._inner)
        return self._whole(self._deviation * _to_points(modes, self._axes(), self._boundary))

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        states = self._states(v)
        inside = self._inside(states.reshape(*states.shape[:-1], *self.shape))
        modes = self._modes * _to_modes(self._deviation * inside, self._axes(), self._boundary)
        modes = modes.reshape(*states.shape[:-1], self._modes.size)
        return np.asarray(modes if self._kept is None else modes[..., self._kept])

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D).

        Raises
        ------
        InputError
            C is singular: it has walls, or a mode or a point without variance.
        """
        if self._boundary == "wall" or not (self._modes.all() and self._deviation.all()):
            raise InputError(
                "the covariance is singular (walls, or modes or points without variance) and has "
                "no inverse; choose a method that needs none, or another boundary"
            )
        states = self._states(v)
        inside = states.reshape(*states.shape[:-1], *self.shape) / self._deviation
        modes = _to_modes(inside, self._axes(), self._boundary) / self._modes**2
        points = _to_points(modes, self._axes(), self._boundary) / self._deviation
        return np.asarray(points.reshape(states.shape))

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        return self._whole(self._variance)

    def relative_deviation(self) -> Array:
        """Return the standard deviation of F √diag(c) at the inner points, over its mean square."""
        return self._relative

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.shape), 0))

    def _inside(self, field: Array) -> Array:
        if self._boundary != "wall":
            return field
        inner: tuple[Any, ...] = (slice(1, -1),) * len(self.shape)
        return np.asarray(field[(..., *inner)])

    def _whole(self, inside: Array) -> Array:
        leading = inside.shape[: inside.ndim - len(self.shape)]
        if self._boundary == "wall":
            inside = np.pad(inside, [(0, 0)] * len(leading) + [(1, 1)] * len(self.shape))
        return np.asarray(inside.reshape(*leading, self.size))


def gaussian(length: float) -> Callable[[Array], Array]:
    r"""Return the spectrum of the Gaussian correlation.

    .. math:: ρ(d) = \exp(-d^2 / 2 L^2)

    Parameters
    ----------
    length : float
        L, in grid spacings.

    Examples
    --------
    >>> gaussian(2.0)(np.array([0.0, 0.5])).round(4).tolist()
    [1.0, 0.6065]
    """
    return lambda k: np.exp(-0.5 * (k * length) ** 2)


def power(length: float, exponent: float) -> Callable[[Array], Array]:
    """Return the spectrum of a Matérn correlation.

    .. math:: c(k) = (1 + (k L)^2)^{-p}

    Parameters
    ----------
    length : float
        L, in grid spacings.
    exponent : float
        p; in two dimensions the smoothness is ν = p − 1.

    Examples
    --------
    >>> power(2.0, 1.5)(np.array([0.0, 0.5])).round(4).tolist()
    [1.0, 0.3536]
    """
    return lambda k: (1 + (k * length) ** 2) ** -exponent


def transform(fields: Array, boundary: Boundary, dimensions: int) -> Array:
    """Return the modes of fields over the last `dimensions` axes; between walls without them."""
    return _to_modes(fields, tuple(range(-dimensions, 0)), boundary)


def wave_numbers(inner: tuple[int, ...], boundary: Boundary) -> Array:
    """Return the wave number of each mode, in radians per grid spacing.

    Parameters
    ----------
    inner : tuple of int
        Points of the grid, between walls without these.
    """
    along = {
        "wall": lambda n: np.pi * np.arange(1, n + 1) / (n + 1),
        "open": lambda n: np.pi * np.arange(n) / n,
        "periodic": lambda n: 2 * np.pi * np.minimum(np.arange(n), n - np.arange(n)) / n,
    }[boundary]
    return np.asarray(np.sqrt(sum(k**2 for k in np.ix_(*(along(n) for n in inner)))))


def _to_modes(field: Array, axes: tuple[int, ...], boundary: Boundary) -> Array:
    """Return Fᵀ applied to fields of points."""
    if boundary == "wall":
        return np.asarray(scipy.fft.dstn(field, 1, axes=axes, norm="ortho"))
    if boundary == "open":
        return np.asarray(scipy.fft.dctn(field, 2, axes=axes, norm="ortho"))
    return np.asarray(_hartley(field, axes))


def _to_points(modes: Array, axes: tuple[int, ...], boundary: Boundary) -> Array:
    """Return F applied to modes."""
    if boundary == "open":
        return np.asarray(scipy.fft.idctn(modes, 2, axes=axes, norm="ortho"))
    return _to_modes(modes, axes, boundary)  # symmetric transforms, their own inverse


def _hartley(field: Array, axes: tuple[int, ...]) -> Array:
    """Return the discrete Hartley transform along each axis, a Fourier transform of real modes."""
    for axis in axes:
        spectrum = scipy.fft.fft(field, axis=axis, norm="ortho")
        field = spectrum.real - spectrum.imag
    return field


def _point_variance(modes: Array, boundary: Boundary) -> Array:
    """Return the diagonal of F diag(c) Fᵀ, one axis after the other: F is separable."""
    found = modes
    for axis, n in enumerate(modes.shape):
        squares = _to_points(np.eye(n), (-1,), boundary) ** 2  # (mode, point)
        found = np.moveaxis(np.moveaxis(found, axis, -1) @ squares, -1, axis)
    return np.asarray(found)
