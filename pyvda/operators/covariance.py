"""Covariance operators: the background's B, the model error's Q, the observations' R.

A method asks an operator C for products, never for its numbers: `apply` (C v), `sqrt` (S w, with
C = S Sᵀ), `sqrt_adjoint` (Sᵀ v) and `solve` (C⁻¹ v). All act on the last axis, so that many vectors
are treated at once. `dense` makes the D × D matrix and is for states of up to some thousand
components; an operator of a large state (a diffusion, a spectral filter, a localised ensemble) is a
subclass that has the four products and never calls it.

References
----------
A. Lorenc, Q. J. R. Meteorol. Soc. 129 (2003), 3183-3203, for the square root of a localised
ensemble covariance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyvda.errors import InputError
from pyvda.validation_errors import array_of

if TYPE_CHECKING:
    from pyvda.state.space import StateSpace

Array = NDArray[Any]

# A covariance whose correlation matrix is worse conditioned than this states some combination of
# components exactly, and its inverse is rounding error.
WORST_CONDITION = 1e13
_LARGEST_DENSE = 4096


class Covariance(ABC):
    """A symmetric positive (semi-)definite operator on states of D components.

    .. math:: C = S S^T

    A subclass sets `size` and `rank` and implements `apply`, `sqrt`, `sqrt_adjoint` and `solve`.

    Attributes
    ----------
    size : int
        D.
    rank : int
        Number of columns of S: the size of the control vectors that `sqrt` takes.

    Examples
    --------
    A multiple of the identity:

    >>> class Isotropic(Covariance):
    ...     def __init__(self, size, variance):
    ...         self.size = self.rank = size
    ...         self.variance = variance
    ...     def apply(self, v):
    ...         return self.variance * np.asarray(v)
    ...     def sqrt(self, w):
    ...         return np.sqrt(self.variance) * np.asarray(w)
    ...     sqrt_adjoint = sqrt
    ...     def solve(self, v):
    ...         return np.asarray(v) / self.variance
    >>> Isotropic(2, 4.0).precision().tolist()
    [[0.25, 0.0], [0.0, 0.25]]
    """

    size: int
    rank: int

    @abstractmethod
    def apply(self, v: ArrayLike) -> Array:
        """Return C v; v and the result are (..., D)."""

    @abstractmethod
    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D), for w of shape (..., rank)."""

    @abstractmethod
    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank), for v of shape (..., D)."""

    @abstractmethod
    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v; v and the result are (..., D).

        Raises
        ------
        InputError
            C is singular.
        """

    def dense(self) -> Array:
        """Return the matrix C, (D, D)."""
        return self.apply(np.eye(self.size))

    def precision(self) -> Array:
        """Return the matrix C⁻¹, (D, D), symmetric to the last bit.

        Raises
        ------
        InputError
            C is singular.
        """
        inverse = self.solve(np.eye(self.size))
        return np.asarray((inverse + inverse.T) / 2)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        return np.diag(self.dense()).copy()

    def expect_space(self, space: StateSpace) -> None:  # noqa: B027 - nothing to check
        """Raise InputError where the covariance is known to be of other variables or another grid.

        A covariance of unnamed components, as most are, fits any space.
        """

    def sample(self, random: np.random.Generator, count: int) -> Array:
        """Return `count` draws of the Gaussian with mean zero and covariance C, (count, D)."""
        return self.sqrt(random.standard_normal((count, self.rank)))

    def _states(self, v: ArrayLike) -> Array:
        return _with_last_axis(v, self.size, "a state")

    def _controls(self, w: ArrayLike) -> Array:
        return _with_last_axis(w, self.rank, "a control vector")


