"""Points of latitude and longitude in space, whose chords are their distances."""

from __future__ import annotations

import numpy as np

from pyvda.operators.covariance import Array

EARTH_RADIUS = 6371.0  # km


def position(latitude: Array, longitude: Array) -> Array:
    """Return the positions (..., 3) in km of points (...) given in degrees.

    >>> position(np.array([0.0, 90.0]), np.array([90.0, 10.0])).round(6) + 0.0
    array([[   0., 6371.,    0.],
           [   0.,    0., 6371.]])
    """
    phi, lam = np.radians(latitude), np.radians(longitude)
    unit = [np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)]
    return np.asarray(EARTH_RADIUS * np.stack(unit, axis=-1))
