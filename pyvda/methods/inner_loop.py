"""The inner loop of incremental 4D-Var: preconditioned conjugate gradients and Ritz pairs.

The Hessian of the quadratic cost in control space, A = I + Sᵀ Mᵀ Hᵀ R⁻¹ H M S, has as many
eigenvalues well above 1 as the observations determine directions. The approximate eigenpairs that
conjugate gradients find precondition the next loop and give the covariance of the analysis.

References
----------
J. Tshimanga, S. Gratton, A. T. Weaver and A. Sartenaer, Q. J. R. Meteorol. Soc. 134 (2008),
751-769, for the limited-memory preconditioner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg

from pyvda.engine.interface import Array

_SIGNIFICANT = 1.01  # smaller eigenvalues are as good as 1


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


def _ritz(P: Array, AP: Array, before: Ritz) -> Ritz:
    """Return the Ritz pairs of A on the search directions P (k, n), or the previous ones."""
    if not len(P):
        return before
    gram, hessian = P @ P.T, P @ AP.T
    values, y = scipy.linalg.eigh((hessian + hessian.T) / 2, (gram + gram.T) / 2)
    kept = values > _SIGNIFICANT
    return Ritz(values[kept], y[:, kept].T @ P)
