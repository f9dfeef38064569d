"""The data around a target, against all distances."""

import numpy as np
import pytest
from gappy import COVARIANCE, drawn_passes

from pyvda.fields.learned_points.neighbours import Units, neighbours_of, units_of


def test_the_unit_of_distance_halves_the_correlation() -> None:
    units = units_of(COVARIANCE, 5.0, 1000.0)
    half = float(COVARIANCE(np.float64(units.km), np.float64(0.0)))
    assert half == pytest.approx(0.5 * 1.1)  # of the variances 0.8 and 0.3
    assert units.days == 5.0
    assert units_of(COVARIANCE, 5.0, 3.0).km == 3.0


def test_neighbours_are_the_nearest_in_space_and_time() -> None:
    rows, units = drawn_passes(count=10, each=6), Units(40.0, 3.0)
    asked = np.array([3, 44])
    places, days = rows.places.at(asked), rows.days[asked] + 0.7
    found = neighbours_of(rows, places, days, COVARIANCE, units, 7)
    for n in range(2):
        apart = rows.places.position - places.position[n]
        km, later = np.hypot(apart[:, 0], apart[:, 1]), rows.days - days[n]
        distance = np.hypot(km / 40.0, later / 3.0)
        near = np.argsort(distance)[:7]
        np.testing.assert_allclose(found.distance[n], distance[near])
        np.testing.assert_allclose(found.value[n], rows.value[near])
        expected = [apart[near, 0] / 40, apart[near, 1] / 40, later[near] / 3, km[near] / 40,
                    np.abs(later[near]) / 3, COVARIANCE(km, later)[near] / 1.1]  # fmt: skip
        np.testing.assert_allclose(found.features[n].T, expected, atol=1e-12)


def test_where_there_are_fewer_data_the_others_count_for_nothing() -> None:
    rows = drawn_passes(count=1, each=4)
    found = neighbours_of(rows, rows.places.at([0]), rows.days[:1], COVARIANCE, Units(40.0, 3.0), 6)
    np.testing.assert_array_equal(np.isfinite(found.distance[0]), [True] * 4 + [False] * 2)
    assert not found.value[0, 4:].any()
    assert not found.features[0, 4:].any()
