"""Intervals of ratios, against what is known of their distribution."""

import numpy as np

from pyvda.fields.paired import ratio_of_errors


def test_the_interval_covers_the_ratio_and_goes_by_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 20)
    errors = rng.normal(size=(50, 1)) * np.ones(20)  # of a group alike
    one, other = errors.ravel() ** 2, rng.normal(size=1000) ** 2
    found = ratio_of_errors(groups, one, other, 0)
    alone = ratio_of_errors(np.arange(1000), one, other, 0)
    assert found.low < found.ratio < found.high
    assert found.ratio == alone.ratio == np.sqrt(one.sum() / other.sum())
    assert found.high - found.low > 2 * (alone.high - alone.low)
