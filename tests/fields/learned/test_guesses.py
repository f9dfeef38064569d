"""The other interpolations against a dense Gaussian process."""

from dataclasses import replace

import numpy as np
import pytest
from gappy import COVARIANCE, field

from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.fields.covariance import Factor
from pyvda.fields.field import opened
from pyvda.fields.learned.first_guess import FirstGuess
from pyvda.fields.learned.guesses import CHANNELS, others
from pyvda.fields.local_variance import neighbours
from pyvda.fields.mean import YEAR

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def made(times=3):
    found = opened(field(times=times, ny=3, nx=4, seed=2, land=False)[0])
    anomaly = found.read("sst").values - 15.0
    first = FirstGuess(
        get_engine("torch"), "oi", anomaly, np.full(anomaly.shape, COVARIANCE.nugget), found.days,
        Selection(50, 50, 10.0, np.inf), found.places, COVARIANCE,
    )  # fmt: skip
    count = len(found.places)
    above = 0.5 * np.sin(found.days)[:, None] + 0.1 * np.arange(count)
    return first, above, (np.full(count, 1), np.arange(count))


def dense(first, anomaly, covariance, time, known):
    """Return the estimate of a time at all points from the data of some."""
    t, p = np.nonzero(known)
    where = first.places.position
    km = np.linalg.norm(where[p][:, None] - where[p], axis=-1)
    matrix = covariance(km, first.days[t][:, None] - first.days[t])
    far = np.linalg.norm(where[p][:, None] - where, axis=-1)
    cross = covariance(far, np.abs(first.days[t] - first.days[time])[:, None])
    weights = np.linalg.solve(matrix + COVARIANCE.nugget * np.eye(len(t)), cross)
    return weights.T @ anomaly[t, p], np.sqrt(covariance.variance - (cross * weights).sum(0))


def test_one_is_of_the_same_time_and_one_around_a_constant_mean() -> None:
    first, above, at = made()
    local = np.linspace(0.5, 2.0, len(first.places))
    km = first.at(*at)[2]
    found = others(first, above, 0.4, local, *at, km, neighbours(first.places))
    assert found.shape == (CHANNELS, len(first.places))
    known = np.isfinite(first.anomaly)
    same = known & (np.arange(3) == 1)[:, None]
    value, stdev = dense(first, first.anomaly, COVARIANCE, 1, same)
    np.testing.assert_allclose(found[[0, 2]], [value, stdev], atol=1e-8)
    slow = Factor(variance=0.4, km=first.places.extent() / 2, days=YEAR)
    covariance = COVARIANCE.model_copy(update={"factors": (*COVARIANCE.factors, slow)})
    value, stdev = dense(first, first.anomaly + above, covariance, 1, known)
    np.testing.assert_allclose(found[[1, 3]], [value - above[1], stdev], atol=1e-8)
    np.testing.assert_allclose(np.exp(found[6]), local)


def test_distances_are_finite_where_a_time_has_no_data() -> None:
    first, above, at = made()
    local = np.linspace(0.5, 2.0, len(first.places))
    first.anomaly[1] = np.nan
    found = others(first, above, 0.4, local, *at, first.at(*at)[2], neighbours(first.places))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], 0.0)
    np.testing.assert_allclose(found[2], np.sqrt(COVARIANCE.variance))
    assert (found[5] == np.log(11.0)).all()
    assert (found[4] < found[5]).all()
    # Nothing of this time is known: its cover is that of the prior's data, variances are usual.
    count = len(first.places)
    np.testing.assert_allclose(np.exp(found[[7, 9, 10]]).T, [[5 / count, 1.0, 0.3]] * count)


def test_departures_are_those_within_reach() -> None:
    """Means are drawn to the usual variance by 20 data, to that of the times around by 5."""
    first, above, at = made(times=8)
    first = replace(first, selection=Selection(50, 50, 1.01, np.inf))
    places = first.places
    around = np.arange(len(places))[:, None] // 2 * 2 + [0, 1]  # pairs
    found = np.exp(others(first, above, 0.4, np.ones(len(places)), *at, first.at(*at)[2], around))
    squares = first.anomaly**2 / COVARIANCE.variance
    own, near = squares[1], squares[[0, 2]]
    seen = int(np.isfinite(own).sum())
    np.testing.assert_allclose(found[7], (seen + 5) / len(places))
    usual = (np.nansum(near) + 20) / (np.isfinite(near).sum() + 20)
    for point, pair in enumerate(around):
        mine = near[:, pair][np.isfinite(near[:, pair])]
        expected = (mine.sum() + 5 * usual) / (len(mine) + 5)
        assert found[8, point] == pytest.approx(expected)
    np.testing.assert_allclose(found[9], (np.nansum(own) + 20) / (seen + 20))
    data = first.anomaly[1][np.isfinite(own)] / np.sqrt(COVARIANCE.variance)  # fewer than 20
    np.testing.assert_allclose(found[10], (seen * data.var() + 3 * 0.3) / (seen + 3))
