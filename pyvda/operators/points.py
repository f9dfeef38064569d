"""Point observations as arrays: at arbitrary times, of any linear combination of the state.

A datum of a window is y = aᵀ Φ_θ(x(t)) + error: t is the last step before it, Φ_θ the model over
the fraction θ of a step, a the operator's row. It depends on the state at one step only, like a
datum of the grid, so that costs and gradients stay local in time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.operators.sparse_rows import SparseRows

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor


SNAP = 1e-6  # of a step: nearer to a step than that is at the step


@dataclass(frozen=True)
class Points:
    """At most K point observations per window; zero weight marks padding.

    Attributes
    ----------
    step : (W, K) of int
        t, from 0.
    fraction : (W, K)
        θ of a step, 0 ≤ θ < 1.
    value : (W, K)
        y; 0 where there is no datum.
    weight : (W, K)
        0, 1, or the reference error variance divided by the datum's own, as in `Batch.mask`.
    operator : SparseRows
        a, the rows (W, K, D); an array is converted.
    """

    step: Array
    fraction: Array
    value: Array
    weight: Array
    operator: SparseRows

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", SparseRows.of(self.operator))
        shape = tuple(self.step.shape)
        for field in fields(self):
            found = tuple(getattr(self, field.name).shape)
            size = 3 if field.name == "operator" else 2
            if len(found) != size or found[:2] != shape:
                raise ValueError(f"{field.name} has shape {found}, expected {shape} and the state")

    def __getitem__(self, windows: Any) -> Points:
        """Return the data of the chosen windows (a slice, or an array of indices or booleans)."""
        return Points(*(getattr(self, field.name)[windows] for field in fields(self)))

    def counted(self) -> Array:
        """Return how many data each window has, (W,)."""
        return (self.weight > 0).sum(1)

    def weighed(self, factor: float) -> Points:
        """Return the data with `factor` times their weights."""
        return replace(self, weight=factor * self.weight)

    def terms(self, stdev: np.ndarray) -> np.ndarray:
        """Return the standard deviation of each term of aᵀ x, (W, K, n), from that of x, (W, T, D).

        The model over the fraction of a step is left out.
        """
        step = np.asarray(self.step)[..., None]
        at_step = np.take_along_axis(stdev, step, axis=1)
        own = np.take_along_axis(at_step, self.operator.index, axis=2)
        return np.asarray(np.abs(self.operator.coefficient) * own)


def nearest_steps(points: Points, steps: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values and mask (W, T, D) with each datum of one component at the nearest step.

    Only good enough for a first guess. Data of several components at once are left out.
    """
    alone = points.operator.single() & (np.asarray(points.weight) > 0)
    window, datum = np.nonzero(alone)
    component, coefficient = points.operator[window, datum].largest()
    value = np.asarray(points.value)[window, datum] / coefficient
    # Halfway between two steps rounding errors must not decide.
    position = np.asarray(points.step) + np.asarray(points.fraction)
    nearest = np.floor(position + 0.5 + SNAP).astype(int)
    at = (window, np.minimum(nearest[window, datum], steps - 1), component)
    total, count = (np.zeros((len(points.step), steps, size)) for _ in range(2))
    np.add.at(total, at, value)
    np.add.at(count, at, 1.0)
    return total / np.maximum(count, 1), (count > 0).astype(float)
