"""Labelled windows to plain arrays and back."""

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.netcdf import open_observations, save_analysis
from pyvda.state.windows import (
    analysis_dataset,
    first_guess,
    flags,
    reference_variance,
    to_batch,
    windows_across,
)

RNG = np.random.default_rng(3)
NAN = np.nan


def windows(shape=(5, 20, 3), observed=0.3, **attrs):
    values = np.where(RNG.random(shape) < observed, RNG.normal(size=shape), NAN)
    return xr.Dataset(
        {"observation": (names.DIMENSIONS, values, {"units": "K", "standard_name": "t", **attrs})},
        coords={"time": 0.01 * np.arange(shape[1]), "window_start": ("window", range(shape[0]))},
        attrs={"title": "made", "history": "made"},
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), observed=st.sampled_from([0.0, 0.02, 0.2, 0.7, 1.0]))
def test_first_guess_is_linear_interpolation(seed, observed):
    rng = np.random.default_rng(seed)
    shape = (4, int(rng.integers(1, 30)), 3)
    mask = (rng.random(shape) < observed) * rng.uniform(0.5, 2.0, shape)
    values = np.where(mask > 0, 100.0 * rng.normal(size=shape), 0.0)
    mean = rng.normal(size=3)
    found = first_guess(values, mask, mean)
    for w in range(shape[0]):
        for d in range(3):
            steps = np.flatnonzero(mask[w, :, d])
            if len(steps):
                at, seen = np.arange(shape[1]), values[w, steps, d]
                expected = np.interp(at, steps, seen, left=mean[d], right=mean[d])
            else:
                expected = np.full(shape[1], mean[d])
            np.testing.assert_allclose(found[w, :, d], expected, rtol=1e-13, atol=1e-12)


def test_first_guess_keeps_its_input():
    values, mask = np.ones((1, 4, 1)), np.array([0.0, 1, 0, 1]).reshape(1, 4, 1)
    first_guess(values, mask, np.zeros(1))
    np.testing.assert_array_equal(values, 1.0)


def test_flags():
    mask = np.zeros((2, 6, 2))
    mask[0, [1, 4], 0] = 0.5
    mask[1, 0, 1] = 1.0
    gap, observed, edge = names.Flag.GAP, names.Flag.OBSERVED, names.Flag.EDGE
    found = flags(mask)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found[0, :, 0], [edge, observed, gap, gap, observed, edge])
    np.testing.assert_array_equal(found[1, :, 1], [observed] + 5 * [edge])
    np.testing.assert_array_equal(found[0, :, 1], 6 * [gap])  # never observed


def test_batch_of_plain_observations():
    ds = windows()
    ds["truth"] = ds.observation.fillna(7.0)
    batch = to_batch(ds, np.zeros(3))
    missing = np.isnan(ds.observation.values)
    np.testing.assert_array_equal(batch.mask, (~missing).astype(float))
    np.testing.assert_array_equal(batch.observation, np.where(missing, 0.0, ds.observation))
    np.testing.assert_array_equal(batch.truth, ds.truth)
    assert np.all(np.isfinite(batch.first_guess))
    assert batch.observation.flags.c_contiguous
    assert batch.first_guess.flags.c_contiguous


def test_batch_weights():
    ds = windows()
    errors = RNG.uniform(0.5, 2.0, ds.observation.shape)
    errors[np.isnan(ds.observation.values)] = NAN  # no error where there is no datum
    ds["observation_error"] = (names.DIMENSIONS, errors)
    reference = reference_variance(ds)
    assert reference == pytest.approx(np.nanmean(errors**2))
    assert reference_variance(ds.chunk(window=2, time=7)) == pytest.approx(reference)
    batch = to_batch(ds, np.zeros(3), reference)
    np.testing.assert_allclose(batch.mask, np.nan_to_num(reference / errors**2))
    assert set(np.unique(to_batch(ds, np.zeros(3)).mask)) == {0.0, 1.0}


def test_errors_without_an_observation_are_ignored():
    ds = windows()
    ds["observation_error"] = ds.observation.isnull() * 100.0 + 2.0
    assert reference_variance(ds) == pytest.approx(4.0)
    assert reference_variance(windows()) is None


def test_wrong_state_size():
    with pytest.raises(InputError, match="a state of 3 components, the model has 40"):
        to_batch(windows(), np.zeros(40))


def test_analysis_dataset(tmp_path):
    ds = windows(ancillary_variables="observation_error")
    state = RNG.normal(size=ds.observation.shape)
    status = np.array([0, 1, 2, 3, 4])
    found = analysis_dataset(
        ds,
        state,
        {"cost": np.arange(5.0), "gradient_norm": np.ones(5), "status": status},
    )
    assert found.cost.attrs["units"] == "(K)2"
    assert found.gradient_norm.attrs["units"] == "K"
    assert "units" not in found.status.attrs
    np.testing.assert_array_equal(found.analysis, state)
    np.testing.assert_array_equal(found.innovation, ds.observation - state)
    assert int(found.innovation.notnull().sum()) == int(ds.observation.notnull().sum())
    assert found.analysis.attrs["units"] == found.innovation.attrs["units"] == "K"
    assert found.analysis.attrs["standard_name"] == "t"
    assert "standard_name" not in found.innovation.attrs
    assert found.attrs == {"title": "made", "history": "made"}
    assert found.status.attrs["flag_meanings"].split()[2] == "no_observations"
    assert "window_start" in found.coords

    save_analysis(found, tmp_path / "a.nc")
    again = xr.open_dataset(tmp_path / "a.nc")
    xr.testing.assert_equal(again, found)
    assert again.status.dtype == again.flag.dtype == np.int8
    for name in ("status", "flag"):
        np.testing.assert_array_equal(
            again[name].attrs["flag_values"], range(len(again[name].attrs["flag_meanings"].split()))
        )
    # An analysis is a state to start from again.
    reopened = open_observations(tmp_path / "a.nc", "analysis")
    np.testing.assert_array_equal(reopened.observation, state)


def test_a_standard_deviation_has_the_modifier_of_its_standard_name():
    ds = windows()
    state = np.ones(ds.observation.shape)
    found = analysis_dataset(ds, state, stdev=state)
    assert found.state_stdev.attrs["standard_name"] == "t standard_error"
    assert found.state_stdev.attrs["units"] == "K"
    del ds.observation.attrs["standard_name"]
    assert "standard_name" not in analysis_dataset(ds, state, stdev=state).state_stdev.attrs


def test_analysis_of_another_shape():
    with pytest.raises(ValueError, match="analysis has shape"):
        analysis_dataset(windows(), np.zeros((5, 20, 4)))


@pytest.mark.parametrize("count", [50, 10_000])
def test_a_sample_is_spread_over_the_file_and_reads_few_blocks(count) -> None:
    read = []

    def block(of, block_id=None):
        if of.size and block_id:
            read.append(block_id[0])
        return of

    numbers = dask.array.arange(count, chunks=25, dtype=float)[:, None, None]
    lazy = dask.array.map_blocks(block, numbers, dtype=float, meta=np.empty((0, 0, 0)))
    ds = xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, lazy)})
    found = windows_across(ds, 64)[names.OBSERVATION].values[:, 0, 0]
    assert len(found) == min(count, 64)
    assert (np.diff(found) > 0).all()
    assert found[0] == 0
    assert found[-1] == count - 1
    assert np.diff(found).max() <= count / 7
    assert len(set(read)) <= 16  # two for each run
    np.testing.assert_array_equal(
        found, windows_across(ds.compute(), 64)[names.OBSERVATION][:, 0, 0]
    )
