"""Recognising the variables and dimensions of a user's file."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.notices import Notice

WINDOWS, STEPS, STATE = 2, 5, 3
VALUES = np.arange(30.0).reshape(WINDOWS, STEPS, STATE)


def dataset(window="window", time="time", state="state", order=(0, 1, 2), **coords):
    dims = [(window, time, state)[axis] for axis in order]
    return xr.Dataset({"y": (dims, VALUES.transpose(order))}, coords=coords)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize(
    ("window", "state"),
    [("window", "n"), ("sample", "state"), ("run", "component"), ("member", "station")],
)
def test_any_order_and_names(order, window, state):
    ds = normalise(dataset(window, "time", state, order))
    assert ds.observation.dims == ("window", "time", "state")
    np.testing.assert_array_equal(ds.observation, VALUES)


TIMES = {
    "dates": (np.arange(STEPS).astype("M8[h]").astype("M8[ns]"), {}),
    "axis": (np.arange(STEPS), {"axis": "T"}),
    "standard_name": (np.arange(STEPS), {"standard_name": "time"}),
    "units": (np.arange(STEPS), {"units": "days since 2000-01-01"}),
    "cftime": (
        xr.date_range("2000", periods=STEPS, calendar="360_day", use_cftime=True).values,
        {},
    ),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("coordinate", ["n", "clock"])
def test_time_is_recognised_by_its_coordinate(kind, coordinate):
    """As a dimension's own coordinate, and as a variable of another name that lies along it."""
    values, attrs = TIMES[kind]
    ds = dataset(time="n")
    ds[coordinate] = ("n", values, attrs)  # not even declared as a coordinate
    ds = normalise(ds, "y")
    assert ds.observation.dims == ("window", "time", "state")
    np.testing.assert_array_equal(ds.time, values)


def test_time_by_name_without_coordinate():
    assert "time" not in normalise(dataset(time="t")).coords
    assert normalise(dataset(time="Time")).observation.dims == ("window", "time", "state")


def test_dated_windows_are_not_time():
    dates = np.array(["2000-01-01", "2001-01-01"], dtype="M8[ns]")
    ds = normalise(dataset().assign_coords(window=dates, time=np.arange(STEPS)))
    np.testing.assert_array_equal(ds.window, dates)
    np.testing.assert_array_equal(ds.time, np.arange(STEPS))


def test_auxiliary_dates_do_not_replace_the_time_coordinate():
    ds = dataset().assign_coords(
        time=0.01 * np.arange(STEPS),
        issued=("time", np.arange(STEPS).astype("M8[D]").astype("M8[ns]")),
    )
    ds = normalise(ds)
    np.testing.assert_array_equal(ds.time, 0.01 * np.arange(STEPS))
    assert ds.issued.dims == ("time",)


def test_dimension_names_may_be_swapped():
    """A dimension called `state` that is time, and one called `time_` that is state."""
    ds = xr.Dataset(
        {"y": (("state", "other"), VALUES[0])}, coords={"state": ("state", range(5), {"axis": "T"})}
    )
    ds = normalise(ds)
    assert ds.observation.dims == ("time", "state")
    np.testing.assert_array_equal(ds.time, range(5))
    assert "state" not in ds.coords


def test_coordinates_are_kept():
    ds = dataset("sample", "time", "x").assign_coords(
        x=("x", [10.0, 20.0, 30.0], {"units": "km"}),
        region=("x", ["a", "b", "c"]),
        level=500.0,
        elsewhere=("z", [1, 2]),
    )
    ds = normalise(ds)
    assert ds.state.attrs == {"units": "km"}
    assert list(ds.region.values) == ["a", "b", "c"]
    assert float(ds.level) == 500.0
    assert "elsewhere" not in ds.coords


def test_stacked_state_keeps_its_levels():
    grid = xr.Dataset(
        {"y": (("time", "lat", "lon"), np.zeros((5, 2, 3)))},
        coords={"lat": [0, 1], "lon": [0, 1, 2]},
    )
    with pytest.raises(InputError, match=r"\(time=5, lat=2, lon=3\), a field on a grid"):
        normalise(grid, "y")
    ds = normalise(grid.stack(cell=("lat", "lon")))
    assert ds.observation.dims == ("time", "state")
    np.testing.assert_array_equal(ds.lon, [0, 1, 2, 0, 1, 2])


