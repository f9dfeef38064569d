"""Interpolation from data at scattered points and times, perhaps those of a grid among them.

Data are put into groups of equal width in time, from each of which an estimate takes the nearest of
each quadrant: `Selection.own` of the group that it lies in, `Selection.other` of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array, Interpolated, InterpolationData, Selection, Targets
from pyvda.fields import places as placed
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.interpolation import expect_definite
from pyvda.fields.places import Places
from pyvda.progress import ProgressReport, silent

_QUERIES = 2_000_000  # at once; a query takes some 100 bytes
NO_TRACK = -1


class ScatteredRows(NamedTuple):
    """Data, a row each.

    Attributes
    ----------
    places : Places
    days, value, noise : (N,)
        Time; departure from the mean; variance of its error.
    track : (N,) of int
        Number of the pass; NO_TRACK for data whose errors are independent.
    velocity : (N, 3)
        km a day; (N, 0) where nothing moves.
    """

    places: Places
    days: Array
    value: Array
    noise: Array
    track: Array
    velocity: Array

    def at(self, chosen: Array | slice) -> ScatteredRows:
        """Return some of the rows, by index or mask."""
        return ScatteredRows(self.places.at(chosen), *(column[chosen] for column in self[1:]))


def joined(first: ScatteredRows, second: ScatteredRows) -> ScatteredRows:
    """Return the rows of both."""
    columns = zip(first[1:], second[1:], strict=True)
    return ScatteredRows(placed.joined(first.places, second.places), *map(np.concatenate, columns))


def interpolated_at(
    engine: Engine,
    rows: ScatteredRows,
    places: Places,
    point: Array,
    days: Array,
    covariance: SpaceTimeCovariance,
    selection: Selection,
    width: float,
    report: ProgressReport = silent,
) -> Interpolated:
    """Return the estimates at points and times, (Q,).

    Where the places have a standard deviation of their own, the covariance is that of departures
    divided by it, and so is the error that data of a pass share.

    Parameters
    ----------
    engine : Engine
    rows : ScatteredRows
    places : Places
        P of them.
    point : (Q,) of int
        Index among `places`.
    days : (Q,)
    covariance : SpaceTimeCovariance
    selection : Selection
    width : float
        Days of a group; an estimate lies in the middle of its own.
    report : ProgressReport

    Raises
    ------
    InputError
        The covariance is not positive definite to rounding.
    """
    found = np.full((4, len(point)), np.nan)
    both = placed.joined(places, rows.places)
    local, rows = places.deviations()[point], scaled(rows)
    asked = both.at(np.arange(len(places)))
    rows = rows._replace(places=both.at(np.arange(len(places), len(both))))
    rows = rows.at(np.argsort(rows.days, kind="stable"))
    order = np.argsort(days, kind="stable")
    start = days[order[0]] - width / 2 if len(days) else 0.0
    for first in range(0, len(order), _QUERIES):
        chosen = order[first : first + _QUERIES]
        chosen = chosen[np.lexsort((days[chosen], point[chosen]))]
        low, high = days[chosen].min() - selection.days, days[chosen].max() + selection.days
        near = rows.at(slice(*np.searchsorted(rows.days, (low - width, high + width))))
        data, lowest = _grouped(near, start, width)
        group = np.floor((days[chosen] - start) / width).astype(int) - lowest
        inside = (group >= 0) & (group < len(data.group_time))
        targets = Targets(
            np.ascontiguousarray(asked.position), np.ascontiguousarray(asked.map), point[chosen],
            np.ascontiguousarray(days[chosen], float), np.where(inside, group, -1),
        )  # fmt: skip
        parts = engine.optimal_interpolation(
            data, targets, selection, covariance.rows(),
            (covariance.track_variance, covariance.track_km),
        )  # fmt: skip
        expect_definite(parts)
        found[:, chosen] = parts
        report(min(first + _QUERIES, len(order)), len(order), "optimal interpolation")
    value, variance, km, lag = found
    return Interpolated(value * local, variance * local**2, km, lag)


def scaled(rows: ScatteredRows) -> ScatteredRows:
    """Return departures and errors over the standard deviation of the field around each datum."""
    local = rows.places.deviations()
    return rows._replace(value=rows.value / local, noise=rows.noise / local**2)


def _grouped(rows: ScatteredRows, start: float, width: float) -> tuple[InterpolationData, int]:
    """Return sorted rows as the data of an engine, and the number of the first group."""
    group = np.floor((rows.days - start) / width).astype(int)
    lowest = int(group[0]) if len(group) else 0
    count = int(group[-1]) - lowest + 1 if len(group) else 0
    first = np.searchsorted(group - lowest, np.arange(count + 1))
    # Data without a pass have a number of their own each.
    alone = rows.track.max(initial=0) + 1 + np.arange(len(rows.track))
    track = np.where(rows.track == NO_TRACK, alone, rows.track)
    data = InterpolationData(
        np.ascontiguousarray(rows.places.position), np.ascontiguousarray(rows.places.map),
        rows.places.scale, np.ascontiguousarray(rows.days, float), rows.value, rows.noise, track,
        np.zeros(len(track), bool), first, start + width * (lowest + 0.5 + np.arange(count)),
        np.ascontiguousarray(rows.velocity) if rows.velocity.size else None,
    )  # fmt: skip
    return data, lowest
