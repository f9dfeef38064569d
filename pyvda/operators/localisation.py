"""The taper of an ensemble's covariance: Gaspari and Cohn's correlation, of compact support.

References
----------
G. Gaspari and S. E. Cohn, Q. J. R. Meteorol. Soc. 125 (1999), 723-757, eq. (4.10).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance
from pyvda.operators.diffusion import Diffusion
from pyvda.operators.spectral import Spectral
from pyvda.state.space import StateSpace

REACH = 2 * np.sqrt(10 / 3)
"""Lengths L of exp(−d²/2L²) at which the taper that resembles it becomes 0."""

_LEAST = 1e-4  # of the modes of a taper, of the largest
_POINTS = 400  # of the quadrature over the radius
_DALEY = np.sqrt(0.3) / 2  # length scale of the taper at distance 0, over its radius


def taper(space: StateSpace, radius: float) -> Covariance:
    """Return the correlation that localises an ensemble, 0 from about `radius` grid spacings on.

    Gaspari and Cohn's on a rectangle; where there is land, a diffusion of the same curvature.

    Raises
    ------
    InputError
        The variables have different grids, more than two dimensions, or none.
    """
    grids = {(v.dims, v.shape) for v in space.variables}
    land = {space.sea[place].tobytes() for place in space.slices().values()}
    shape = space.variables[0].shape
    if len(grids) > 1 or len(land) > 1 or not 1 <= len(shape) <= 2:
        raise InputError(
            f"the variables {', '.join(space.names)} cannot be localised by distance, expected "
            "one grid of one or two dimensions for all; leave out localisation, or give 0 where "
            "it has a default"
        )
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"the localisation radius is {radius}, expected a positive number")
    dry = ~space.sea[: space.variables[0].size].reshape(shape)
    if dry.any() and len(shape) == 2 and not is_wall(dry):
        one: Covariance = Diffusion(daley_length(radius), land=dry)
    else:
        one = Spectral(shape, gaspari_cohn_spectrum(radius, len(shape)), least=_LEAST)
    return Shared(one, len(space.variables)) if len(space.variables) > 1 else one


def is_wall(land: Array) -> bool:
    """Tell whether land is the edge of the grid and nothing else."""
    ring = np.ones_like(land)
    ring[(slice(1, -1),) * land.ndim] = False
    return bool((land == ring).all())


def gaspari_cohn(distance: ArrayLike, radius: float) -> Array:
    r"""Return the correlation at distances, 1 at 0 and 0 from `radius` on.

    With z = 2 d / radius (Gaspari and Cohn 1999, equation 4.10),

    .. math::

       ρ = \begin{cases}
       1 - \frac53 z^2 + \frac58 z^3 + \frac12 z^4 - \frac14 z^5, & z ≤ 1, \\
       4 - 5 z + \frac53 z^2 + \frac58 z^3 - \frac12 z^4 + \frac1{12} z^5 - \frac2{3z}, & 1 < z < 2.
       \end{cases}

    Parameters
    ----------
    distance : array
    radius : float
        Twice the length scale c of Gaspari and Cohn, in the unit of `distance`.

    Examples
    --------
    >>> gaspari_cohn([0.0, 5.0, 10.0], 10.0).round(4).tolist()
    [1.0, 0.2083, 0.0]
    """
    z = np.abs(np.asarray(distance, float)) * (2 / radius)
    near = 1 + z**2 * (-5 / 3 + z * (5 / 8 + z * (1 / 2 - z / 4)))
    far_z = np.maximum(z, 1.0)
    far = 4 - 5 * far_z + far_z**2 * (5 / 3 + far_z * (5 / 8 + far_z * (-1 / 2 + far_z / 12)))
    far = far - 2 / (3 * far_z)
    return np.where(z <= 1, near, np.where(z < 2, far, 0.0))


def daley_length(radius: float) -> float:
    """Return the length scale √(−2 / ∇²c(0)), for two dimensions, of a taper of this radius."""
    return float(_DALEY * radius)


def gaspari_cohn_spectrum(radius: float, dimensions: int) -> Callable[[Array], Array]:
    """Return the spectrum of the taper, for `pyvda.operators.Spectral`.

    Parameters
    ----------
    radius : float
        In grid spacings.
    dimensions : {1, 2, 3}

    Raises
    ------
    InputError
        The radius is not positive, or there are more dimensions.

    Examples
    --------
    >>> from pyvda.operators import Spectral
    >>> Spectral((8, 8), gaspari_cohn_spectrum(6.0, 2)).variance().shape
    (64,)
    """
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"the radius of the localisation is {radius}, expected a positive number")
    if dimensions not in (1, 2, 3):
        raise InputError(f"a localisation has 1 to 3 dimensions, found {dimensions}")
    from scipy.special import j0

    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    # The correlation is smooth on either side of half its radius.
    r = np.concatenate([radius / 4 * (nodes + 1), radius / 4 * (nodes + 3)])
    weights = np.tile(weights * radius / 4, 2) * gaspari_cohn(r, radius)
    kernel = {1: lambda x: np.cos(x), 2: j0, 3: lambda x: np.sinc(x / np.pi)}[dimensions]
    weights = weights * r ** (dimensions - 1)

    def spectrum(wave_number: Array) -> Array:
        table = np.linspace(0.0, wave_number.max(), 8 * _POINTS)
        values = kernel(table[:, None] * r) @ weights
        return np.maximum(np.interp(wave_number, table, values), 0.0)

    return spectrum


class Shared(Covariance):
    """A correlation over points that several variables share, as the taper of them all.

    Its matrix has ρ in every block: variables are tapered by the distance of their points alone.

    Parameters
    ----------
    correlation : Covariance
        ρ over the points.
    count : int
        Number of variables, whose points stand one after another in the state.

    Examples
    --------
    >>> from pyvda.operators import Dense
    >>> Shared(Dense([[1.0, 0.5], [0.5, 1.0]]), 2).apply([1.0, 0.0, 0.0, 0.0]).round(12).tolist()
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(self, correlation: Covariance, count: int) -> None:
        self._one, self._count = correlation, count
        self.size, self.rank = count * correlation.size, correlation.rank

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return self._repeated(self._one.apply(self._added(v)))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D)."""
        return self._repeated(self._one.sqrt(w))

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        return self._one.sqrt_adjoint(self._added(v))

    def solve(self, v: ArrayLike) -> Array:
        """Raise InputError: the variables are copies of each other."""
        raise InputError("a taper that variables share is singular; choose a method without B⁻¹")

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        return np.tile(self._one.variance(), self._count)

    def _added(self, v: ArrayLike) -> Array:
        states = self._states(v)
        return states.reshape(*states.shape[:-1], self._count, self._one.size).sum(-2)

    def _repeated(self, points: Array) -> Array:
        return np.concatenate([points] * self._count, -1)
