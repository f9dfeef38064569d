"""The taper that localises an ensemble's covariance: a smooth correlation of low rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance

_LEAST = 1e-4  # of the largest eigenvalue along an axis: smoother fields are represented exactly


class Taper(Covariance):
    """The correlation exp(−d² / 2L²) on a grid, the same between all variables: ρ = E Eᵀ.

    E is a product of factors along the axes, each of the leading eigenvectors of the correlation
    along it with rows of norm 1, so that ρ has ones on its diagonal. The control vector of an
    ensemble then has some hundred numbers for each member instead of one for each point.

    Parameters
    ----------
    shape : sequence of int
        The grid, slowest dimension first.
    length : float
        L, in grid spacings.
    variables : int
        Variables of this shape that make the state, one after another.

    Raises
    ------
    InputError
        The length is not positive.

    Examples
    --------
    >>> taper = Taper((8, 8), 2.0)
    >>> bool(np.allclose(taper.variance(), 1.0))
    True
    >>> taper.rank < 64
    True
    """

    def __init__(self, shape: Sequence[int], length: float, variables: int = 1) -> None:
        if not (np.isfinite(length) and length > 0):
            raise InputError(
                f"the length of the taper is {length}, expected a positive number of grid spacings"
            )
        self.shape = tuple(int(n) for n in shape)
        self._factors = [_factor(n, length) for n in self.shape]
        self._variables = variables
        self._modes = tuple(E.shape[1] for E in self._factors)
        self.size = variables * int(np.prod(self.shape))
        self.rank = int(np.prod(self._modes))

    def apply(self, v: ArrayLike) -> Array:
        """Return ρ v, (..., D)."""
        return self.sqrt(self.sqrt_adjoint(v))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return E w, (..., D)."""
        controls = self._controls(w)
        leading = controls.shape[:-1]
        field = _along(controls.reshape(*leading, *self._modes), self._factors)
        flat = field.reshape(*leading, 1, -1)
        every = np.broadcast_to(flat, (*leading, self._variables, flat.shape[-1]))
        return np.asarray(every.reshape(*leading, self.size))

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Eᵀ v, (..., rank)."""
        states = self._states(v)
        leading = states.shape[:-1]
        field = states.reshape(*leading, self._variables, *self.shape).sum(len(leading))
        return _along(field, [E.T for E in self._factors]).reshape(*leading, self.rank)

    def solve(self, v: ArrayLike) -> Array:
        """Raise InputError: the rank is smaller than the size."""
        raise InputError("a taper of low rank has no inverse; choose a method that needs none")

    def variance(self) -> Array:
        """Return the diagonal of ρ: ones, (D,)."""
        return np.ones(self.size)


def _factor(n: int, length: float) -> Array:
    """Return a factor E (n, m) of the correlation of n points with E Eᵀ = 1 on the diagonal."""
    d = np.subtract.outer(np.arange(n), np.arange(n)) / length
    values, vectors = np.linalg.eigh(np.exp(-0.5 * d**2))
    kept = values > _LEAST * values[-1]
    E = vectors[:, kept] * np.sqrt(values[kept])
    return np.asarray(E / np.linalg.norm(E, axis=1, keepdims=True))


def _along(field: Array, factors: Sequence[Array]) -> Array:
    """Return the product of a field (..., axes) with a matrix along each of its last axes."""
    for axis, E in enumerate(factors, -len(factors)):
        field = np.moveaxis(np.moveaxis(field, axis, -1) @ E.T, -1, axis)
    return np.asarray(field)