class Diagonal(Covariance):
    r"""Independent components with given variances.

    .. math:: C = \mathrm{diag}(σ_1^2, …, σ_D^2)

    Parameters
    ----------
    variance : (D,)
        In the state's units squared, all positive.

    Raises
    ------
    InputError
        The variances are not a vector of finite positive numbers.

    Examples
    --------
    >>> Diagonal([1.0, 4.0]).solve([1.0, 1.0]).tolist()
    [1.0, 0.25]
    """

    def __init__(self, variance: ArrayLike) -> None:
        values = _numbers(variance, "variances", 1)
        if not (values > 0).all():
            raise InputError(
                f"the smallest of the variances is {values.min()}, expected positive numbers; "
                "remove the components that have no variance, or give them a small one"
            )
        self.size = self.rank = len(values)
        self._variance = values
        self._deviation = np.sqrt(values)

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return np.asarray(self._states(v) * self._variance)

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D); S is diagonal."""
        return np.asarray(self._controls(w) * self._deviation)

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., D)."""
        return np.asarray(self._states(v) * self._deviation)

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D)."""
        return np.asarray(self._states(v) / self._variance)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        return self._variance.copy()


class Dense(Covariance):
    """A covariance given as a matrix; S is its Cholesky factor.

    Parameters
    ----------
    matrix : (D, D)
        In the state's units squared, symmetric and positive definite.

    Raises
    ------
    InputError
        The matrix is not square, not finite, not symmetric, or not positive definite. It counts as
        singular when the condition number of its correlation matrix exceeds 1e13, whatever the
        units of the components.

    Examples
    --------
    >>> Dense([[2.0, 1.0], [1.0, 2.0]]).apply([1.0, 0.0]).tolist()
    [2.0, 1.0]
    """

    def __init__(self, matrix: ArrayLike) -> None:
        values = _numbers(matrix, "covariance", 2)
        if not np.allclose(values, values.T, rtol=1e-8, atol=1e-12 * np.abs(values).max()):
            i, j = np.unravel_index(np.abs(values - values.T).argmax(), values.shape)
            raise InputError(
                f"the covariance is not symmetric (entry ({i}, {j}) is {values[i, j]} and entry "
                f"({j}, {i}) is {values[j, i]}); give a symmetric matrix"
            )
        self._matrix = (values + values.T) / 2
        self.size = self.rank = len(values)
        variance = np.diag(self._matrix)
        self._deviation = np.sqrt(np.maximum(variance, 0.0))
        if not (variance > 0).all():
            raise _singular(variance.min(), variance.max())
        self._correlation = self._matrix / np.outer(self._deviation, self._deviation)
        eigenvalues = np.linalg.eigvalsh(self._correlation)
        if not eigenvalues[0] * WORST_CONDITION > eigenvalues[-1]:
            raise _singular(eigenvalues[0], eigenvalues[-1])

    @classmethod
    def from_factor(cls, factor: ArrayLike) -> Dense:
        """Return L Lᵀ for a factor L, (D, n) with n ≥ D, such as a Cholesky factor."""
        L = _numbers(factor, "factor", 2, square=False)
        return cls(L @ L.T)

    @cached_property
    def _factor(self) -> Array:
        # Of the correlation matrix: components of very different units then lose no digits.
        return np.asarray(self._deviation[:, None] * np.linalg.cholesky(self._correlation))

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return np.asarray(self._states(v) @ self._matrix)

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D); S is lower triangular."""
        return np.asarray(self._controls(w) @ self._factor.T)

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., D)."""
        return np.asarray(self._states(v) @ self._factor)

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D)."""
        states = self._states(v)
        scaled = (states / self._deviation).reshape(-1, self.size)
        found = np.linalg.solve(self._correlation, scaled.T).T
        return np.asarray((found / self._deviation).reshape(states.shape))

    def dense(self) -> Array:
        """Return the matrix C, (D, D)."""
        return self._matrix.copy()