def test_errors_by_ancillary_variable_before_name():
    ds = dataset()
    ds["observation_error"] = 9.0
    assert float(normalise(ds, "y").observation_error.max()) == 9.0
    ds["sd"] = ("state", [1.0, 2.0, 3.0], {"standard_name": "height standard_error"})
    ds["quality"] = ("state", [1.0, 1.0, 1.0], {"standard_name": "height quality_flag"})
    ds.y.attrs["ancillary_variables"] = "quality sd"
    error = normalise(ds, "y").observation_error
    assert error.dims == ("window", "time", "state")
    np.testing.assert_array_equal(error[1, 4], [1.0, 2.0, 3.0])


def test_errors_of_other_dimensions():
    ds = dataset().assign(observation_error=("z", [1.0, 2.0]))
    with pytest.raises(InputError, match="the errors 'observation_error' have dimensions"):
        normalise(ds)


def test_truth_of_another_shape_is_dropped():
    assert "truth" not in normalise(dataset().assign(truth=("z", [1.0])))
    assert "truth" in normalise(dataset().assign(truth=dataset().y))


def test_values_are_not_read():
    def fail(block):
        raise AssertionError("values were read")

    values = da.from_array(VALUES, chunks=1).map_blocks(fail, dtype=float, meta=np.zeros((0,) * 3))
    ds = normalise(xr.Dataset({"y": (("state", "time", "window"), values.T)}))
    assert ds.observation.dims == ("window", "time", "state")


@pytest.mark.parametrize(
    ("ds", "variable", "message"),
    [
        (dataset(), "z", "no variable has the name or standard_name 'z'; the variables are y"),
        (dataset().assign(z=dataset().y), None, "several variables may be the observations: y, z"),
        (dataset().rename(y="truth"), None, "make them with pyvda observe"),
        (dataset().astype(int), None, "no variable holds real numbers over time"),
        (dataset().astype(str), "y", "has type <U"),
        (dataset().isel(state=0, window=0), "y", r"has dimensions \(time\), expected"),
        (dataset().expand_dims("z"), "y", r"has dimensions \(z, window, time, state\), expected"),
        (dataset(time="n"), "y", "none is recognised as time"),
        (dataset("a", "time", "b"), "y", "which are window and state is not clear"),
        (dataset().isel(state=0), "y", "which are window and state is not clear"),
        (xr.Dataset(), None, "there are no variables"),
    ],
)
def test_one_sentence_errors(ds, variable, message):
    with pytest.raises(InputError, match=message) as caught:
        normalise(ds, variable)
    assert "\n" not in str(caught.value)


def test_shared_standard_name():
    ds = dataset().assign(z=dataset().y)
    for name in ("y", "z"):
        ds[name].attrs["standard_name"] = "height"
    with pytest.raises(InputError, match="standard_name 'height' belongs to y, z"):
        normalise(ds, "height")


def test_variables_of_a_state_name_the_ways_to_say_so() -> None:
    """Without a model nothing says that x, y and z are one state."""
    ds = xr.Dataset({name: ("time", np.zeros(5)) for name in "xyz"}, {"time": np.arange(5.0)})
    with pytest.raises(InputError, match=r"\(--model NAME --variable x,y,z\)"):
        normalise(ds)


def test_levels_of_somebody_are_no_state_of_the_default_model(tmp_path):
    """Refused without a model, and assimilated once one is named."""
    ds = dataset(state="level").isel(window=0).assign_coords(time=0.01 * np.arange(STEPS))
    ds.to_netcdf(tmp_path / "a.nc")
    opened = pyvda.open_observations(tmp_path / "a.nc")
    for given in (ds, opened):
        with pytest.raises(InputError, match="no model was named"):
            pyvda.assimilate(given, iterations=1, engine="torch")
        pyvda.assimilate(given, model="lorenz63", iterations=1, engine="torch")


