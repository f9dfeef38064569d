"""Rows of a linear operator, by the few components of the state that each of them reads.

Every row has the same number of terms, so that the rows of many windows are two arrays; terms with
the coefficient 0 fill the shorter ones. Memory is that of the terms, whatever the state's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SparseRows:
    """Rows a of a linear operator on states of D components.

    NumPy's functions see the rows in full, as an array (..., D).

    Attributes
    ----------
    index : (..., J) of int
        The components that a row reads, each once, from 0; any where the coefficient is 0.
    coefficient : (..., J)
    size : int
        D.
    """

    index: np.ndarray
    coefficient: np.ndarray
    size: int

    def __post_init__(self) -> None:
        if self.index.shape != self.coefficient.shape or not self.index.ndim:
            raise ValueError(
                f"index has shape {self.index.shape}, coefficient {self.coefficient.shape}, "
                "expected the same, with the terms of a row along the last axis"
            )

    @classmethod
    def of(cls, rows: Any, shape: tuple[int, ...] | None = None) -> SparseRows:
        """Return rows given as an array (..., D), or as a SciPy sparse matrix (N, D).

        Parameters
        ----------
        shape : tuple of int, optional
            The leading dimensions that the N rows of a matrix have. Default: (N,).
        """
        if isinstance(rows, cls):
            return rows
        if hasattr(rows, "tocsr"):
            return _of_matrix(rows.tocsr(), shape)
        dense = np.asarray(rows)
        terms = max(1, int(np.count_nonzero(dense, axis=-1).max(initial=0)))
        size = dense.shape[-1]
        if 2 * terms > size:
            return cls(np.broadcast_to(np.arange(size), dense.shape), dense, size)
        index = np.argsort(dense == 0, axis=-1, kind="stable")[..., :terms]
        return cls(index, np.take_along_axis(dense, index, axis=-1), size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the rows in full."""
        return (*self.index.shape[:-1], self.size)

    def __getitem__(self, chosen: Any) -> SparseRows:
        """Return the chosen rows."""
        return SparseRows(self.index[chosen], self.coefficient[chosen], self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the rows in full, (..., D)."""
        found = np.zeros(self.shape, self.coefficient.dtype)
        at = np.indices(self.index.shape, sparse=True)[:-1]
        np.add.at(found, (*at, self.index), self.coefficient)
        return found if dtype is None else found.astype(dtype)

    def matrix(self) -> Any:
        """Return the rows, in C order of the leading dimensions, as a SciPy matrix (N, D)."""
        from scipy import sparse

        terms = self.index.shape[-1]
        ends = np.arange(0, self.index.size + 1, terms) if terms else np.zeros(1, int)
        found = sparse.csr_matrix(
            (self.coefficient.ravel(), self.index.ravel(), ends), (len(ends) - 1, self.size)
        )
        found.eliminate_zeros()
        return found

    def single(self) -> np.ndarray:
        """Tell which rows read one component alone, (...)."""
        return np.asarray((self.coefficient != 0).sum(-1) == 1)

    def largest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the component with the largest coefficient of each row, and this coefficient."""
        at = np.abs(self.coefficient).argmax(-1)[..., None]
        found = (np.take_along_axis(one, at, -1)[..., 0] for one in (self.index, self.coefficient))
        index, coefficient = found
        return index, coefficient

    def squares(self) -> np.ndarray:
        """Return the squared norm of each row, (...)."""
        return np.asarray((self.coefficient**2).sum(-1))

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return a · x (...) for states x (..., D), one for each row."""
        return np.asarray((self.coefficient * np.take_along_axis(x, self.index, -1)).sum(-1))


def _of_matrix(rows: Any, shape: tuple[int, ...] | None) -> SparseRows:
    rows = rows.copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    count, size = rows.shape
    length = np.diff(rows.indptr)
    terms = max(1, int(length.max(initial=0)))
    there = np.arange(terms) < length[:, None]
    index, coefficient = np.zeros((count, terms), np.int64), np.zeros((count, terms))
    index[there], coefficient[there] = rows.indices, rows.data
    leading = (count,) if shape is None else shape
    return SparseRows(index.reshape(*leading, terms), coefficient.reshape(*leading, terms), size)
