import numpy as np
import pytest
from gappy import COVARIANCE, field

from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.fields.field import opened
from pyvda.fields.learned.first_guess import FirstGuess

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def guess(times, seed=2, kind="oi"):
    found = opened(field(times=times, ny=3, nx=4, seed=seed, land=False)[0])
    anomaly = found.read("sst").values - 15.0
    return FirstGuess(
        get_engine("torch"), kind, anomaly, np.full(anomaly.shape, COVARIANCE.nugget), found.days,
        Selection(8, 1, 10.0, np.inf), found.places, COVARIANCE,
    )  # fmt: skip


def test_queries_may_come_in_any_order() -> None:
    made = guess(4)
    times, points = np.array([3, 0, 2, 0]), np.array([1, 5, 0, 1])
    one_by_one = [made.at(times[[i]], points[[i]])[:, 0] for i in range(4)]
    np.testing.assert_allclose(made.at(times, points).T, one_by_one, atol=1e-12)


def test_of_one_time_it_is_the_dense_gaussian_process() -> None:
    made = guess(1)
    anomaly = made.anomaly[0]
    points = np.arange(len(anomaly))
    value, variance, *_ = made.at(np.zeros(len(points), int), points)
    known = np.flatnonzero(np.isfinite(anomaly))
    km = np.linalg.norm(made.places.position[:, None] - made.places.position, axis=-1)
    whole = COVARIANCE(km, np.zeros_like(km))
    matrix = whole[np.ix_(known, known)] + COVARIANCE.nugget * np.eye(len(known))
    weights = np.linalg.solve(matrix, whole[known])
    np.testing.assert_allclose(value, weights.T @ anomaly[known], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        variance, COVARIANCE.variance - (whole[known] * weights).sum(0), rtol=1e-8
    )


def test_the_mean_has_the_variance_of_the_field() -> None:
    value, variance, *_ = guess(3, kind="mean").at(np.array([1, 2]), np.array([0, 3]))
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_allclose(variance, COVARIANCE.variance)
