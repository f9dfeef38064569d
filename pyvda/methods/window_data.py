"""The data of one window as a linear function of its trajectory, for methods without matrices.

Data are components of the state at the steps of the window, and point observations: sparse rows
that read a few components of one step or, between two steps, of both, with the trajectory
interpolated linearly in time. The operator H of the points is a sparse matrix over the trajectory;
its adjoint is its transpose, and its memory is that of the data.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from pyvda.engine.interface import Array
from pyvda.operators.points import Points


class WindowData:
    """Observations of a window with their precisions, up to any of its steps.

    Parameters
    ----------
    observation, precision : (T, D)
        Of the components at each step; precision 0 where nothing was observed.
    points : Points, optional
        Of this window alone (W = 1), with weights that are precisions.

    Attributes
    ----------
    length : int
        T.
    steps : int
        Steps of the trajectory that the data need: T, or one more where a datum lies after the
        last step.
    """

    def __init__(self, observation: Array, precision: Array, points: Points | None = None) -> None:
        self.observation, self.precision = observation, precision
        self.points = points
        self.length, self._size = observation.shape
        self.steps = self.length
        if points is not None:
            self.steps = max(self.steps, int(self._last.max(initial=-1)) + 1)
        self._cut: tuple[int, Any] = (-1, None)

    def cost(self, x: Array) -> float:
        """Return half the squared misfits of a trajectory (n, D), over their variances."""
        misfit = self._of(x) - self.observation[: len(x)]
        found = 0.5 * float((self.precision[: len(x)] * misfit**2).sum())
        if self.points is not None:
            H, y, weight = self._upto(len(x))
            found += 0.5 * float((weight * (H @ x.ravel() - y) ** 2).sum())
        return found

    def gradient(self, x: Array) -> Array:
        """Return the derivative of the cost by the trajectory, Hᵀ R⁻¹ (H x − y), (n, D)."""
        found = np.zeros_like(x)
        mine = self._of(found)
        mine += self.precision[: len(x)] * (self._of(x) - self.observation[: len(x)])
        if self.points is not None:
            H, y, weight = self._upto(len(x))
            found += (H.T @ (weight * (H @ x.ravel() - y))).reshape(x.shape)
        return found

    def curvature(self, dx: Array) -> Array:
        """Return Hᵀ R⁻¹ H dx for a perturbation of the trajectory (n, D)."""
        found = np.zeros_like(dx)
        mine = self._of(found)
        mine += self.precision[: len(dx)] * self._of(dx)
        if self.points is not None:
            H, _, weight = self._upto(len(dx))
            found += (H.T @ (weight * (H @ dx.ravel()))).reshape(dx.shape)
        return found

    def noise(self, steps: int, random: np.random.Generator) -> Array:
        """Return Hᵀ R^−½ ε, (steps, D), for independent normal numbers ε."""
        precision = self.precision[:steps]
        found = np.zeros((steps, self._size))
        mine = self._of(found)
        mine += np.sqrt(precision) * random.standard_normal(precision.shape)
        if self.points is not None:
            H, y, weight = self._upto(steps)
            drawn = np.sqrt(weight) * random.standard_normal(len(y))
            found += (H.T @ drawn).reshape(found.shape)
        return found

    def perturbed(self, random: np.random.Generator) -> WindowData:
        """Return the data with further errors of their precisions."""
        noise = random.standard_normal(self.observation.shape)
        observation = self.observation + noise * _deviation(self.precision)
        points = self.points
        if points is not None:
            weight = np.asarray(points.weight)
            noise = random.standard_normal(weight.shape)
            points = replace(points, value=np.asarray(points.value) + noise * _deviation(weight))
        return WindowData(observation, self.precision, points)

    def _of(self, x: Array) -> Array:
        """Return the steps of a trajectory that the window has."""
        return x[: len(self.observation)]

    def _upto(self, steps: int) -> tuple[Any, Array, Array]:
        """Return H, values and precisions of the points that need the first `steps` alone."""
        if self._cut[0] != steps:
            kept = self._last < steps
            H, y, weight = self._whole
            self._cut = (steps, (H[kept][:, : steps * self._size], y[kept], weight[kept]))
        found: tuple[Any, Array, Array] = self._cut[1]
        return found

    @cached_property
    def _used(self) -> Array:
        return np.asarray(self.points.weight)[0] > 0 if self.points is not None else np.zeros(0)

    @cached_property
    def _last(self) -> Array:
        """The last step that each datum needs, (K,)."""
        assert self.points is not None
        step, fraction = (
            np.asarray(one)[0][self._used] for one in (self.points.step, self.points.fraction)
        )
        return np.asarray(step + (fraction > 0))

    @cached_property
    def _whole(self) -> tuple[Any, Array, Array]:
        assert self.points is not None
        rows = self.points.operator[0][self._used]
        step, fraction, value, weight = (
            np.asarray(getattr(self.points, name), float)[0][self._used]
            for name in ("step", "fraction", "value", "weight")
        )
        first = step.astype(np.int64)[:, None] * self._size + rows.index
        share = rows.coefficient * (1 - fraction[:, None]), rows.coefficient * fraction[:, None]
        later = np.where(fraction[:, None] > 0, first + self._size, first)
        datum = np.repeat(np.arange(len(value)), rows.index.shape[1])
        H = sparse.csr_matrix(
            (
                np.concatenate([one.ravel() for one in share]),
                (np.concatenate([datum, datum]), np.concatenate([first.ravel(), later.ravel()])),
            ),
            (len(value), self.steps * self._size),
        )
        H.eliminate_zeros()
        return H, value, weight


def _deviation(precision: Array) -> Array:
    """Return standard deviations, 0 where there is no datum."""
    return np.sqrt(1 / np.where(precision > 0, precision, np.inf))