class FromEnsemble(Covariance):
    r"""The sample covariance of an ensemble, localised by a taper where one is given.

    With the anomalies a of N members, of rank N - 1 at most without a taper,

    .. math:: C = ρ ∘ \frac{1}{N-1} \sum_{n=1}^{N} a_n a_n^T.

    A taper is a correlation operator ρ = E Eᵀ that multiplies the sample covariance entry by entry
    and suppresses the sampling noise between distant components; S then has the blocks
    diag(aₙ) E / √(N - 1).

    Parameters
    ----------
    members : (N, D)
        States, N ≥ 2.
    taper : Covariance, optional
        ρ, of size D, with ones on its diagonal where the members differ.

    Raises
    ------
    InputError
        There are fewer than two members, they are not finite, or the taper does not fit.

    Examples
    --------
    >>> FromEnsemble([[0.0, 0.0], [2.0, 4.0]]).dense().tolist()
    [[2.0, 4.0], [4.0, 8.0]]
    """

    def __init__(self, members: ArrayLike, taper: Covariance | None = None) -> None:
        states = _numbers(members, "members", 2, square=False)
        if len(states) < 2:
            raise InputError(
                f"the ensemble has {len(states)} members, and a covariance needs at least two; "
                "give more members, one a row"
            )
        self.mean = states.mean(0)
        self.size = states.shape[1]
        self._anomalies = (states - self.mean) / np.sqrt(len(states) - 1)
        self._taper = taper
        if taper is None:
            self.rank = len(states)
            return
        if taper.size != self.size:
            raise InputError(
                f"the taper is for {taper.size} components and the members have {self.size}; give "
                "a taper of the members' size"
            )
        diagonal = taper.variance()[self._anomalies.any(0)]
        if not np.allclose(diagonal, 1.0, atol=1e-6):
            worst = diagonal[np.abs(diagonal - 1).argmax()]
            raise InputError(
                f"the taper has {worst} on its diagonal, expected 1 where the members "
                "differ; give a correlation"
            )
        self.rank = len(states) * taper.rank

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        states, A = self._states(v), self._anomalies
        if self._taper is None:
            return np.asarray((states @ A.T) @ A)
        return np.asarray((A * self._taper.apply(states[..., None, :] * A)).sum(-2))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D)."""
        controls, A = self._controls(w), self._anomalies
        if self._taper is None:
            return np.asarray(controls @ A)
        blocks = controls.reshape(*controls.shape[:-1], len(A), self._taper.rank)
        return np.asarray((A * self._taper.sqrt(blocks)).sum(-2))

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        states, A = self._states(v), self._anomalies
        if self._taper is None:
            return np.asarray(states @ A.T)
        blocks = self._taper.sqrt_adjoint(states[..., None, :] * A)
        return np.asarray(blocks.reshape(*states.shape[:-1], self.rank))

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D), by the dense matrix, for up to 4096 components.

        Raises
        ------
        InputError
            C is singular, as it always is for N ≤ D without a taper, or too large.
        """
        return self._inverse.solve(v)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,); a taper leaves it as it is."""
        return np.asarray((self._anomalies**2).sum(0))

    @cached_property
    def _inverse(self) -> Dense:
        members = len(self._anomalies)
        if self._taper is None and members <= self.size:
            raise InputError(
                f"the covariance of {members} members in {self.size} dimensions is singular and "
                f"has no inverse; give more than {self.size} members, or a taper"
            )
        if self.size > _LARGEST_DENSE:
            raise InputError(
                f"the inverse of an ensemble's covariance is computed for up to {_LARGEST_DENSE} "
                f"components, and the members have {self.size}; choose a method that needs none"
            )
        return Dense(self.dense())


def _numbers(given: ArrayLike, name: str, dimensions: int, *, square: bool = True) -> Array:
    array = array_of(given)
    if array.dtype.kind not in "fiu":
        raise InputError(f"expected real numbers as the {name}, found type {array.dtype}")
    array = array.astype(float)
    if array.ndim != dimensions or 0 in array.shape or (square and len(set(array.shape)) != 1):
        wanted = "(state,)" if dimensions == 1 else "(state, state)" if square else "(n, state)"
        if name == "factor":
            wanted = "(state, n)"
        raise InputError(f"expected the {name} in the shape {wanted}, found {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"NaN or infinite values in the {name}; give finite numbers")
    return array


def _singular(smallest: float, largest: float) -> InputError:
    return InputError(
        f"the covariance is not positive definite (eigenvalues or variances from {smallest:.3g} "
        f"to {largest:.3g}); add a small positive number to its diagonal"
    )


def _with_last_axis(v: ArrayLike, size: int, what: str) -> Array:
    array = np.asarray(v, float)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"{what} has shape {array.shape}, expected (..., {size})")
    return array
