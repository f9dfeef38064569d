"""Block-diagonal covariances, such as those of independent variables of a state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyvda.errors import InputError
from pyvda.operators.covariance import Array, Covariance


class Blocks(Covariance):
    r"""Covariances of the parts of a state, one after the other, that are independent.

    .. math:: C = \mathrm{diag}(C_1, …, C_n)

    Parameters
    ----------
    parts : sequence of Covariance
        In the order of the state's variables.

    Raises
    ------
    InputError
        There are no parts.

    Examples
    --------
    >>> from pyvda.operators import Diagonal
    >>> Blocks([Diagonal([1.0, 2.0]), Diagonal([3.0])]).variance().tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, parts: Sequence[Covariance]) -> None:
        if not parts:
            raise InputError("there are no covariances to join; give one for each variable")
        self._parts = list(parts)
        self.size = sum(part.size for part in parts)
        self.rank = sum(part.rank for part in parts)
        self._sizes = np.cumsum([part.size for part in parts])[:-1]
        self._ranks = np.cumsum([part.rank for part in parts])[:-1]

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        pieces = zip(self._parts, np.split(self._states(v), self._sizes, -1), strict=True)
        return np.concatenate([part.apply(one) for part, one in pieces], -1)

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D)."""
        pieces = zip(self._parts, np.split(self._controls(w), self._ranks, -1), strict=True)
        return np.concatenate([part.sqrt(one) for part, one in pieces], -1)

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        pieces = zip(self._parts, np.split(self._states(v), self._sizes, -1), strict=True)
        return np.concatenate([part.sqrt_adjoint(one) for part, one in pieces], -1)

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D)."""
        pieces = zip(self._parts, np.split(self._states(v), self._sizes, -1), strict=True)
        return np.concatenate([part.solve(one) for part, one in pieces], -1)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,)."""
        return np.concatenate([part.variance() for part in self._parts])
