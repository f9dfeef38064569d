import numpy as np
import pytest
import scipy.stats
from gappy import COVARIANCE, varying, worst_slope

from pyvda.errors import InputError
from pyvda.fields import likelihood
from pyvda.fields.covariance import Factor, SpaceTimeCovariance
from pyvda.fields.likelihood import fit_by_likelihood
from pyvda.fields.places import on_plane
from pyvda.fields.scattered import ScatteredRows


def drawn(count=700, seed=0, track_variance=0.0):
    """Return data at random places and times, drawn from COVARIANCE and errors of passes."""
    rng = np.random.default_rng(seed)
    places = on_plane(*(400 * rng.uniform(size=(2, count))))
    days = np.sort(rng.uniform(0, 20, count))
    km = np.linalg.norm(places.position[:, None] - places.position, axis=-1)
    matrix = COVARIANCE(km, days[:, None] - days) + COVARIANCE.nugget * np.eye(count)
    track = np.arange(count) // 10
    value = np.linalg.cholesky(matrix) @ rng.normal(size=count)
    value += np.sqrt(track_variance) * rng.normal(size=count // 10 + 1)[track]
    return ScatteredRows(places, days, value, np.zeros(count), track, np.zeros((count, 0)))


def test_a_fit_is_as_likely_as_the_truth() -> None:
    rows = drawn()
    fit = fit_by_likelihood(rows, 1.0, kinds=[("exponential", "exponential")] * 2, iterations=15)
    assert 0.6 < fit.covariance.variance / COVARIANCE.variance < 1.6
    assert 0.8 < fit.calibration < 1.2
    lags = np.array([[30.0, 0.0], [100.0, 0.0], [0.0, 2.0], [60.0, 3.0]])
    found, true = (c(lags[:, 0], lags[:, 1]) for c in (fit.covariance, COVARIANCE))
    np.testing.assert_allclose(found, true, atol=0.25 * COVARIANCE.variance)


def test_errors_that_a_pass_shares_are_found() -> None:
    fit = fit_by_likelihood(
        drawn(track_variance=0.5), 1.0, kinds=[("exponential", "exponential")], iterations=15
    )
    assert 0.2 < fit.covariance.track_variance < 1.2
    alone = fit_by_likelihood(drawn(), 1.0, tracks=False, iterations=1)
    assert alone.covariance.track_variance == 0


@pytest.mark.parametrize("tracks", [True, False])
def test_the_gradient_is_that_of_differences(monkeypatch, tracks) -> None:
    monkeypatch.setattr(likelihood, "_SETS", 5)
    kinds = [("exponential", "gaussian"), ("matern52", "matern32")]
    rows = varying(drawn(count=100))
    worst = worst_slope(
        monkeypatch, likelihood, lambda: fit_by_likelihood(rows, 1.0, kinds=kinds, tracks=tracks)
    )
    assert worst < 1e-6


def test_the_gradient_is_that_of_a_density_of_scipy() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 300, (40, 2)), rng.normal(size=40)
    km = np.linalg.norm(x[:, None] - x, axis=-1)

    def density(logs):
        nugget, variance, length = np.array([0.3, 0.8, 60.0]) * np.exp(logs)
        s = np.sqrt(3) * km / length
        matrix = variance * (1 + s) * np.exp(-s) + nugget * np.eye(40)
        return scipy.stats.multivariate_normal.logpdf(y, cov=matrix)

    slopes = [(density(small) - density(-small)) / 2e-5 for small in 1e-5 * np.eye(3)]
    covariance = SpaceTimeCovariance(
        factors=(Factor(variance=0.8, km=60.0, space="matern32"),), nugget=0.3
    )
    none = np.zeros((1, 40, 40))
    inverse, _ = likelihood._solved(covariance, km[None], none, none, np.full((1, 40), 0.3))
    solved = inverse[0] @ y
    weight = 0.5 * (inverse - solved[:, None] * solved)
    unit = np.ones((1, 40))
    found = likelihood.derivatives_of(covariance, weight, km[None], none, none, unit, False)
    np.testing.assert_allclose(-found[:3], slopes, rtol=1e-6)
    assert found[3] == 0  # of an infinite time


def test_too_few_or_equal_data() -> None:
    rows = drawn(count=50)
    with pytest.raises(InputError, match="expected at least 40"):
        fit_by_likelihood(rows.at(slice(0, 30)), 1.0)
    with pytest.raises(InputError, match="do not differ"):
        fit_by_likelihood(rows._replace(value=np.ones(50)), 1.0)
