"""The inner loop of incremental 4D-Var: preconditioned conjugate gradients and Ritz pairs.

The Hessian of the quadratic cost in control space, A = I + Sᵀ Mᵀ Hᵀ R⁻¹ H M S, has as many
eigenvalues well above 1 as the observations determine directions. The approximate eigenpairs that
conjugate gradients find precondition the next loop and give the covariance of the analysis.

References
----------
J. Tshimanga, S. Gratton, A. T. Weaver and A. Sartenaer, Q. J. R. Meteorol. Soc. 134 (2008),
751-769, for the limited-memory preconditioner;
J. Erhel and F. Guyomarc'h, SIAM J. Matrix Anal. Appl. 21 (2000), 1279-1299, for conjugate gradients
that start from the directions of an earlier system.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # its linalg is loaded at the first use

from pyvda.engine.interface import Array

_SIGNIFICANT = 1.01  # smaller eigenvalues are as good as 1
_ROUNDING = 1e-12  # of the largest eigenvalue of a matrix of products


class Ritz(NamedTuple):
    """Approximate eigenpairs of A.

    Attributes
    ----------
    values : (k,)
        Above 1.
    vectors : (k, n)
        Orthonormal.
    """

    values: Array
    vectors: Array

    @classmethod
    def none(cls, size: int) -> Ritz:
        """Know nothing of A."""
        return cls(np.zeros(0), np.zeros((0, size)))

    @classmethod
    def of_matrix(cls, A: Array) -> Ritz:
        """Return all eigenpairs above 1 of the matrix A (n, n)."""
        values, vectors = scipy.linalg.eigh((A + A.T) / 2)
        kept = values > 1
        return cls(values[kept], vectors[:, kept].T)

    @classmethod
    def of_rows(cls, G: Array) -> Ritz:
        """Return all eigenpairs above 1 of A = I + Gᵀ G, from G (k, n)."""
        squares, y = scipy.linalg.eigh(G @ G.T)
        kept = squares > _ROUNDING * squares.max(initial=0.0)
        return cls(1 + squares[kept], (y[:, kept] / np.sqrt(squares[kept])).T @ G)

    def power(self, v: Array, exponent: float) -> Array:
        """Return Aᵖ v for v (..., n), with A the identity outside of the known vectors."""
        known = v @ self.vectors.T
        return np.asarray(v + (known * (self.values**exponent - 1)) @ self.vectors)


class Solved(NamedTuple):
    """Approximate solution of A x = b.

    Attributes
    ----------
    x : (n,)
    iterations : int
    residual : float
        |b − A x| / |b|.
    ritz : Ritz
    """

    x: Array
    iterations: int
    residual: float
    ritz: Ritz


def solve(
    product: Callable[[Array], Array],
    b: Array,
    preconditioner: Ritz,
    iterations: int,
    tolerance: float,
) -> Solved:
    """Solve A x = b by conjugate gradients, preconditioned by A⁻¹ on known eigenvectors.

    Parameters
    ----------
    product : callable
        v to A v.
    b : (n,)
    preconditioner : Ritz
    iterations : int
        At most.
    tolerance : float
        The loop ends when |b − A x| falls below this times |b|.
    """
    x, r = np.zeros_like(b), b.copy()
    norm = np.linalg.norm(b)
    # The system gives memory to the rows that are written: those of the iterations that are made.
    directions, products = np.empty((2, iterations, len(b)))
    z = preconditioner.power(r, -1.0)
    p, rz = z.copy(), float(r @ z)
    count = 0
    while count < iterations and np.linalg.norm(r) > tolerance * norm:
        Ap = product(p)
        curvature = float(p @ Ap)
        if not (np.isfinite(curvature) and curvature > 0):
            break
        scale = 1 / np.sqrt(curvature)
        directions[count], products[count] = p * scale, Ap * scale
        count += 1
        step = rz / curvature
        x += step * p
        r -= step * Ap
        # Rounding makes the residuals lose their orthogonality, and with it the convergence.
        for q, Aq in zip(directions[:count], products[:count], strict=True):
            r -= (q @ r) * Aq
        z = preconditioner.power(r, -1.0)
        for q, Aq in zip(directions[:count], products[:count], strict=True):
            z -= (Aq @ z) * q
        rz = float(r @ z)
        p = z
    residual = float(np.linalg.norm(r) / norm) if norm else 0.0
    return Solved(x, count, residual, _ritz(directions[:count], products[:count], preconditioner))


class Directions:
    """Search directions P with P A Pᵀ = I that solutions of A x = b for several b share.

    Each solution starts from the best x in their span, and adds its own directions while there is
    room: the more are known, the fewer iterations the next one needs.

    Parameters
    ----------
    room : int
        Directions at most.
    size : int
        n.
    """

    def __init__(self, room: int, size: int) -> None:
        # The system gives memory to the rows that are written.
        self._vectors, self._products = np.empty((2, room, size))
        self._count = 0

    def solve(
        self, product: Callable[[Array], Array], b: Array, iterations: int, limit: float
    ) -> Array:
        """Return x (n,) with |b − A x| at most `limit`, or after so many iterations."""
        x, r, before = np.zeros_like(b), b.copy(), np.empty((2, 0, len(b)))
        x += self._from_known(r)
        for _ in range(iterations):
            if np.linalg.norm(r) <= limit:
                break
            p = r.copy()
            for P, AP in (self._known(), before):
                p -= (AP @ p) @ P
            Ap = product(p)
            curvature = float(p @ Ap)
            if not (np.isfinite(curvature) and curvature > 0):
                break
            p, Ap = p / np.sqrt(curvature), Ap / np.sqrt(curvature)
            step = float(p @ r)
            x += step * p
            r -= step * Ap
            if self._count < len(self._vectors):
                self._vectors[self._count], self._products[self._count] = p, Ap
                self._count += 1
            else:
                before = np.stack([p, Ap])[:, None]
            # Rounding makes the residual lose its orthogonality, and with it the convergence.
            x += self._from_known(r)
        return x

    def _known(self) -> tuple[Array, Array]:
        return self._vectors[: self._count], self._products[: self._count]

    def _from_known(self, r: Array) -> Array:
        """Return the best x in the span of the directions; take A x from r."""
        P, AP = self._known()
        along = P @ r
        r -= along @ AP
        return np.asarray(along @ P)


def _ritz(P: Array, AP: Array, before: Ritz) -> Ritz:
    """Return the Ritz pairs of A on the search directions P (k, n), or the previous ones."""
    if not len(P):
        return before
    # An orthonormal basis of their span, without directions that rounding has made alike.
    lengths = np.linalg.norm(P, axis=1)
    squares, y = scipy.linalg.eigh(P @ P.T / np.outer(lengths, lengths))
    spans = squares > _ROUNDING * squares[-1]
    to_basis = y[:, spans] / np.sqrt(squares[spans]) / lengths[:, None]
    hessian = to_basis.T @ (P @ AP.T) @ to_basis
    values, y = scipy.linalg.eigh((hessian + hessian.T) / 2)
    kept = values > _SIGNIFICANT
    return Ritz(values[kept], (to_basis @ y[:, kept]).T @ P)