@pytest.mark.parametrize(
    ("ds", "message"),
    [
        (xr.Dataset(), "there are no variables"),
        (
            xr.Dataset({"y": (("lat", "lon"), np.ones((5, 3)))}, {"lat": range(5)}),
            r"y\(lat, lon\) lies along a time; .* call it 'time'",
        ),
        (
            xr.Dataset({"y": ("n", [1.0, 2.0])}),
            "lies along 'n', and none is recognised as its time",
        ),
    ],
)
def test_files_without_variables_or_times(ds, message):
    with pytest.raises(InputError, match=message):
        normalise(ds)


def test_the_remedies_for_missing_times_work():
    assert normalise(
        xr.Dataset({"y": (("a", "b"), np.ones((5, 3)))}).rename(a="time")
    ).observation.dims == ("time", "state")
    columns = xr.Dataset({name: ("n", np.ones(5)) for name in "xyz"})
    found = normalise(columns.assign_coords(time=("n", 0.01 * np.arange(5))), "x,y,z")
    assert found.observation.shape == (5, 3)


def test_the_size_of_the_state_is_refused_before_the_time_step():
    ds = dataset().isel(window=0).isel(state=[0, 1])
    with pytest.raises(InputError, match="state of 2 components, lorenz63 has 3"):
        pyvda.assimilate(ds, model="lorenz63", engine="torch")


def test_observations_among_the_coordinates_are_data():
    """As `Dataset.set_coords` and some writers of netCDF leave them."""
    ds = dataset().rename(y="observation")
    expected = normalise(ds).observation
    np.testing.assert_array_equal(normalise(ds.set_coords("observation")).observation, expected)
    named = dataset().set_coords("y")
    np.testing.assert_array_equal(normalise(named, "y").observation, expected)
    assert normalise(named, "y").data_vars.keys() == {"observation"}


def test_stacked_windows_and_times_are_unstacked_as_the_message_says():
    ds = dataset().assign_coords(window=[0, 1], time=np.arange(STEPS))
    stacked = ds.stack(sample=("window", "time"))
    with pytest.raises(InputError, match=r"stacked of window, time.*\(ds.unstack\('sample'\)\)"):
        normalise(stacked)
    np.testing.assert_array_equal(normalise(stacked.unstack("sample")).observation, VALUES)


def test_chunks_of_unknown_size_are_computed_as_the_message_says():
    values = da.from_array(VALUES, chunks=(1, STEPS, STATE))
    values = values[da.from_array(np.array([True, True]), chunks=1)]
    ds = xr.Dataset({"observation": (("window", "time", "state"), values)})
    with pytest.raises(InputError, match=r"unknown size.*\(ds\['observation'\]\.data\."):
        normalise(ds)
    ds["observation"].data.compute_chunk_sizes()
    np.testing.assert_array_equal(normalise(ds).observation, VALUES)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda y: y.astype("m8[s]"), lambda ds: ds["y"] / np.timedelta64(1, "s")),
        (lambda y: y.astype(object), lambda ds: ds["y"].astype(float)),
        (lambda y: y.astype(complex), lambda ds: ds["y"].real),
    ],
)
def test_other_types_are_converted_as_the_message_says(change, remedy):
    ds = dataset().map(change)
    with pytest.raises(InputError, match=r"expected real numbers; .*ds\['y'\]"):
        normalise(ds, "y")
    np.testing.assert_array_equal(normalise(ds.assign(y=remedy(ds)), "y").observation, VALUES)


def test_what_was_observed_or_not_is_no_observation():
    ds = dataset().map(lambda y: y > 0)
    with pytest.raises(InputError, match=r"'y' has type bool, expected real numbers; convert it"):
        normalise(ds, "y")
    np.testing.assert_array_equal(normalise(ds.astype(float), "y").observation, VALUES > 0)


def test_another_dimension_taken_for_windows_is_said(recwarn):
    normalise(dataset("window", "time", "state"))
    assert not recwarn.list
    with pytest.warns(Notice, match=r"'expver' .* taken for independent windows; select one"):
        normalise(dataset("expver", "time", "state"))


def test_times_of_several_levels_are_refused():
    index = pd.MultiIndex.from_product([range(2), range(STEPS // 2)], names=("day", "hour"))
    levels = xr.Coordinates.from_pandas_multiindex(index, "time")
    ds = dataset().isel(time=slice(len(index))).assign_coords(levels)
    with pytest.raises(InputError, match="along 'time' are a MultiIndex of day, hour"):
        normalise(ds)
