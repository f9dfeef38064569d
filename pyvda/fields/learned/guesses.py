"""The interpolations that a stack combines with the first guess, and predictors of their errors.

One uses data of the same time alone. The other estimates the departure from a mean that is constant
in time, with a slow and wide factor for the seasons in its covariance: the mean by pixel and season
of the first guess is made of few data at each pixel.

The error variance of an interpolation depends on where data are, and not on their values, but
errors are large where and when the field varies much, and at times with few data, whose data are
often near clouds. So a stack sees squared departures from the mean, too, of the same and of other
times.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.fields.covariance import Factor, SpaceTimeCovariance
from pyvda.fields.learned.first_guess import FirstGuess
from pyvda.fields.mean import YEAR

OTHERS = 2
"""Interpolations beside the first guess."""
CHANNELS = 2 * OTHERS + 7
"""Values and standard deviations of the others, and what else is known; see `others`."""

_OF_A_TIME, _AROUND, _NEAREST = 20.0, 5.0, 3.0  # data of a prior that means are drawn to
_DATA = 20  # nearest data of a time whose variance is taken
_USUAL = 0.3  # of the variance of the field, that of these data where there are none


def others(
    first: FirstGuess, above: Array, variance: float, local: Array, times: Array, points: Array,
    near: Array, around: Array,
) -> Array:  # fmt: skip
    """Return the other interpolations, as departures from the mean of the first guess.

    Parameters
    ----------
    first : FirstGuess
    above : (T, P)
        The mean of the first guess less that which is constant in time.
    variance : float
        Of `above` in the training.
    local : (n,)
        Standard deviation around each of these points over the usual one.
    times, points : (n,) of int
    near : (n,)
        Distance of the datum with the largest covariance, km, as `first` found it.
    around : (P, K) of int
        The nearest points of each, as of a `LocalVariance`.

    Returns
    -------
    (CHANNELS, n)
        Two values and two standard deviations; logarithms of 1 plus the distances of the nearest
        data, of any and of the same time, over a tenth of the domain, and of `local`; and the rows
        of `_of_departures`.
    """
    alone = replace(first, selection=first.selection._replace(other=0, days=0.0))
    yearly = replace(
        first, anomaly=first.anomaly + above, covariance=_with_seasons(first, variance)
    )
    value, spread, km, _ = alone.at(times, points)
    level, its_spread, *_ = yearly.at(times, points)
    unit = max(first.places.extent() / 10, 1e-9)
    distances = [np.log1p(_finite(one, 10 * unit) / unit) for one in (near, km)]
    deviations = np.sqrt(np.maximum([spread, its_spread], 0.0))
    values = value, level - above[times, points]
    squares = _of_departures(first, times, points, around)
    return np.stack([*values, *deviations, *distances, np.log(local), *squares])


def _of_departures(first: FirstGuess, times: Array, points: Array, around: Array) -> Array:
    """Return logarithms of local variances, estimated from the times around, (4, n).

    The share of the points that has a datum of the same time; and over the variance of the field
    the mean square of the departures of the other times within reach at the nearest points, that
    of the data of the same time, and the variance of the nearest ones of these.
    """
    unit = first.covariance.variance
    found = np.empty((4, len(times)))
    for time in np.unique(times):
        asked = np.flatnonzero(times == time)
        at = points[asked]
        own = first.anomaly[time] / np.sqrt(unit)
        data = np.flatnonzero(np.isfinite(own))
        near = np.abs(first.days - first.days[time]) <= first.selection.days
        near[time] = False
        others = first.anomaly[near]
        squares, counts = np.nansum(others**2, 0) / unit, np.isfinite(others).sum(0)
        usual = (squares.sum() + _OF_A_TIME) / (counts.sum() + _OF_A_TIME)
        shared = around[at]
        nearby = squares[shared].sum(1) + _AROUND * usual
        nearest = np.zeros((len(at), 0))
        if len(data):
            tree = cKDTree(first.places.position[data])
            count = min(_DATA, len(data))
            nearest = own[data][tree.query(first.places.position[at], count)[1].reshape(-1, count)]
        apart = nearest.var(1) * nearest.shape[1] if len(data) else 0.0
        found[:, asked] = np.log(np.stack(np.broadcast_arrays(
            (len(data) + _AROUND) / len(own),
            nearby / (counts[shared].sum(1) + _AROUND),
            ((own[data] ** 2).sum() + _OF_A_TIME) / (len(data) + _OF_A_TIME),
            (apart + _NEAREST * _USUAL) / (nearest.shape[1] + _NEAREST),
        )))  # fmt: skip
    return found


def _with_seasons(first: FirstGuess, variance: float) -> SpaceTimeCovariance:
    slow = Factor(variance=variance, km=max(first.places.extent() / 2, 1e-9), days=YEAR)
    return first.covariance.model_copy(update={"factors": (*first.covariance.factors, slow)})


def _finite(km: Array, most: float) -> Array:
    return np.where(np.isfinite(km), np.minimum(km, most), most)
