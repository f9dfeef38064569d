import numpy as np

from pyvda.fields.mean import YEAR, seasonal_mean


def seasonal(times=300, points=7, seed=0):
    rng = np.random.default_rng(seed)
    days = np.sort(rng.uniform(0, 3 * YEAR, times))
    level = rng.normal(size=points)
    truth = level + np.cos(2 * np.pi * days / YEAR)[:, None] * (1 + 0.3 * rng.normal(size=points))
    values = np.where(rng.uniform(size=truth.shape) < 0.3, truth, np.nan)
    return days, truth, values


def test_a_season_is_found_from_data_with_gaps() -> None:
    days, truth, values = seasonal()
    mean = seasonal_mean(values, days, 20.0).at(days)
    assert np.sqrt(((mean - truth) ** 2).mean()) < 0.15
    assert np.sqrt(((mean - truth) ** 2).mean()) < 0.3 * truth.std()


def test_without_season_it_is_the_mean_of_each_point() -> None:
    days, _, values = seasonal()
    mean = seasonal_mean(values, days, None).at(days)
    np.testing.assert_allclose(mean[0], mean[-1])
    np.testing.assert_allclose(mean[0], np.nanmean(values, 0), atol=0.05)


def test_a_mean_without_the_own_value_is_that_of_the_others() -> None:
    days, _, values = seasonal(times=60, points=80)
    t, p = np.argwhere(np.isfinite(values))[10]
    found = seasonal_mean(values, days, 20.0).without_own(days[[t]], np.array([p]), values[[t], p])
    others = values.copy()
    others[t, p] = np.nan
    # The season of the whole field keeps the value, on which it hardly depends.
    np.testing.assert_allclose(found, seasonal_mean(others, days, 20.0).at(days)[t, p], atol=0.02)
    assert abs(found - seasonal_mean(values, days, 20.0).at(days)[t, p]) > 1e-4


def test_a_mean_without_a_value_at_other_times_is_that_of_the_others() -> None:
    days, _, values = seasonal(times=60, points=80)
    t, p = np.argwhere(np.isfinite(values))[10]
    values[t, p] += 4.0
    others = values.copy()
    others[t, p] = np.nan
    for width in (20.0, None):
        mean = seasonal_mean(values, days, width)
        own = days[[t]], np.array([p]), values[[t], p]
        found = mean.without_own(*own, days[:, None])
        expected = seasonal_mean(others, days, width).at(days)[:, [p]]
        np.testing.assert_allclose(found, expected, atol=0.02)
        assert np.abs(mean.at(days)[:, [p]] - expected).max() > 0.03
        np.testing.assert_array_equal(found[t], mean.without_own(*own))


def test_a_point_without_data_takes_the_season() -> None:
    days, _, values = seasonal()
    values[:, 2] = np.nan
    mean = seasonal_mean(values, days, 20.0).at(days)
    assert np.corrcoef(mean[:, 2], np.cos(2 * np.pi * days / YEAR))[0, 1] > 0.95
