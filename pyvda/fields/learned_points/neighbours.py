"""The data around a target, as a network sees them.

Near is what is near in space and time, both in units of their own: the distance at which the
correlation of the field is one half, and the width of a group of data in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.places import Places
from pyvda.fields.scattered import ScatteredRows

FEATURES = 6
"""Numbers of a datum beside its value."""


class Units(NamedTuple):
    """Units of distance and time.

    Attributes
    ----------
    km, days : float
    """

    km: float
    days: float


class Neighbours(NamedTuple):
    """The nearest data of each of n targets, K of them; fewer where there are no more.

    Attributes
    ----------
    features : (n, K, FEATURES)
        Offsets to the east, to the north (or along x and y) and in time, distance and lag, in their
        units; correlation with the target.
    value : (n, K)
        Departure from the mean, 0 where there is no datum.
    distance : (n, K)
        In space and time, in their units; infinite where there is no datum.
    """

    features: Array
    value: Array
    distance: Array


def units_of(covariance: SpaceTimeCovariance, width: float, extent: float) -> Units:
    """Return the units of a covariance and of groups of data, `width` days wide.

    The distance is at most the extent of the data, km.
    """

    def above(km: float) -> float:
        return float(covariance(np.array([km]), np.zeros(1))[0]) - covariance.variance / 2

    most = max(extent, 1e-6)
    return Units(most if above(most) >= 0 else float(brentq(above, 0.0, most)), width)


def neighbours_of(
    rows: ScatteredRows,
    places: Places,
    days: Array,
    covariance: SpaceTimeCovariance,
    units: Units,
    count: int,
) -> Neighbours:
    """Return the nearest data of targets.

    Parameters
    ----------
    rows : ScatteredRows
        Data.
    places : Places
        Of the n targets.
    days : (n,)
        Their times.
    covariance : SpaceTimeCovariance
    units : Units
    count : int
        K.
    """

    def scaled(position: Array, when: Array) -> Array:
        return np.column_stack([position / units.km, when / units.days])

    tree = cKDTree(scaled(rows.places.position, rows.days))
    distance, found = tree.query(scaled(places.position, days), np.arange(1, count + 1))
    there = np.isfinite(distance)
    found = np.where(there, found, 0)
    apart = (rows.places.position[found] - places.position[:, None]) / units.km
    later = (rows.days[found] - days[:, None]) / units.days
    along = [np.einsum("nkd,nd->nk", apart, one) for one in places.directions()]
    far = np.linalg.norm(apart, axis=-1)
    correlation = covariance(far * units.km, later * units.days) / covariance.variance
    features = np.stack([*along, later, far, np.abs(later), correlation], -1)
    return Neighbours(
        np.where(there[..., None], features, 0.0), np.where(there, rows.value[found], 0.0), distance
    )
