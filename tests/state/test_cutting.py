"""Cutting a series into windows and merging them back."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pyvda.errors import InputError
from pyvda.io.netcdf import time_step
from pyvda.io.quality.validation import check_time
from pyvda.state import chunking
from pyvda.state.cutting import cut, merge


def series(steps, state=2):
    values = np.arange(float(steps * state)).reshape(steps, state)
    values[1::3, 0] = np.nan
    return xr.Dataset(
        {
            "observation": (("time", "state"), values, {"units": "K"}),
            "truth": (("time", "state"), -values),
            "wind": ("time", np.arange(steps)),
            "station": ("state", np.arange(state)),
        },
        coords={
            "time": ("time", 5.0 + 0.01 * np.arange(steps), {"axis": "T", "units": "1"}),
            "state": [f"c{n}" for n in range(state)],
            "season": ("time", np.arange(steps) % 4),
        },
        attrs={"history": "made"},
    )


lengths = st.integers(2, 60).flatmap(
    lambda steps: st.integers(2, steps).flatmap(
        lambda length: st.tuples(st.just(steps), st.just(length), st.integers(0, length - 1))
    )
)


@settings(max_examples=150, deadline=None)
@given(lengths)
def test_merge_undoes_cut(sizes):
    steps, length, overlap = sizes
    ds = series(steps)
    windows = cut(ds, length, overlap)
    starts = windows.window_start.values
    assert starts[0] == 0
    assert starts[-1] == steps - length
    assert np.all(np.diff(starts)[:-1] == length - overlap)
    assert np.all(np.diff(starts) <= length - overlap)
    assert windows.observation.dims == ("window", "time", "state")
    for window, start in enumerate(starts):
        np.testing.assert_array_equal(
            windows.truth[window], ds.truth[start : start + length], strict=True
        )
    xr.testing.assert_identical(merge(windows, ds).drop_vars("window_start"), ds)


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_every_step_is_from_the_window_where_it_is_farthest_from_an_edge(sizes):
    steps, length, overlap = sizes
    windows = cut(series(steps), length, overlap)
    inside = np.arange(length)
    margin = np.minimum(inside, length - 1 - inside)
    windows["margin"] = (("window", "time"), np.tile(margin, (windows.sizes["window"], 1)))
    best = np.full(steps, -1)
    for start in windows.window_start.values:
        best[start : start + length] = np.maximum(best[start : start + length], margin)
    np.testing.assert_array_equal(merge(windows, series(steps)).margin, best)


@settings(max_examples=40, deadline=None)
@given(lengths, st.integers(1, 20), st.sampled_from([1, 3, 1000]))
def test_lazy_is_equal(sizes, chunk, block):
    steps, length, overlap = sizes
    ds = series(steps)
    windows = cut(ds.chunk(time=chunk), length, overlap, block)
    again = merge(windows, ds)
    assert windows.observation.chunks is not None
    assert again.observation.chunks is not None
    with_dask = {"scheduler": "synchronous"}
    xr.testing.assert_identical(windows.compute(**with_dask), cut(ds, length, overlap))
    xr.testing.assert_identical(again.compute(**with_dask).drop_vars("window_start"), ds)


def test_graph_does_not_grow_with_the_windows(monkeypatch):
    """A hundred thousand windows take a few tasks per block."""
    data = da.zeros((2_000_000, 3), chunks=(200_000, 3))
    windows = cut(xr.Dataset({"observation": (("time", "state"), data)}), 40, 20)
    assert windows.sizes["window"] == 99_999
    graph = windows.observation.data.__dask_graph__()
    assert len(graph) < 100
    assert max(windows.observation.data.chunks[0]) * 40 * 3 * 8 <= chunking._BLOCK_BYTES
    assert len(merge(windows, series(2_000_000, 1)).observation.data.__dask_graph__()) < 150


def test_lazy_blocks_read_only_their_part():
    read = []

    def count(block):
        read.append(1)
        return block

    data = da.zeros((1000, 3), chunks=(10, 3)).map_blocks(count, meta=np.zeros((0, 0)))
    ds = xr.Dataset({"observation": (("time", "state"), data)})
    windows = cut(ds, 20, 0, block=1)
    windows.observation[3].compute(scheduler="synchronous")
    assert len(read) == 2


TIMES = {
    "numbers": 5.0 + 0.01 * np.arange(30),
    "dates": np.datetime64("2000-01-01", "ns") + np.arange(30) * np.timedelta64(6, "h"),
    "cftime": xr.date_range("2000", periods=30, freq="D", calendar="360_day", use_cftime=True),
}


@pytest.mark.parametrize("kind", TIMES)
def test_time_is_relative_in_windows_and_restored(kind):
    ds = series(30).assign_coords(time=TIMES[kind])
    windows = cut(ds, 8, 2)
    check_time(windows)
    relative = windows.time.values
    if kind == "numbers":
        np.testing.assert_allclose(relative, 0.01 * np.arange(8), atol=1e-12)
        assert time_step(windows) == time_step(ds) == 0.01
    else:
        assert relative.dtype.kind == "m"
        assert relative[0] == np.timedelta64(0)
        assert time_step(windows) is None
    np.testing.assert_array_equal(merge(windows, ds).time.values, np.asarray(TIMES[kind]))


def test_without_time_coordinate():
    ds = series(30).drop_vars("time")
    windows = cut(ds, 8, 2)
    assert "time" not in windows.coords
    assert "time" not in merge(windows, ds).coords


def test_per_window_results_stay():
    ds = series(30)
    windows = cut(ds, 8, 2)
    windows["cost"] = ("window", np.arange(windows.sizes["window"]))
    merged = merge(windows, ds)
    np.testing.assert_array_equal(merged.cost, windows.cost)
    np.testing.assert_array_equal(merged.window_start, windows.window_start)
    # Any order of windows gives the same series.
    xr.testing.assert_identical(merge(windows.isel(window=slice(None, None, -1)), ds), merged)


@pytest.mark.parametrize(
    ("length", "overlap", "message"),
    [
        (31, 0, "window length 31 does not fit a series of 30 steps"),
        (1, 0, "window length 1 does not fit"),
        (10, 10, "overlap 10 does not fit windows of 10 steps; choose between 0 and 9"),
        (10, -1, "overlap -1 does not fit"),
    ],
)
def test_sizes_that_do_not_fit(length, overlap, message):
    with pytest.raises(InputError, match=message):
        cut(series(30), length, overlap)


def test_windows_are_not_cut_again():
    with pytest.raises(InputError, match="windows already"):
        cut(cut(series(30), 8), 4)


def test_merge_needs_all_the_windows():
    ds = series(30)
    windows = cut(ds, 8, 2)
    with pytest.raises(InputError, match="no coordinate 'window_start'"):
        merge(windows.drop_vars("window_start"), ds)
    for some in ([1, 2, 3, 4], [0, 1, 2], [0, 2, 4], [0, 1, 1, 2, 3, 4]):
        with pytest.raises(InputError, match="do not cover the series of 30 steps"):
            merge(windows.isel(window=some), ds)
