"""Statistics of innovations against scipy's tests, and a known correlation in time."""

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from pyvda.judgements.innovation_statistics import (
    judged_together,
    mean_with_interval,
    of_components,
    of_innovations,
)


@pytest.mark.parametrize("count", [20, 8])
def test_a_mean_has_the_chance_of_a_t_test(count: int) -> None:
    values = np.random.default_rng(count).normal(1.3, 0.5, count)
    found, test = mean_with_interval(values, 1.0, 9.9), scipy.stats.ttest_1samp(values, 1.0)
    interval = test.confidence_interval()
    assert found.chance == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_few_values_have_the_given_deviation() -> None:
    found = mean_with_interval(np.array([1.0, 2.0, 3.0, 4.0]), 2.0, 0.6)
    assert found.chance == pytest.approx(2 * scipy.stats.norm.sf(0.5 / 0.3))


def test_bias_correlation_and_outliers_of_a_known_process() -> None:
    """The second of two components has the correlation 0.5, and the mean 0.3 of its size."""
    white = np.random.default_rng(0).standard_normal((200, 300, 2))
    d = np.stack([white[..., 0], scipy.signal.lfilter([1], [1, -0.5], white[..., 1], 1)], 2)
    d[..., 1] += 0.3 * d[..., 1].std() / np.sqrt(1 - 0.3**2)
    bias, correlation, outliers, chance = of_innovations(
        of_components(d, None, [("x", slice(0, 2))])
    )
    assert bias["component 0"].low < 0 < bias["component 0"].high
    assert bias["component 1"].low < 0.3 < bias["component 1"].high
    expected = (0.0 + 0.3**2 + (1 - 0.3**2) * 0.5) / 2  # of both, each over its mean square
    assert correlation is not None
    assert correlation.mean == pytest.approx(expected, abs=0.01)
    assert outliers == pytest.approx(2 * scipy.stats.norm.sf(3), abs=5e-4)
    assert chance > 1e-3


def test_components_with_few_data_are_judged_by_field() -> None:
    count = np.array([100, 0, 5, 7, 40])
    groups = judged_together(count, [("u", slice(0, 2)), ("v", slice(2, 5))])
    assert [(name, list(columns)) for name, columns in groups] == [
        ("v", [2, 3]), ("component 0", [0]), ("component 4", [4]),
    ]  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_an_analysis_on_most_of_its_data_has_no_spread_to_compare_with() -> None:
    d = np.zeros((4, 50, 1))
    d[0, :8] = 1.0
    kind = of_components(d, np.full(d.shape, 0.1), [])
    assert of_innovations(kind)[2] == 0
