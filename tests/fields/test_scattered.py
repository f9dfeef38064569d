from dataclasses import replace

import numpy as np
import pytest
from gappy import COVARIANCE, tracks, varying

from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.fields import scattered
from pyvda.fields.places import on_sphere
from pyvda.fields.points import read
from pyvda.fields.scattered import ScatteredRows, interpolated_at


def problem():
    points = read(tracks())
    value = points.values["sst"].values - 15.0
    days = points.days(np.datetime64("2020-03-01"))
    still = np.zeros((len(value), 0))
    return ScatteredRows(points.places, days, value, np.full(len(value), 0.02), points.track, still)


def test_the_result_does_not_depend_on_the_blocks(monkeypatch) -> None:
    rows = problem()
    asked = on_sphere(np.linspace(40, 40.7, 8), np.linspace(5, 6, 8))
    point, days = np.tile(np.arange(8), 5), np.repeat(np.arange(5) + 0.5, 8)

    def found():
        return interpolated_at(get_engine("torch"), rows, asked, point, days, COVARIANCE,
                               Selection(3, 1, 2.0, np.inf), 1.0)  # fmt: skip

    whole = found()
    monkeypatch.setattr(scattered, "_QUERIES", 7)
    np.testing.assert_array_equal(found(), whole)


def test_points_across_the_date_line_are_those_elsewhere() -> None:
    rows = problem()
    asked = on_sphere(np.array([40.2, 40.5]), np.array([5.3, 5.9]))
    shift = 180 - 5.6

    def found(places, of_rows):
        return interpolated_at(get_engine("torch"), of_rows, places, np.arange(2), np.full(2, 2.0),
                               COVARIANCE, Selection(4, 2, 3.0, np.inf), 1.0)  # fmt: skip

    turned = [
        on_sphere(p.map[:, 1], (p.map[:, 0] + shift + 180) % 360 - 180)
        for p in (asked, rows.places)
    ]
    assert np.ptp(turned[1].map[:, 0]) < 3
    np.testing.assert_allclose(
        found(turned[0], rows._replace(places=turned[1])), found(asked, rows), atol=1e-9
    )


def test_a_field_that_varies_more_here_than_there_against_a_dense_solve() -> None:
    rows = varying(problem())
    asked = replace(on_sphere(np.linspace(40, 40.7, 3), np.linspace(5, 6, 3)),
                    deviation=np.array([0.4, 1.0, 3.0]))  # fmt: skip
    found = interpolated_at(
        get_engine("torch"), rows, asked, np.arange(3), np.full(3, 2.0), COVARIANCE,
        Selection(1000, 1000, 100.0, np.inf), 1.0,
    )  # fmt: skip
    of, at = rows.places, asked
    km = np.linalg.norm(of.position[:, None] - of.position, axis=-1)
    matrix = np.outer(of.deviation, of.deviation) * COVARIANCE(km, rows.days[:, None] - rows.days)
    km = np.linalg.norm(at.position[:, None] - of.position, axis=-1)
    cross = np.outer(at.deviation, of.deviation) * COVARIANCE(km, 2.0 - rows.days)
    weights = np.linalg.solve(matrix + np.diag(rows.noise), cross.T).T
    variance = at.deviation**2 * COVARIANCE.variance - (weights * cross).sum(1)
    np.testing.assert_allclose(found.value, weights @ rows.value, atol=1e-8)
    np.testing.assert_allclose(found.variance, variance, atol=1e-8)


@pytest.mark.parametrize("days", [-50.0, 100.0])
def test_without_data_it_is_the_mean(days) -> None:
    found = interpolated_at(
        get_engine("torch"), problem(), on_sphere(np.array([40.0]), np.array([5.0])),
        np.array([0]), np.array([days]), COVARIANCE, Selection(3, 1, 2.0, np.inf), 1.0,
    )  # fmt: skip
    np.testing.assert_allclose([found.value[0], found.variance[0]], [0.0, COVARIANCE.variance])
