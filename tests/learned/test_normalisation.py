"""Means and deviations of training states, with gaps."""

import numpy as np
import pytest

from pyvda.learned.normalisation import normalisation


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("kind", ["scalar", "component"])
def test_moments_are_those_of_the_known_states(kind: str, gaps: bool) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)) * [1, 2, 3] + [0, 5, 9]
    if gaps:
        x[0, :2, 1] = x[3, 4] = np.nan
    axes = (0, 1, 2) if kind == "scalar" else (0, 1)
    mean, deviation = normalisation(x.astype(np.float64), kind)
    np.testing.assert_allclose(mean, np.nanmean(x, axes), rtol=1e-13)
    np.testing.assert_allclose(deviation, np.nanstd(x, axes), rtol=1e-13)
    assert mean.shape == (() if kind == "scalar" else (3,))
