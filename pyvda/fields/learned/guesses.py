"""The interpolations that a stack weighs beside the first guess.

One uses data of the same time alone. The other estimates the departure from a mean that is constant
in time, with a slow and wide factor for the seasons in its covariance: the mean by pixel and season
of the first guess is made of few data at each pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyvda.engine.data import Array
from pyvda.fields.covariance import Factor, SpaceTimeCovariance
from pyvda.fields.learned.first_guess import FirstGuess
from pyvda.fields.mean import YEAR

OTHERS = 2
"""Interpolations beside the first guess."""
CHANNELS = 2 * OTHERS + 3
"""Values and standard deviations of the others, and what else is known; see `others`."""


def others(
    first: FirstGuess, above: Array, variance: float, local: Array, times: Array, points: Array,
    near: Array,
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

    Returns
    -------
    (CHANNELS, n)
        Two values and two standard deviations, and logarithms of 1 plus the distances of the
        nearest data, of any and of the same time, over a tenth of the domain, and of `local`.
    """
    alone = replace(first, selection=first.selection._replace(other=0, days=0.0))
    around = replace(
        first, anomaly=first.anomaly + above, covariance=_with_seasons(first, variance)
    )
    value, spread, km, _ = alone.at(times, points)
    level, its_spread, *_ = around.at(times, points)
    unit = max(first.places.extent() / 10, 1e-9)
    distances = [np.log1p(_finite(one, 10 * unit) / unit) for one in (near, km)]
    deviations = np.sqrt(np.maximum([spread, its_spread], 0.0))
    values = value, level - above[times, points]
    return np.stack([*values, *deviations, *distances, np.log(local)])


def _with_seasons(first: FirstGuess, variance: float) -> SpaceTimeCovariance:
    slow = Factor(variance=variance, km=max(first.places.extent() / 2, 1e-9), days=YEAR)
    return first.covariance.model_copy(update={"factors": (*first.covariance.factors, slow)})


def _finite(km: Array, most: float) -> Array:
    return np.where(np.isfinite(km), np.minimum(km, most), most)
