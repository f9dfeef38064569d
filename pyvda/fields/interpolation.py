"""Anomalies on the sea as the data of an engine, and their interpolation in blocks of times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array, Interpolated, InterpolationData, Selection, Targets
from pyvda.errors import InputError
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.places import Places

_QUERIES = 2_000_000  # at once; a query takes some 100 bytes


def field_data(
    anomaly: Array,
    noise: Array,
    days: Array,
    places: Places,
    hidden: Array | None = None,
    velocity: Array | None = None,
) -> InterpolationData:
    """Return the data of a field, a group for each time.

    Parameters
    ----------
    anomaly : (T, P)
        NaN where nothing was observed.
    noise : (T, P)
        Variance of the error of each value.
    days : (T,)
    places : Places
    hidden : (T, P) of bool, optional
        What estimates of the same time do not use.
    velocity : (P, 3), optional
        km a day.
    """
    t, p = np.nonzero(np.isfinite(anomaly))
    first = np.searchsorted(t, np.arange(len(days) + 1))
    return InterpolationData(
        np.ascontiguousarray(places.position[p]), np.ascontiguousarray(places.map[p]),
        places.scale, np.ascontiguousarray(days[t], float), anomaly[t, p], noise[t, p],
        np.zeros(len(t)), np.zeros(len(t), bool) if hidden is None else hidden[t, p], first,
        np.ascontiguousarray(days, float), None if velocity is None else velocity[p],
    )  # fmt: skip


def targets(places: Places, times: Array, points: Array, days: Array) -> Targets:
    """Return queries at pairs of time and point, by index, sorted by point."""
    order = np.lexsort((times, points))
    times, points = times[order], points[order]
    return Targets(
        np.ascontiguousarray(places.position), np.ascontiguousarray(places.map), points,
        np.ascontiguousarray(days[times], float), times,
    )  # fmt: skip


def interpolated(
    engine: Engine,
    anomaly: Array,
    noise: Array,
    days: Array,
    places: Places,
    covariance: SpaceTimeCovariance,
    selection: Selection,
    where: Array | None = None,
    velocity: Array | None = None,
) -> Iterator[tuple[slice, Interpolated]]:
    """Yield the estimates of block after block of times, (t, P) each.

    NaN at points and times that are not among `where` (T, P); by default all are.

    A block takes the data within `selection.days` of the times that are asked for, so that the
    result does not depend on the blocks.

    Raises
    ------
    InputError
        The covariance is not positive definite to rounding.
    """
    count, size = anomaly.shape
    length = max(1, min(count, _QUERIES // max(1, size)))
    for start in range(0, count, length):
        block = slice(start, min(start + length, count))
        parts = np.full((4, block.stop - block.start, size), np.nan)
        here = days[block] if where is None else days[block][where[block].any(1)]
        if not here.size:
            yield block, Interpolated(*parts)
            continue
        near = np.flatnonzero(
            (days >= here[0] - selection.days) & (days <= here[-1] + selection.days)
        )
        data = field_data(anomaly[near], noise[near], days[near], places, velocity=velocity)
        if where is None:
            chosen = np.indices((block.stop - block.start, size)).reshape(2, -1)
        else:
            chosen = np.array(np.nonzero(where[block]))
        chosen = chosen[:, np.lexsort(chosen)]
        times, points = chosen
        asked = targets(places, times + start - near[0], points, days[near])
        found = engine.optimal_interpolation(
            data, asked, selection, covariance.rows(),
            (covariance.track_variance, covariance.track_km),
        )  # fmt: skip
        expect_definite(found)
        parts[:, times, points] = found
        yield block, Interpolated(*parts)


def expect_definite(found: Interpolated) -> None:
    """Raise InputError where a covariance was not positive definite."""
    lost = int((~np.isfinite(found.value)).sum())
    if lost:
        raise InputError(
            f"the covariance of the data is not positive definite at {lost} points; give the "
            "covariance a larger nugget, or functions that are less smooth than gaussian"
        )
