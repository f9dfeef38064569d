"""Differences of scores on the same windows."""

import numpy as np
import pytest

from pyvda.paper import (
    paired_differences,
)


def test_differences_are_paired() -> None:
    """One of two methods is slightly better on every window, hard or easy."""
    one, other = ({"r_scores": r_scores(mean)} for mean in (1.0, 1.01))
    found = paired_differences.difference(one, other)
    assert found is not None
    assert found.mean == pytest.approx(-0.01, abs=1e-3)
    assert paired_differences.verdict(found) == "better"
    assert paired_differences.verdict(paired_differences.difference(other, one)) == "worse"
    assert (
        paired_differences.verdict(paired_differences.difference(one, one)) == "no difference shown"
    )
    assert paired_differences.difference(one, {"r_scores": "1.0 2.0"}) is None
    assert paired_differences.difference({}, {}) is None
    assert paired_differences.verdict(None) == "no difference shown"


def r_scores(mean: float, spread: float = 0.0) -> str:
    """Return the R-scores of twenty windows, whose difficulty all methods share."""
    own = np.where(np.arange(20) % 2, spread, -spread)
    return paired_differences.in_a_line(mean + np.linspace(-0.8, 0.8, 20) + own)
