"""Positions on the sphere: chords against great circles."""

import numpy as np

from pyvda.operators.sphere import EARTH_RADIUS, position


def test_chords_are_those_of_great_circles() -> None:
    rng = np.random.default_rng(2)
    latitude, longitude = rng.uniform(-90, 90, (2, 50)), rng.uniform(-180, 360, (2, 50))
    a, b = position(latitude, longitude)
    np.testing.assert_allclose(np.linalg.norm(a, axis=-1), EARTH_RADIUS)
    # The haversine formula gives half the angle between two points.
    (p, q), (s, t) = np.radians(latitude), np.radians(longitude)
    half = np.sqrt(np.sin((p - q) / 2) ** 2 + np.cos(p) * np.cos(q) * np.sin((s - t) / 2) ** 2)
    np.testing.assert_allclose(np.linalg.norm(a - b, axis=-1), 2 * EARTH_RADIUS * half)
