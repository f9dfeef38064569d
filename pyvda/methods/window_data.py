"""The data of one window as a linear function of its trajectory, for methods without matrices.

Data are components of the state at the steps of the window, and point observations: sparse rows
that read a few components of one step or, between two steps, of both, with the trajectory
interpolated linearly in time. Their operator H is a sparse matrix over the trajectory; its adjoint
is its transpose, and its memory is that of the data. A trajectory may be looked at in segments.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from pyvda.engine.interface import Array
from pyvda.operators.points import Points

_COPIES = 3  # the data, those chosen for a segment, and all parts


@dataclass(frozen=True)
class Part:
    """The data that belong to a segment of a trajectory.

    Attributes
    ----------
    H : sparse matrix (K, n D)
        Over the states of the segment, both ends included.
    value, precision : (K,)
    number : (K,) of int
        Which of the window's data these are.
    shape : (n, D)
    """

    H: Any
    value: Array
    precision: Array
    number: Array
    shape: tuple[int, int]

    def cost(self, x: Array) -> float:
        """Return half the squared misfits of a segment x (n, D), over their variances."""
        return 0.5 * float((self.precision * (self.H @ x.ravel() - self.value) ** 2).sum())

    def gradient(self, x: Array) -> Array:
        """Return the derivative of the cost by the segment, Hᵀ R⁻¹ (H x − y), (n, D)."""
        return self.back(self.precision * (self.H @ x.ravel() - self.value))

    def weighed(self, dx: Array) -> Array:
        """Return R⁻¹ H dx for a perturbation of the segment, (K,)."""
        return np.asarray(self.precision * (self.H @ dx.ravel()))

    def whitened(self, of_all: Array) -> Array:
        """Return R^−½ d, (K,), for numbers d of all the window's data."""
        return np.asarray(np.sqrt(self.precision) * of_all[self.number])

    def back(self, of_data: Array) -> Array:
        """Return Hᵀ d, (n, D)."""
        return np.asarray((self.H.T @ of_data).reshape(self.shape))


class WindowData:
    """Observations of a window with their precisions.

    Parameters
    ----------
    observation, precision : (T, D)
        Data of the components at each step; precision 0 where nothing was observed.
    points : Points, optional
        Data of this one window (W = 1), whose weights are precisions.

    Attributes
    ----------
    length : int
        T.
    size : int
        D.
    count : int
        Number of data.
    steps : int
        Steps of the trajectory that the data need: T, or one more where a datum lies after the
        last step.
    """

    def __init__(self, observation: Array, precision: Array, points: Points | None = None) -> None:
        self.length, self.size = observation.shape
        step, component = np.nonzero(precision > 0)
        data = _Rows(
            step, step, sparse.csr_matrix(
                (np.ones(len(step)), component, np.arange(len(step) + 1)), (len(step), self.size)
            ), None, observation[step, component], precision[step, component],
        )  # fmt: skip
        self._data = [data] if points is None else [data, _of_points(points)]
        self.steps = max([self.length, *(int(one.last.max(initial=-1)) + 1 for one in self._data)])
        self.count = sum(len(one.value) for one in self._data)
        self._parts: dict[tuple[int, int, int], Part] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the data and of their parts for a trajectory."""
        return _COPIES * sum(one.nbytes for one in self._data)

    def part(self, first: int, count: int, steps: int) -> Part:
        """Return the data of a segment of `count` states from the step `first`.

        A datum of a step that two segments share is the later one's.

        Parameters
        ----------
        steps : int
            Length of the trajectory; data that need more steps do not count.
        """
        key = (first, count, steps)
        if key not in self._parts:
            if len(self._parts) and next(iter(self._parts))[2] != steps:
                self._parts.clear()
            self._parts[key] = self._made(*key)
        return self._parts[key]

    def _made(self, first: int, count: int, steps: int) -> Part:
        end = first + count - 1
        ends = end + 1 if end == steps - 1 else end
        parts, before = [], 0
        for data in self._data:
            chosen = (data.step >= first) & (data.step < ends) & (data.last < steps)
            number = before + np.flatnonzero(chosen)
            parts.append((*data.matrix(chosen, first, count, self.size), number))
            before += len(chosen)
        H, *arrays = zip(*parts, strict=True)
        value, precision, number = (np.concatenate(one) for one in arrays)
        rows = sparse.vstack(H, format="csr")
        return Part(rows, value, precision, number, (count, self.size))

    def perturbed(self, random: np.random.Generator) -> WindowData:
        """Return the data with further errors of their precisions."""
        found = copy(self)
        found._parts = {}
        found._data = [
            replace(
                one,
                value=one.value + random.standard_normal(len(one.value)) / np.sqrt(one.precision),
            )
            for one in self._data
        ]
        return found


@dataclass(frozen=True)
class _Rows:
    """Data of one kind: `now` reads a state of the step, `then` one of the step after it.

    Attributes
    ----------
    step, last : (K,) of int
        The step that a datum belongs to, and the last one that it needs.
    now, then : sparse matrices (K, D)
    value, precision : (K,)
    """

    step: Array
    last: Array
    now: Any
    then: Any
    value: Array
    precision: Array

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays; the indices of a part's matrix are integers of 8 bytes."""
        arrays = (self.step, self.last, self.value, self.precision)
        matrices = [one for one in (self.now, self.then) if one is not None]
        return sum(one.nbytes for one in arrays) + sum(
            16 * one.nnz + 8 * one.shape[0] for one in matrices
        )

    def matrix(self, chosen: Array, first: int, count: int, size: int) -> tuple[Any, Array, Array]:
        """Return H over a segment, values and precisions of the chosen data."""
        rows = _placed(self.now[chosen], self.step[chosen] - first, count, size)
        if self.then is not None:
            later = np.minimum(self.step[chosen] + 1 - first, count - 1)  # then is 0 where cut
            rows = rows + _placed(self.then[chosen], later, count, size)
        return rows, self.value[chosen], self.precision[chosen]


def _placed(rows: Any, step: Array, count: int, size: int) -> Any:
    """Return rows (K, D) at their steps of a segment, (K, count D)."""
    rows = rows.tocsr()
    column = rows.indices.astype(np.int64) + np.repeat(step * size, np.diff(rows.indptr))
    return sparse.csr_matrix((rows.data, column, rows.indptr), (rows.shape[0], count * size))


def _of_points(points: Points) -> _Rows:
    used = np.asarray(points.weight)[0] > 0
    step, fraction, value, weight = (
        np.asarray(getattr(points, name), float)[0][used]
        for name in ("step", "fraction", "value", "weight")
    )
    rows = points.operator[0][used].matrix()
    step = step.astype(np.int64)
    return _Rows(
        step, step + (fraction > 0), sparse.diags(1 - fraction) @ rows,
        sparse.diags(fraction) @ rows, value, weight,
    )  # fmt: skip
