"""Scores against loops and against SciPy's bootstrap."""

import json

import numpy as np
import pytest
import scipy.stats

from pyvda.scores import (
    Score,
    bootstrap_interval,
    four_dvar_score,
    ode_score,
    r_score,
    score_table,
    summarise,
)

RNG = np.random.default_rng(11)
W, T, D = 4, 9, 3
TRUTH, ANALYSIS, FORECAST = RNG.normal(size=(3, W, T, D))


def test_r_score_is_the_mean_squared_error():
    expected = [
        sum((ANALYSIS[w, t, d] - TRUTH[w, t, d]) ** 2 for t in range(T) for d in range(D)) / (T * D)
        for w in range(W)
    ]
    np.testing.assert_allclose(r_score(ANALYSIS, TRUTH), expected, rtol=1e-14)


def test_r_score_of_some_steps():
    shifted = TRUTH.copy()
    shifted[:, 2:7] += 2.0
    shifted[:, :2] += 100.0
    np.testing.assert_allclose(r_score(shifted, TRUTH, steps=slice(2, 7)), 4.0)
    with pytest.raises(ValueError, match="no steps are left"):
        r_score(shifted, TRUTH, steps=slice(20, 180))


def test_ode_score_leaves_out_the_first_step():
    forecast = TRUTH + 0.5
    forecast[:, 0] = 1e6
    np.testing.assert_allclose(ode_score(TRUTH, forecast), 0.25)


def test_four_dvar_score_is_the_cost():
    mask = (RNG.random((W, T, D)) < 0.4) * RNG.uniform(0.5, 2.0, (W, T, D))
    mask[2] = 0.0
    observation = np.where(mask > 0, RNG.normal(size=(W, T, D)), np.nan)
    found = four_dvar_score(ANALYSIS, observation, mask, FORECAST, lambda1=0.3, lambda2=0.7)
    for w in range(W):
        points = np.argwhere(mask[w] > 0)
        misfit = [
            mask[w, t, d] * (ANALYSIS[w, t, d] - observation[w, t, d]) ** 2 for t, d in points
        ]
        residual = ((ANALYSIS[w, 1:] - FORECAST[w, 1:]) ** 2).sum() / ((T - 1) * D)
        expected = 0.3 * (np.mean(misfit) if misfit else 0.0) + 0.7 * residual
        assert found[w] == pytest.approx(expected, rel=1e-13)


def test_four_dvar_score_weights_by_default():
    mask = np.ones((W, T, D))
    found = four_dvar_score(TRUTH + 1.0, TRUTH, mask, TRUTH + 3.0)
    np.testing.assert_allclose(found, 0.01 + 4.0)


def test_interval_agrees_with_scipy():
    values = RNG.exponential(size=300)
    low, high = bootstrap_interval(values, resamples=20_000, level=0.9)
    other = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    width = other.high - other.low
    assert low == pytest.approx(other.low, abs=0.05 * width)
    assert high == pytest.approx(other.high, abs=0.05 * width)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


@pytest.mark.parametrize("block", [333, 4_000_000])
@pytest.mark.parametrize("count", [2, 50, 256])
def test_interval_is_that_of_the_published_tables(monkeypatch, count, block):
    """Quantiles of means over the windows that the generator draws, in blocks or at once."""
    values = RNG.normal(size=count)
    drawn = np.random.default_rng(7).integers(count, size=(2000, count))
    expected = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    monkeypatch.setattr("pyvda.scores._BLOCK", block)
    np.testing.assert_allclose(bootstrap_interval(values, seed=7), expected, rtol=1e-13)


def test_interval_of_one_window_is_its_value():
    assert bootstrap_interval(np.array([2.5])) == (2.5, 2.5)


def test_interval_arguments():
    for values in (np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="expected"):
            bootstrap_interval(values)
    with pytest.raises(ValueError, match="the level is 95"):
        bootstrap_interval(np.ones(3), level=95)


@pytest.mark.filterwarnings("error")
def test_windows_that_are_not_finite_are_counted():
    analysis = TRUTH + 1.0
    analysis[1, 3, 0] = np.nan
    analysis[2, 0, 0] = 1e200  # its square overflows
    score = summarise(r_score(analysis, TRUTH))
    assert score == Score(1.0, 1.0, 1.0, 1.0, n=2, not_finite=2)
    assert str(score) == "1 [1, 1] (2 of 4 windows excluded: not finite)"
    assert "without" not in str(summarise(np.ones(3)))
    nothing = summarise(np.full(3, np.nan))
    assert nothing.n == 0
    assert nothing.not_finite == 3
    assert np.isnan(nothing.mean)


def test_table_is_valid_json():
    table = score_table({"a": RNG.normal(size=20), "b": np.array([np.nan, np.inf])}, seed=3)
    again = json.loads(json.dumps(table, allow_nan=False))
    assert again == table
    assert again["seed"] == 3
    assert again["scores"]["b"] == dict(
        mean=None, low=None, high=None, median=None, n=0, not_finite=2
    )
    a = again["scores"]["a"]
    assert a["low"] < a["mean"] < a["high"]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"truth has shape \(4, 8, 3\), expected \(4, 9, 3\)"):
        r_score(ANALYSIS, TRUTH[:, 1:])
    with pytest.raises(ValueError, match=r"truth has shape \(9, 3\), expected \(window"):
        ode_score(TRUTH[0], FORECAST[0])
