"""Rank histogram: against the ranks in an ensemble drawn from the stated distribution."""

import numpy as np
import pytest
import xarray as xr
from plotting.gridded import made

from pyvda.errors import InputError
from pyvda.plotting.rank_histogram import BINS, plot_rank_histogram

DIMS = ("window", "time", "state")


def experiment(error: float, bias: float = 0.0) -> tuple[xr.Dataset, xr.Dataset]:
    rng = np.random.default_rng(3)
    mean, stdev = rng.standard_normal((200, 50, 3)), rng.uniform(0.5, 2.0, (200, 50, 3))
    true = mean + stdev * (bias + error * rng.standard_normal(mean.shape))
    true[0, 0, 0] = np.nan
    analysis = xr.Dataset({"analysis": (DIMS, mean), "state_stdev": (DIMS, stdev)})
    return analysis, xr.Dataset({"truth": (DIMS, true)})


def heights(analysis: xr.Dataset, truth: xr.Dataset) -> np.ndarray:
    return np.array([bar.get_height() for bar in plot_rank_histogram(analysis, truth).patches])


@pytest.mark.parametrize(("error", "bias"), [(1.0, 0.0), (2.0, 0.0), (0.5, 0.0), (1.0, 0.7)])
def test_ranks_are_those_in_an_ensemble(error: float, bias: float) -> None:
    analysis, truth = experiment(error, bias)
    rng = np.random.default_rng(4)
    ensemble = rng.normal(analysis["analysis"], analysis["state_stdev"], (99, 200, 50, 3))
    true = truth["truth"].values
    rank = ((ensemble < true).sum(0)[np.isfinite(true)] + 0.5) / 100
    expected, _ = np.histogram(rank, np.linspace(0, 1, BINS + 1), density=True)
    np.testing.assert_allclose(heights(analysis, truth), expected, atol=0.15)


def test_shape_and_title_tell_the_calibration() -> None:
    flat, sharp, wide = (heights(*experiment(error)) for error in (1.0, 2.0, 0.5))
    assert np.abs(flat - 1).max() < 0.15
    assert sharp[[0, -1]].min() > 2 > 0.7 > sharp[BINS // 2]
    assert wide[[0, -1]].max() < 0.1 < 1.5 < wide[BINS // 2]
    number = float(plot_rank_histogram(*experiment(2.0)).get_title().rpartition("= ")[2])
    assert number == pytest.approx(4.0, rel=0.05)


def test_fields_by_their_own_names() -> None:
    analysis, truth = made()
    stated = analysis["sst_stdev"].values
    departure = (truth["sst"] - analysis["sst"]).values / stated
    mean = np.nanmean(departure**2)
    assert f"= {mean:.2f}" in plot_rank_histogram(analysis, truth).get_title()


def test_what_is_missing_is_named() -> None:
    analysis, truth = experiment(1.0)
    with pytest.raises(InputError, match="--truth"):
        plot_rank_histogram(analysis, None)
    with pytest.raises(InputError, match="no standard deviation"):
        plot_rank_histogram(analysis.drop_vars("state_stdev"), truth)
    with pytest.raises(InputError, match="no value has both"):
        plot_rank_histogram(analysis, truth * np.nan)
    with pytest.raises(InputError, match="no variable 'truth', but x"):
        plot_rank_histogram(analysis, truth.rename(truth="x"))
