"""Sums of covariances, such as a hybrid of a static and an ensemble's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance


class Sum(Covariance):
    r"""A weighted sum of operators on the same states.

    .. math:: C = \sum_i w_i C_i

    Parameters
    ----------
    parts : sequence of Covariance
    weights : sequence of float, optional
        Positive. Default: 1 each.

    Raises
    ------
    InputError
        There are no parts, their sizes differ, or a weight is not positive.

    Examples
    --------
    >>> from pyvda.operators import Diagonal
    >>> Sum([Diagonal([1.0, 2.0]), Diagonal([4.0, 4.0])], [0.5, 0.25]).variance().tolist()
    [1.5, 2.0]
    """

    def __init__(self, parts: Sequence[Covariance], weights: Sequence[float] | None = None) -> None:
        self._parts = list(parts)
        sizes = {part.size for part in self._parts}
        if len(sizes) != 1:
            raise InputError(
                f"the covariances to add have the sizes {sorted(sizes)}, expected one size"
            )
        found = np.ones(len(self._parts)) if weights is None else np.asarray(weights, float)
        if found.shape != (len(self._parts),) or not (np.isfinite(found) & (found > 0)).all():
            raise InputError(
                f"the weights are {found.tolist()}, expected a positive number for each of the "
                f"{len(self._parts)} covariances"
            )
        self._weights = found
        self.size = sizes.pop()
        self.rank = sum(part.rank for part in self._parts)

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        terms = zip(self._weights, self._parts, strict=True)
        return np.asarray(sum(w * part.apply(v) for w, part in terms))

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D); the control vector is that of the parts, one after the other."""
        controls = self._controls(w)
        ends = np.cumsum([part.rank for part in self._parts])[:-1]
        terms = zip(self._weights, self._parts, np.split(controls, ends, -1), strict=True)
        return np.asarray(sum(np.sqrt(weight) * part.sqrt(one) for weight, part, one in terms))

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        terms = zip(self._weights, self._parts, strict=True)
        return np.concatenate([np.sqrt(w) * part.sqrt_adjoint(v) for w, part in terms], -1)

    def solve(self, v: ArrayLike) -> Array:
        """Raise InputError: the inverse of a sum is not known from its parts."""
        raise InputError(
            "a sum of covariances has no known inverse; choose a method that needs none"
        )

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        terms = zip(self._weights, self._parts, strict=True)
        return np.asarray(sum(w * part.variance() for w, part in terms))
