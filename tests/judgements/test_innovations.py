"""Runs, equal values and fits of innovations, against brute force and scipy.stats."""

import itertools

import numpy as np
import pytest
import scipy.stats

from pyvda.judgements.innovations import (
    equal_signs,
    equal_values,
    expected_at_points,
    fit,
    innovations,
    too_small,
)
from pyvda.operators.points import Points


def windows(y: np.ndarray, x: np.ndarray | None = None, variance: float | None = 1.0, **more):
    """Return the innovations of observations (W, T), all of one component."""
    y = y[:, :, None]
    x = np.zeros_like(y) if x is None else x[:, :, None]
    return innovations(y, np.ones_like(y), x, variance, **more)


def longest(signs: np.ndarray) -> int:
    return max(len(list(group)) for _, group in itertools.groupby(signs))


def test_runs_of_equal_signs_are_those_of_brute_force() -> None:
    y = np.random.default_rng(0).standard_normal((400, 25)) + np.linspace(0, 3, 400)[:, None]
    found = equal_signs(windows(y))
    expected = [25 * 2.0 ** -longest(row > 0) < 1e-4 for row in y]
    np.testing.assert_array_equal(found, expected)
    assert found[350:].mean() > 0.5


def test_runs_end_with_the_window_and_the_component() -> None:
    y = np.ones((3, 10, 2))  # twenty equal signs in each window, ten in each component
    assert not equal_signs(innovations(y, np.ones_like(y), 0 * y)).any()


def test_independent_errors_make_no_alarm() -> None:
    random = np.random.default_rng(1)
    of = windows(random.standard_normal((20_000, 25)))
    assert equal_signs(of).sum() <= 5  # 2 are expected at most
    assert not equal_values(of).any()
    rounded = windows(random.standard_normal((20_000, 25)).round(1))
    assert equal_values(rounded).sum() <= 6


@pytest.mark.parametrize("variance", [1.0, None])
def test_a_stuck_sensor_is_found(variance: float | None) -> None:
    y = np.random.default_rng(2).standard_normal((40, 25)).round(2)
    y[7, 8:16] = y[7, 8]
    np.testing.assert_array_equal(np.flatnonzero(equal_values(windows(y, variance=variance))), [7])


def test_fit_and_its_limit() -> None:
    random = np.random.default_rng(3)
    # The mean of 25 data as the analysis: σ² = R / 25, and the innovations have 24 degrees.
    y = 2 * random.standard_normal((5000, 25))
    x = np.repeat(y.mean(1, keepdims=True), 25, axis=1)
    of = windows(y, x, variance=4.0, stdev=np.full((5000, 25, 1), 2 / 5))
    ratio, freedom = fit(of)
    np.testing.assert_allclose(freedom, 24)
    assert abs(ratio.mean() - 1) < 4 * np.sqrt(2 / 24 / 5000)
    np.testing.assert_array_equal(
        too_small(ratio, freedom), scipy.stats.chi2.cdf(24 * ratio, 24) < 1 / 2450
    )
    assert too_small(ratio / 4, freedom).mean() > 0.7
    assert not too_small(np.array([1e-9, np.nan]), np.array([7.0, 30.0])).any()


def test_windows_without_data_are_judged_by_nothing() -> None:
    y = np.zeros((2, 5, 1))
    of = innovations(y, y, y, 1.0)
    assert not equal_signs(of).any()
    assert not equal_values(of).any()
    assert np.isnan(fit(of)).all()


def test_without_a_variance_nothing_is_known() -> None:
    ratio, freedom = fit(windows(np.ones((2, 3)), variance=None))
    assert np.isnan([ratio, freedom]).all()


def test_what_is_expected_at_points_is_that_of_a_linear_estimate() -> None:
    """An innovation has the variance R - σ²; σ² lies between that of alike errors and of others."""
    random = np.random.default_rng(4)
    spread = np.sqrt(random.uniform(0.1, 0.5, (1, 3, 2)))
    rows = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, -2.0], [1.0, 1.0]])
    steps, weight, R = np.array([0, 2, 1, 1]), np.array([1.0, 2.0, 0.5, 0.0]), 4.0
    points = Points(steps[None], np.zeros((1, 4)), np.zeros((1, 4)), weight[None], rows[None])
    own = [rows[k] * spread[0, t] for k, t in enumerate(steps[:3])]
    for found, correlation in zip(expected_at_points(points, spread, R), (1.0, 0.0), strict=True):
        C = np.array([[1.0, correlation], [correlation, 1.0]])
        square = np.array([d @ C @ d for d in own])
        assert found == pytest.approx((1 - square * weight[:3] / R).sum())
    large = expected_at_points(points, 100 * spread, R)
    assert large[0] == pytest.approx(0.3)  # a tenth of each
