"""The first guess of networks: optimal interpolation of a variable, at chosen points and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array, Selection
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.interpolation import expect_definite, field_data, targets
from pyvda.fields.places import Places


@dataclass(frozen=True)
class FirstGuess:
    """A variable's data and their covariance.

    Attributes
    ----------
    engine : Engine
    kind : {"oi", "mean"}
        The mean is a guess of 0 with the variance of the field.
    anomaly, noise : (T, P)
        Departures from the mean, NaN where nothing was observed, and variances of their errors.
    days : (T,)
    selection : Selection
    places : Places
    covariance : SpaceTimeCovariance
    """

    engine: Engine
    kind: Literal["oi", "mean"]
    anomaly: Array
    noise: Array
    days: Array
    selection: Selection
    places: Places
    covariance: SpaceTimeCovariance

    def at(self, times: Array, points: Array) -> Array:
        """Return value, variance, and distance and lag of the datum with the largest covariance.

        Parameters
        ----------
        times, points : (n,) of int

        Returns
        -------
        (4, n)
        """
        found = np.full((4, len(times)), np.nan)
        if self.kind == "mean":
            found[0], found[1] = 0.0, self.covariance.variance
            return found
        near = np.zeros(len(self.days), bool)
        for day in np.unique(self.days[times]):
            near |= np.abs(self.days - day) <= self.selection.days
        kept = np.flatnonzero(near)
        number = np.cumsum(near) - 1
        data = field_data(self.anomaly[kept], self.noise[kept], self.days[kept], self.places)
        order = np.lexsort((times, points))
        asked = targets(self.places, number[times], points, self.days[kept])
        estimates = self.engine.optimal_interpolation(
            data, asked, self.selection, self.covariance.rows(),
            (self.covariance.track_variance, self.covariance.track_km),
        )  # fmt: skip
        expect_definite(estimates)
        found[:, order] = estimates
        return found
