"""Complete fields that a network for data at points is compared with, in place of hidden data.

The first draw has the data themselves. Another one observes the fields at other times: all data are
later by the same random time, those after the last one are put before the first, and the errors are
the data's own, with another sign for a random half of the passes. So errors have the size of those
of the data, and what those of a pass have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.fields.places import Places
from pyvda.fields.scattered import ScatteredRows

_AROUND = 4  # points of the grid that a value between them follows from


@dataclass(frozen=True)
class Truth:
    """Departures of complete fields from the mean.

    Attributes
    ----------
    places : Places
        Of the P points of the grid.
    days : (T,)
    step : float
        Days between two times.
    values : (T, P)
    """

    places: Places
    days: Array
    step: float
    values: Array

    @property
    def first(self) -> float:
        """Start of the span of the fields, half a step before the first, days."""
        return float(self.days[0]) - self.step / 2

    @property
    def span(self) -> float:
        """Days from there to half a step after the last one."""
        return float(self.days[-1] - self.days[0]) + self.step

    def within(self, rows: ScatteredRows) -> ScatteredRows:
        """Return the data within the span of the fields."""
        return rows.at((rows.days >= self.first) & (rows.days < self.first + self.span))

    def at(self, places: Places, days: Array) -> Array:
        """Return the fields at places and times, (n,).

        Linear between times; in space the mean of the nearest points, with weights of the inverse
        squares of their distances.
        """
        count = min(_AROUND, len(self.places))
        km, near = cKDTree(self.places.position).query(places.position, np.arange(1, count + 1))
        weight = 1 / np.maximum(km, 1e-6) ** 2
        weight /= weight.sum(1, keepdims=True)
        after = np.clip(np.searchsorted(self.days, days), 1, max(1, len(self.days) - 1))
        before, after = after - 1, np.minimum(after, len(self.days) - 1)
        length = np.maximum(self.days[after] - self.days[before], 1e-12)
        part = np.clip((days - self.days[before]) / length, 0, 1)
        earlier, later = ((weight * self.values[t[:, None], near]).sum(1) for t in (before, after))
        return np.asarray((1 - part) * earlier + part * later)

    def observed_later(self, rows: ScatteredRows, random: np.random.Generator) -> ScatteredRows:
        """Return data of the fields as those that there are, but at other times.

        Parameters
        ----------
        rows : ScatteredRows
            Data within the span of the fields, as departures from the mean.
        random : Generator
        """
        later = random.uniform(self.step, max(self.step, self.span - self.step))
        days = self.first + np.mod(rows.days - self.first + later, self.span)
        track = np.unique(rows.track, return_inverse=True)[1]
        sign = random.choice([-1.0, 1.0], track.max(initial=0) + 1)[track]
        error = rows.value - self.at(rows.places, rows.days)
        return rows._replace(days=days, value=self.at(rows.places, days) + sign * error)
