"""A variance that differs from point to point: that of a field's departures around each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.fields.field import Field
from pyvda.fields.mean import SeasonalMean
from pyvda.fields.places import Places

_NEIGHBOURS = 25  # points over which a local variance is averaged
_PRIOR = 10.0  # data of the usual variance that are added to each point
Parts = Callable[[], Iterable[tuple[Array, Array]]]
"""Times and values of parts of a field."""


class LocalVariance(NamedTuple):
    """Sums of squared departures around each point.

    Attributes
    ----------
    squares, counts : (P,)
    near : (P, K) of int
        The nearest points.
    """

    squares: Array
    counts: Array
    near: Array

    @staticmethod
    def of(field: Field, parts: Parts, mean: SeasonalMean) -> LocalVariance:
        """Return the local variance of a field's departures from its mean."""
        squares, counts = np.zeros(len(field.places)), np.zeros(len(field.places))
        for days, values in parts():
            anomaly = values - mean.at(days)
            squares += np.nansum(anomaly**2, 0)
            counts += np.isfinite(anomaly).sum(0)
        return LocalVariance(squares, counts, neighbours(field.places))

    def without(self, points: Array, squares: Array) -> LocalVariance:
        """Return the local variance less one datum of `squares` (n,) at each of `points` (n,)."""
        left, counts = self.squares.copy(), self.counts.copy()
        left[points] = np.maximum(left[points] - squares, 0.0)
        counts[points] -= 1
        return LocalVariance(left, counts, self.near)

    def scale(self, points: Array | slice = slice(None)) -> Array:
        """Return the standard deviation around points over the usual one, (n,).

        The mean square of the departures at the nearest points, drawn to the usual one by some
        data.
        """
        near = self.near[points]
        usual = self.squares.sum() / max(1.0, self.counts.sum())
        if not usual > 0:
            return np.ones(len(near))
        total = self.squares[near].sum(1) + _PRIOR * usual
        return np.asarray(np.sqrt(total / (self.counts[near].sum(1) + _PRIOR) / usual))


def neighbours(places: Places) -> Array:
    """Return the nearest points of each, itself among them, (P, K) of int."""
    count = min(_NEIGHBOURS, len(places))
    return cKDTree(places.position).query(places.position, count)[1].reshape(len(places), -1)


def local_scale(field: Field, parts: Parts, mean: SeasonalMean) -> Array:
    """Return the standard deviation around each point over the usual one, (P,)."""
    return LocalVariance.of(field, parts, mean).scale()
