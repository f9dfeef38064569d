"""Covariances on a grid with land, by implicit diffusion.

A field of independent numbers that diffuses for some implicit steps becomes a smooth one that does
not know what lies beyond the coast. With M steps in two dimensions the correlation is nearly the
Matérn function of smoothness M − 1.

References
----------
A. Weaver and P. Courtier, Q. J. R. Meteorol. Soc. 127 (2001), 1815-1846; O. Guillet, A. T. Weaver,
X. Vasseur, Y. Michel, S. Gratton and S. Gürol, Q. J. R. Meteorol. Soc. 145 (2019), 1947-1967.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance

_UNCORRELATED = 1e-5  # of correlations: points farther apart share a vector
_MOST = 10_000  # vectors that the variance is computed with
_DRAWS = 2_000  # where more would be needed: its relative error is √(2 / draws), 3 %
_TOGETHER = 512


class Diffusion(Covariance):
    """A covariance on a grid (y, x) with land, by implicit diffusion.

    .. math:: C = Σ Γ L L^T Γ Σ

    Σ has the standard deviations on its diagonal. L is M / 2 steps of implicit diffusion after a
    division by the root of the cells' areas, and Γ makes the variance 1. Correlations vanish across
    land but not around it.

    Parameters
    ----------
    length : float or (Y, X)
        Correlation length, in the units of `spacing`: the length scale of Daley (1991),
        √(−2 / ∇²c(0)) for the correlation c, where it does not vary.
    stdev : float or (Y, X)
        Standard deviation, in the state's units.
    land : (Y, X) of bool, optional
        True where there is land, which has no variance. Default: nowhere.
    shape : (int, int), optional
        (Y, X), needed where none of the other arguments gives it.
    spacing : pair of float or (Y, X)
        Distance between neighbours along y and x.
    steps : int
        M, even and at least 4.
    seed : int
        Seed of the draws that estimate the normalisation where correlations are longer than 10 000
        points can tell apart; it is exact to five digits otherwise.

    Raises
    ------
    InputError
        Shapes do not match, a length, spacing or deviation is not positive, or nothing is at sea.

    Examples
    --------
    >>> land = np.zeros((6, 8), bool)
    >>> land[:4, 4] = True
    >>> B = Diffusion(2.0, 0.5, land)
    >>> bool(np.allclose(B.variance()[~land.ravel()], 0.25))
    True
    """

    def __init__(
        self,
        length: ArrayLike,
        stdev: ArrayLike = 1.0,
        land: ArrayLike | None = None,
        *,
        shape: tuple[int, int] | None = None,
        spacing: tuple[ArrayLike, ArrayLike] = (1.0, 1.0),
        steps: int = 10,
        seed: int = 0,
    ) -> None:
        from scipy.sparse.linalg import splu

        if steps < 4 or steps % 2:
            raise InputError(f"the diffusion has {steps} steps, expected an even number from 4")
        found = {"length": length, "standard deviation": stdev}
        found |= {"spacing along y": spacing[0], "spacing along x": spacing[1]}
        arrays = {name: np.asarray(value, float) for name, value in found.items()}
        dry = np.zeros((), bool) if land is None else np.asarray(land, bool)
        shapes = {a.shape for a in (*arrays.values(), dry) if a.ndim} | (
            {shape} if shape else set()
        )
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise InputError(
                f"the arguments have the shapes {sorted(shapes)}, expected one shape (y, x); give "
                "land or shape"
            )
        self.shape = next(iter(shapes))
        self._sea = ~np.broadcast_to(dry, self.shape).ravel()
        if not self._sea.any():
            raise InputError("the grid is land everywhere; give a mask that is True on land only")
        sea = {
            name: np.broadcast_to(a, self.shape).ravel()[self._sea] for name, a in arrays.items()
        }
        for name, values in sea.items():
            if not (np.isfinite(values) & (values > 0)).all():
                raise InputError(
                    f"the smallest {name} is {values.min()}, expected positive numbers at sea"
                )
        self.size = self._sea.size
        self.rank = int(self._sea.sum())
        self._steps = steps
        self._area = sea["spacing along y"] * sea["spacing along x"]
        whole = {name: np.broadcast_to(a, self.shape) for name, a in arrays.items()}
        spacings = (whole["spacing along y"], whole["spacing along x"])
        self._apart = tuple(_apart(whole["length"] / d, steps) for d in spacings)
        self._matrix = self._implicit(whole, steps)
        self._factor = splu(self._matrix.tocsc())
        self._deviation = sea["standard deviation"]
        self._scale = np.ones(self.rank)
        self._scale = self._deviation / np.sqrt(self._smoothed_variance(seed))

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return self.sqrt(self.sqrt_adjoint(v))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D), for w of shape (..., points at sea)."""
        controls = self._controls(w)
        found = np.zeros((*controls.shape[:-1], self.size))
        found[..., self._sea] = self._scale * self._diffused(controls / np.sqrt(self._area))
        return found

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., points at sea)."""
        wet = self._scale * self._states(v)[..., self._sea]
        # A step is A⁻¹ W with A = W + K symmetric; its transpose is W A⁻¹ = W (A⁻¹ W) W⁻¹.
        return np.asarray(self._diffused(wet / self._area) * np.sqrt(self._area))

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D).

        Raises
        ------
        InputError
            There is land, where C has no variance.
        """
        states = self._states(v)
        if not self._sea.all():
            raise InputError(
                "the covariance has no variance on land and no inverse; choose a method that needs "
                "none"
            )
        x = states / self._scale
        for _ in range(self._steps):
            x = (self._matrix @ x.reshape(-1, self.rank).T).T.reshape(x.shape) / self._area
        return np.asarray(x * self._area / self._scale)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,), as it was normalised."""
        found = np.zeros(self.size)
        found[self._sea] = self._deviation**2
        return found

    def _diffused(self, x: Array) -> Array:
        """Return M / 2 implicit steps A⁻¹ W from x, (..., points at sea)."""
        columns = x.reshape(-1, self.rank).T
        for _ in range(self._steps // 2):
            columns = self._factor.solve(np.ascontiguousarray(self._area[:, None] * columns))
        return np.asarray(columns.T.reshape(x.shape))

    def _smoothed_variance(self, seed: int) -> Array:
        """Return the diagonal of L Lᵀ.

        A vector with ones at points that are not correlated gives the diagonal at all of them;
        random draws estimate it where that would take too many vectors.
        """
        found = np.zeros(self.rank)
        y, x = (index[self._sea] for index in map(np.ravel, np.indices(self.shape)))
        dy, dx = (min(a, n) for a, n in zip(self._apart, self.shape, strict=True))
        if dy * dx <= _MOST:
            number = (y % dy) * dx + x % dx
            for first in range(0, dy * dx, _TOGETHER):
                row = number - first
                here = np.flatnonzero((row >= 0) & (row < _TOGETHER))
                impulses = np.zeros((min(_TOGETHER, dy * dx - first), self.rank))
                impulses[row[here], here] = 1 / self._area[here]
                # L Lᵀ = (A⁻¹ W)^M W⁻¹: twice as many steps as a square root.
                smooth = self._diffused(self._diffused(impulses))
                found[here] = smooth[row[here], here]
            return found
        random = np.random.default_rng(seed)
        for first in range(0, _DRAWS, _TOGETHER):
            count = min(_TOGETHER, _DRAWS - first)
            draws = random.standard_normal((count, self.rank)) / np.sqrt(self._area)
            found += (self._diffused(draws) ** 2).sum(0)
        return found / _DRAWS

    def _implicit(self, of: dict[str, Array], steps: int) -> scipy.sparse.csr_matrix:
        """Return A = W + K of a step: W the areas, K the fluxes through faces between sea cells."""
        # The length of M steps of diffusivity κ is √(2 κ (M − 2)) in two dimensions.
        diffusivity = of["length"] ** 2 / (2 * (steps - 2))
        number = np.full(self.size, -1)
        number[self._sea] = np.arange(self.rank)
        number = number.reshape(self.shape)
        dy, dx = of["spacing along y"], of["spacing along x"]
        rows, columns, fluxes = [], [], []
        for axis, conductance in ((0, diffusivity * dx / dy), (1, diffusivity * dy / dx)):
            near = np.take(number, range(self.shape[axis] - 1), axis).ravel()
            far = np.take(number, range(1, self.shape[axis]), axis).ravel()
            a = np.take(conductance, range(self.shape[axis] - 1), axis).ravel()
            b = np.take(conductance, range(1, self.shape[axis]), axis).ravel()
            wet = (near >= 0) & (far >= 0)
            rows.append(near[wet])
            columns.append(far[wet])
            fluxes.append((0.5 * (a + b))[wet])
        i, j, flux = (np.concatenate(parts) for parts in (rows, columns, fluxes))
        off = scipy.sparse.coo_matrix((-flux, (i, j)), (self.rank, self.rank)).tocsr()
        off = off + off.T
        diagonal = self._area - np.asarray(off.sum(1)).ravel()
        return off + scipy.sparse.diags(diagonal)


def _apart(length: Array, steps: int) -> int:
    """Return how many points apart the correlation of the longest length is negligible."""
    from scipy.special import gamma, kv

    nu = steps - 1
    scaled = np.linspace(1.0, 100.0, 1000)  # of Matérn's function, the correlation
    matern = 2.0 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    far = scaled[np.flatnonzero(matern > _UNCORRELATED)[-1]]
    return int(np.ceil(far * float(np.nanmax(length)) / np.sqrt(2 * steps - 4))) + 1
