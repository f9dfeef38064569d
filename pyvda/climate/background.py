"""The background: a Gaussian prior of the first state of a window.

Its term in the cost is half the squared Mahalanobis distance (x - b)ᵀ B⁻¹ (x - b), with the mean b
and the covariance B, which is given in full, by its diagonal, or by a factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.operators.covariance import WORST_CONDITION

_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Background:
    """A Gaussian, by its mean and the inverse of its covariance.

    Attributes
    ----------
    mean : (D,)
        b, in the state's units.
    precision : (D, D)
        B⁻¹, in their inverse square; zeros: nothing is known.
    """

    mean: Array
    precision: Array

    @classmethod
    def full(cls, mean: Array, covariance: Array) -> Background:
        """Take the covariance B, (D, D), symmetric and positive definite.

        Raises
        ------
        InputError
            Shapes do not match, or B is singular or not symmetric.

        Examples
        --------
        >>> float(Background.full([0.0, 1.0], [[1.0, 0.0], [0.0, 4.0]]).precision[1, 1])
        0.25
        """
        mean, B = _checked(mean, covariance, "covariance", 2)
        if not np.allclose(B, B.T, rtol=1e-8, atol=1e-12 * np.abs(B).max(initial=0.0)):
            raise InputError(
                "the background's covariance is not symmetric; give a symmetric matrix"
            )
        B = (B + B.T) / 2
        deviation = np.sqrt(np.maximum(np.diag(B), 0.0))
        without = int((np.diag(B) == 0).sum())
        if 0 < without < len(mean):
            raise InputError(
                f"the background's covariance is singular: it has no variance at {without} of "
                f"{len(mean)} components, such as those of walls or land; choose the method "
                "incremental (--method incremental), which needs no inverse, or give each "
                "component a variance"
            )
        if (deviation > 0).all():
            correlation = B / np.outer(deviation, deviation)
            values = np.linalg.eigvalsh(correlation)
            if values[0] * WORST_CONDITION > values[-1]:
                return cls(mean, np.linalg.inv(correlation) / np.outer(deviation, deviation))
        raise InputError(
            "the background's covariance is singular or not positive; give one whose eigenvalues "
            "are all positive, for example with a small number added to its diagonal"
        )

    @classmethod
    def diagonal(cls, mean: Array, variance: Array) -> Background:
        """Take the diagonal of B, (D,), all positive."""
        mean, variance = _checked(mean, variance, "variance", 1)
        if not (variance > 0).all():
            raise InputError(
                f"the background's smallest variance is {variance.min()}, expected positive numbers"
            )
        return cls(mean, np.diag(1 / variance))

    @classmethod
    def factor(cls, mean: Array, factor: Array) -> Background:
        """Take a square factor L of B = L Lᵀ, (D, D), such as a Cholesky factor."""
        mean, L = _checked(mean, factor, "factor", 2)
        return cls.full(mean, L @ L.T)

    @classmethod
    def none(cls, size: int) -> Background:
        """Know nothing: the term is zero."""
        return cls(np.zeros(size), np.zeros((size, size)))

    def likely_states(self) -> Array:
        """Return three states (3, D) about one standard deviation from the mean.

        Where nothing is known of a component, its standard deviation counts as 1.
        """
        if not self.precision.any():
            deviation = np.ones(len(self.mean))
        else:
            deviation = np.sqrt(np.diag(np.linalg.inv(self.precision)))
        random = np.random.default_rng(0).standard_normal((3, len(self.mean)))
        return np.asarray(self.mean + deviation * random)

    def cost(self, x: Array) -> Array:
        """Return half the squared Mahalanobis distance of states (..., D).

        >>> float(Background.diagonal([0.0], [4.0]).cost(np.array([2.0])))
        0.5
        """
        d = np.asarray(x, float) - self.mean
        return np.asarray(0.5 * np.einsum("...i,ij,...j->...", d, self.precision, d))

    def gradient(self, x: Array) -> Array:
        """Return B⁻¹ (x - b), (..., D)."""
        return np.asarray((np.asarray(x, float) - self.mean) @ self.precision)


@dataclass(frozen=True)
class ExpectedState:
    """A state alone, for methods that have the covariance of its error as an option.

    Attributes
    ----------
    mean : (D,)
        In the state's units.
    """

    mean: Array


def regularised(covariance: Array) -> Array:
    """Return a covariance that can be inverted, close to one that is singular to rounding.

    A strongly contracting model leaves hardly any variance in some directions: at least a
    trillionth of the largest, in units of the standard deviations, is then taken.
    """
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if not (deviation > 0).all():
        return covariance
    scale = np.outer(deviation, deviation)
    values, vectors = np.linalg.eigh(covariance / scale)
    least = _LEAST_VARIANCE * values[-1]
    if values[0] >= least:
        return covariance
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T * scale)


def _checked(mean: Array, second: Array, name: str, dimensions: int) -> tuple[Array, Array]:
    mean, second = np.asarray(mean), np.asarray(second)
    for of, kind in (("mean", mean.dtype), (name, second.dtype)):
        if kind.kind not in "fiu":
            raise InputError(f"the background's {of} is of type {kind}, expected real numbers")
    mean, second = mean.astype(float), second.astype(float)
    expected = mean.shape * dimensions
    if mean.ndim != 1 or second.shape != expected:
        raise InputError(
            f"the background has a mean of shape {mean.shape} and a {name} of shape "
            f"{second.shape}, expected (state,) and ({', '.join(['state'] * dimensions)})"
        )
    if not (np.isfinite(mean).all() and np.isfinite(second).all()):
        raise InputError(
            f"the background's mean or {name} has NaN or infinite values; give finite ones"
        )
    return mean, second
