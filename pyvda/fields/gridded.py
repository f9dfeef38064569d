"""Data at points as data of a grid, for methods that estimate fields on one and for flags.

`Cells` says to which time and point of the grid each datum belongs: the nearest, no farther away
than half a step of time and a spacing of the grid, the median of the distances from a point of the
sea to the nearest other one. Half a spacing would leave out the corners of the cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import target
from pyvda.fields.field import Field, Values
from pyvda.fields.options import PointEstimate
from pyvda.fields.points import DataAtPoints, PointValues


@dataclass(frozen=True)
class Cells:
    """Where data at points lie on the grid of a field.

    Attributes
    ----------
    shape : (T, P)
        Shape of the field.
    time, point : (N,) of int
        The nearest time and point of the sea.
    near : (N,) of bool
        Whether the datum is near enough to belong to the point, at whatever time.
    inside : (N,) of bool
        Whether it is near enough to belong to both.
    """

    shape: tuple[int, int]
    time: Array
    point: Array
    near: Array
    inside: Array

    @staticmethod
    def with_data(field: Field, points: DataAtPoints) -> Cells:
        """Return the cells of data at points, at least one of which must lie inside.

        Raises
        ------
        InputError
            No datum is near the grid at one of its times.
        """
        found = Cells.of(field, points)
        if not found.inside.any():
            raise InputError(
                "no datum lies within a spacing of the grid and half a step of its times; give the "
                "grid (and times) of the data"
            )
        return found

    @staticmethod
    def of(field: Field, points: DataAtPoints) -> Cells:
        """Return the cells of data at points."""
        tree = cKDTree(field.places.position)
        # The second nearest point of the grid, after the point itself; a single one has none.
        spacing = np.median(tree.query(field.places.position, [min(2, len(field.places))])[0])
        km, point = tree.query(points.places.position)
        days = points.days(target.origin(field))
        step = float(np.median(np.diff(field.days))) if len(field.days) > 1 else 1.0
        middles = (field.days[1:] + field.days[:-1]) / 2
        time = np.searchsorted(middles, days)
        near = km <= spacing
        inside = near & (np.abs(days - field.days[time]) <= step / 2)
        return Cells((len(field.days), len(field.places)), time, point, near, inside)

    def values(self, data: PointValues) -> Values:
        """Return the means of the data of each cell."""
        used = self.inside & np.isfinite(data.values)
        cell = (self.time * self.shape[1] + self.point)[used]
        count = np.bincount(cell, minlength=self.shape[0] * self.shape[1])

        def total(values: Array) -> Array:
            return np.bincount(cell, values, len(count)).reshape(self.shape)

        number = np.where(count > 0, count, np.nan).reshape(self.shape)
        variance = None if data.variance is None else total(data.variance[used]) / number**2
        return Values(total(data.values[used]) / number, variance, np.zeros(self.shape, bool))

    def at_points(self, value: Array, stdev: Array, noise: Array) -> PointEstimate:
        """Return the values of fields (T, P) in the cells of the data, NaN where far away."""
        return PointEstimate(
            *(np.where(self.inside, one[self.time, self.point], np.nan)
              for one in (value, stdev, noise))
        )  # fmt: skip
