"""Observations that cannot be assimilated are refused, and only those."""

import dask
import numpy as np
import pytest
import xarray as xr
from dask.callbacks import Callback

from pyvda.errors import InputError
from pyvda.io.quality import validation
from pyvda.io.quality.validation import check, elapsed, statistics


def dataset(time=None, values=None, **variables):
    values = np.ones((10, 2)) if values is None else values
    ds = xr.Dataset({"observation": (("time", "state"), values), **variables})
    return ds if time is None else ds.assign_coords(time=time)


HOURS = np.arange(10).astype("M8[h]").astype("M8[ns]")
GOOD_TIMES = {  # the coordinate, and its step in seconds or in its own unit
    "float64": (1000.0 + 0.01 * np.arange(10), 0.01),
    "float32": ((100.0 + 0.01 * np.arange(10)).astype("f4"), 0.01),  # rounded by 1e-3 of the step
    "integer": (np.arange(10), 1.0),
    "dates": (HOURS, 3600.0),
    # No 29 February in this calendar.
    "cftime": (
        xr.date_range("2000-02-25", periods=10, calendar="noleap", use_cftime=True).values,
        86400.0,
    ),
    "duration": (HOURS - HOURS[0], 3600.0),
    "tolerated": (np.arange(10) + 1e-7 * np.sin(np.arange(10)), 1.0),
}
SHUFFLED = [0, 1, 2, 4, 3, 5, 6, 7, 8, 9]
BAD_TIMES = {
    "order": (0.01 * np.array(SHUFFLED), "does not increase at step 4"),
    "dates": (HOURS[SHUFFLED], "does not increase at step 4"),
    "repeated": (
        np.array([0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
        "the time 1 occurs twice, at steps 1 and 2",
    ),
    "decreasing": (-np.arange(10.0), "does not increase at step 1"),
    "hole": (np.array([0, 1, 2, 3, 5, 6, 7, 8, 9, 10]), "usually 1, 2 after step 3"),
    "dates_hole": (np.delete(np.r_[HOURS, HOURS[-1:] + 3600 * 10**9], 5), "not uniform"),
    "slight": (np.arange(10) + 1e-5 * np.sin(np.arange(10)), "not uniform"),
    "missing": (np.r_[np.arange(9.0), np.nan], "has missing values"),
    "not_a_time": (np.r_[HOURS[:9], np.datetime64("NaT", "ns")], "has missing values"),
    "text": (np.array([f"day {n}" for n in range(10)]), "'day 0' is text that is no date"),
    "one text": (
        np.array([*HOURS[:9].astype(str), "31/12/2000 06:00"]),
        "'31/12/2000 06:00' is text that is no date .*pandas.to_datetime",
    ),
}


@pytest.mark.parametrize("time", GOOD_TIMES)
def test_uniform_times_are_accepted_and_a_step_off_by_a_hundredth_is_not(time):
    values, step = GOOD_TIMES[time]
    check(dataset(values))
    np.testing.assert_allclose(elapsed(values), step * np.arange(10), atol=2e-3 * step)
    late = elapsed(values).astype("f8")
    late[7] += 0.01 * step
    with pytest.raises(InputError, match="time step is not uniform"):
        check(dataset(late))


def test_steps_without_times_are_accepted():
    check(dataset())
    with pytest.raises(
        InputError, match="observation has no values"
    ):  # the values are looked at all the same
        check(dataset(values=np.full((10, 2), np.nan)))


@pytest.mark.parametrize("time", BAD_TIMES)
def test_other_times(time):
    values, message = BAD_TIMES[time]
    with pytest.raises(InputError, match=message) as caught:
        check(dataset(values))
    assert "\n" not in str(caught.value)


def test_one_step():
    with pytest.raises(InputError, match="has 1 steps, expected at least 2"):
        check(dataset(values=np.ones((1, 2))))


@pytest.mark.parametrize("chunks", [None, 3])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_errors_must_be_positive_where_observed(bad, chunks):
    values = np.ones((10, 2))
    errors = np.ones((10, 2))
    values[4, 1], errors[4, 1] = np.nan, bad
    ds = dataset(values=values, observation_error=(("time", "state"), errors))
    ds = ds if chunks is None else ds.chunk(chunks)
    check(ds)  # nothing observed there
    with pytest.raises(InputError, match="not a positive number at 1 observed points"):
        check(ds.assign(observation=ds.observation.fillna(1.0)))


def test_infinite_and_absent_values():
    values = np.full((10, 2), np.nan)
    with pytest.raises(InputError, match="observation has no values"):
        check(dataset(values=values))
    values[0, 0] = -np.inf
    with pytest.raises(InputError, match="1 infinite value"):
        check(dataset(values=values))
    with pytest.raises(InputError, match="dimension state of the observations has the size 0"):
        check(dataset(values=np.ones((10, 0))))


@pytest.mark.parametrize("dim", ["window", "time"])
def test_statistics_of_many_chunks_are_those_in_memory_by_graphs_of_bounded_size(dim, monkeypatch):
    """A worker of a cluster keeps what it knows of a task until its whole graph is done."""
    monkeypatch.setattr(validation, "_CHUNKS_AT_ONCE", 4)
    random = np.random.default_rng(0)
    shape = {"window": (10, 2, 1), "time": (2, 10, 1)}[dim]
    values = np.where(random.random(shape) < 0.3, np.nan, random.normal(size=shape))
    values[1, 1, 0] = np.inf
    errors = random.uniform(0.5, 2.0, shape)
    errors[0, 1, 0] = -1.0
    dims = ("window", "time", "state")
    rejected = random.integers(0, 3, shape, dtype=np.int8)
    ds = xr.Dataset({"observation": (dims, values)}).assign(
        observation_error=(dims, errors), rejected=(dims, rejected)
    )
    sizes = []
    with dask.config.set(scheduler="synchronous"), Callback(start=lambda g: sizes.append(len(g))):
        found = statistics(ds.chunk({dim: 1}))
    assert len(sizes) == 3
    assert max(sizes) < 200
    expected = vars(statistics(ds))
    expected |= {"low": np.nanmin(values, (0, 1)), "high": np.nanmax(values, (0, 1))}
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12)


@pytest.mark.parametrize("dim", ["window", "state"])
def test_a_dimension_without_a_size_is_named(dim):
    ds = dataset().expand_dims("window").isel({dim: []})
    with pytest.raises(InputError, match=f"dimension {dim} of the observations has the size 0"):
        check(ds)
