"""Estimates of values that were hidden from a method, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.fields.field import Field
from pyvda.fields.options import Estimate, PointEstimate
from pyvda.fields.paired import ratio_of_errors
from pyvda.fields.points import DataAtPoints


class Predictions(NamedTuple):
    """Estimates of hidden values by a method, (n,) each.

    Attributes
    ----------
    draw, time : (n,) of int
        Numbers of the draw and the time; for data at points, `time` is the number of the pass.
    error : (n,)
        Value minus estimate.
    variance : (n,)
        Variance of the error, that of a datum included.
    km : (n,)
        To the nearest datum of the same time; infinite without one.
    """

    draw: Array
    time: Array
    error: Array
    variance: Array
    km: Array

    @classmethod
    def of_field(
        cls, field: Field, values: Array, estimate: Estimate, hidden: Array, draw: int = 0
    ) -> Predictions:
        """Return those of the hidden values (T, P) of a field; NaN is no value."""
        at = hidden & np.isfinite(values)
        return cls(
            np.full(int(at.sum()), draw), np.nonzero(at)[0], (values - estimate.value)[at],
            (estimate.stdev**2 + estimate.noise)[at],
            distances(field, np.isfinite(values) & ~hidden, at),
        )  # fmt: skip

    @classmethod
    def of_points(
        cls, points: DataAtPoints, values: Array, estimate: PointEstimate, hidden: Array, draw: int
    ) -> Predictions:
        """Return those of the hidden data at points (N,)."""
        at = hidden & np.isfinite(values)
        return cls(
            np.full(int(at.sum()), draw), points.track[at], (values - estimate.value)[at],
            (estimate.stdev**2 + estimate.noise)[at],
            point_distances(points, np.isfinite(values) & ~hidden, at),
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return those of several draws."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def chosen(self, mask: Array) -> Predictions:
        """Return those where the mask (n,) is true."""
        return Predictions(*(column[mask] for column in self))


def point_distances(points: DataAtPoints, left: Array, at: Array) -> Array:
    """Return the distance from data to the nearest datum of the same day, (n,) km."""
    days = points.days(points.time[0] if points.dated else 0.0)
    speed = 1e5  # km a day: data of another day are beyond all others

    def spread(chosen: Array) -> Array:
        return np.column_stack([points.places.position[chosen], speed * np.round(days[chosen])])

    found, _ = cKDTree(spread(left)).query(spread(at), distance_upper_bound=speed / 2)
    return np.asarray(found)


def distances(field: Field, left: Array, at: Array) -> Array:
    """Return the distance from points to the nearest datum of the same time, (n,) km.

    Parameters
    ----------
    field : Field
    left : (T, P) of bool
        Data that are used.
    at : (T, P) of bool
        Points.
    """
    found = np.full(at.shape, np.inf)
    for t in np.flatnonzero(at.any(1)):
        if left[t].any():
            tree = cKDTree(field.places.position[left[t]])
            found[t, at[t]] = tree.query(field.places.position[at[t]])[0]
    return found[at]


def scores(predictions: Predictions) -> dict[str, Any]:
    """Return the scores of hidden values, plain numbers."""
    error, variance = predictions.error, predictions.variance
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(-error.mean()),
        "calibration": float((error**2 / variance).mean()),
        "nll": float(0.5 * (np.log(2 * np.pi * variance) + error**2 / variance).mean()),
        "count": len(error),
    }


def ratio(one: Predictions, other: Predictions, seed: int) -> dict[str, float]:
    """Return the RMSE of one over that of the other, with its interval by bootstrap over times."""
    key = one.draw * (one.time.max() + 1) + one.time
    return ratio_of_errors(key, one.error**2, other.error**2, seed)._asdict()
