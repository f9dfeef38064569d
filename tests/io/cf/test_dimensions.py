"""Which dimension is time, windows or a direction: attributes of CF decide, then plain names."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.cf.dimensions import (
    axis,
    find_time,
    instance_of,
    is_window,
    with_single_attributes,
    with_times_of_windows,
)

DATES = np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h")


def dataset(dims: tuple[str, ...] = ("case", "t", "y"), **coords: object) -> xr.Dataset:
    return xr.Dataset({"u": (dims, np.zeros([3] * len(dims)))}, coords)


@pytest.mark.parametrize(
    ("dims", "coords", "expected"),
    [
        (("case", "t", "y"), {}, ("t", None)),
        (("case", "step", "y"), {"step": ("step", DATES)}, ("step", "step")),
        (("case", "n", "y"), {"valid": ("n", DATES)}, ("n", "valid")),
        (("case", "n"), {"n": ("n", [0, 1, 2], {"units": "hours since 2000-01-01"})}, ("n", "n")),
        (("case", "n", "y"), {"n": ("n", [0, 1, 2], {"axis": "T"})}, ("n", "n")),
        (("case", "n", "y"), {"n": ("n", [0, 1, 2], {"standard_name": "time"})}, ("n", "n")),
        (("window", "time", "y"), {"window": ("window", DATES)}, ("time", None)),
        (("time", "y"), {"time": ("time", [0.0, 0.1, 0.2]), "issued": ("time", DATES)},
         ("time", "time")),
        (("a", "b"), {}, (None, None)),
        (("a", "b"), {"a": ("a", DATES), "b": ("b", DATES)}, (None, None)),
    ],
)  # fmt: skip
def test_time(dims, coords, expected) -> None:
    ds = dataset(dims, **coords)
    assert find_time(ds, dims) == expected


def test_windows_are_named_so_or_realizations() -> None:
    ds = dataset(("n", "Window", "lat"), n=("n", [0, 1, 2], {"standard_name": "realization"}))
    assert [is_window(ds, dim) for dim in ("n", "Window", "lat")] == [True, True, False]


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        ({"axis": "Y"}, "x", "Y"),
        ({"standard_name": "longitude"}, "y", "X"),
        ({"units": "degrees_north"}, "x", "Y"),
        ({}, "Lon", "X"),
        ({}, "level", "Z"),
        ({"axis": "T"}, "n", None),
        ({}, "n", None),
    ],
)
def test_directions(attributes: dict, name: str, expected: str | None) -> None:
    ds = dataset((name,), **{name: (name, np.arange(3.0), attributes)})
    assert axis(ds, name) == expected
    assert axis(dataset(("other",)), "other") is None


def test_features_of_discrete_sampling_geometries() -> None:
    ds = dataset(("station", "time"), name=("station", list("abc"), {"cf_role": "timeseries_id"}))
    assert instance_of(ds, "station") == "timeseries"
    assert instance_of(ds, "time") is None


@pytest.mark.parametrize("key", ["axis", "standard_name", "units"])
@pytest.mark.parametrize("name", ["observation", "window", "time"])
def test_an_attribute_of_several_values_is_refused(name: str, key: str) -> None:
    observed = xr.Dataset(
        {"observation": (("window", "time", "state"), np.ones((2, 4, 3)))},
        {"time": 0.01 * np.arange(4), "window": [0, 1]},
        {"observation_error_variance": 1.0},
    )
    observed[name].attrs[key] = np.zeros(3)
    said = rf"variable '{name}' has 3 values in its attribute {key}, expected one text; delete it"
    with pytest.raises(InputError, match=said):
        pyvda.assimilate(observed, model="lorenz63", engine="torch", iterations=1)
    del observed[name].attrs[key]
    pyvda.assimilate(observed, model="lorenz63", engine="torch", iterations=1)


@pytest.mark.parametrize(
    ("value", "said"),
    [([], "0 values"), (["time", "x"], "2 values"), (np.zeros((2, 2)), "4 values"),
     ([[1], [1, 2]], "2 values"), ({}, "a mapping"), ([{}], "a mapping")],
)  # fmt: skip
def test_what_is_not_one_value_is_named(value: object, said: str) -> None:
    ds = dataset(("n",), n=("n", [0, 1, 2], {"axis": value}))
    with pytest.raises(InputError, match=f"variable 'n' has {said} in its attribute axis"):
        with_single_attributes(ds)


def test_an_array_of_one_text_is_that_text() -> None:
    one = np.array(["time"], dtype=object)
    ds = dataset(("case", "n", "y"), n=("n", [0, 1, 2], {"standard_name": one, "axis": ["T"]}))
    found = with_single_attributes(ds)
    assert found["n"].attrs == {"standard_name": "time", "axis": "T"}
    assert find_time(found, found["u"].dims) == ("n", "n")
    assert ds["n"].attrs["axis"] == ["T"]


def test_lead_times_are_the_times_of_one_forecast() -> None:
    lead = {"standard_name": "forecast_period", "units": "hours"}
    ds = dataset(("step", "y"), step=("step", [0, 1, 2], lead))
    assert find_time(ds, ds["u"].dims) == ("step", "step")
    ds = dataset(("time", "step"), step=("step", [0, 1, 2], lead), time=("time", [0.0, 1.0, 2.0]))
    assert find_time(ds, ds["u"].dims) == ("time", "time")


def test_lead_times_are_the_times_of_several_forecasts() -> None:
    lead = {"standard_name": "forecast_period", "units": "hours"}
    start = {"standard_name": "forecast_reference_time"}
    ds = dataset(("time", "step"), step=("step", [0, 1, 2], lead), time=("time", DATES, start))
    assert find_time(ds, ds["u"].dims) == ("step", "step")
    ds = dataset(("time", "y"), time=("time", DATES, start))
    assert find_time(ds, ds["u"].dims) == ("time", "time")


@pytest.mark.parametrize("step", ["time", "obs"])
@pytest.mark.parametrize("dated", [True, False])
def test_times_over_windows_and_steps(step, dated) -> None:
    times = np.array([[0, 1, 2], [50, 51, 52]])
    values = np.datetime64("2000-01-01", "ns") + times * np.timedelta64(1, "h") if dated else times
    ds = xr.Dataset(
        {"u": (("window", step, "state"), np.zeros((2, 3, 4))), "time": (("window", step), values)}
    )
    found = with_times_of_windows(ds)
    assert find_time(found, found["u"].dims) == (step, "time")
    np.testing.assert_array_equal(found["time"], values[0])
    np.testing.assert_array_equal(found["first_time"], values[:, 0])
    values[1] += values[1] - values[1, 0]
    with pytest.raises(InputError, match="not as far apart in each window"):
        with_times_of_windows(ds.assign(time=(("window", step), values)))


def test_other_variables_over_windows_and_steps_stay() -> None:
    ds = dataset(("window", "time")).assign_coords(time=np.arange(3.0))
    ds["when"] = (("window", "time"), np.zeros((3, 3)))
    assert with_times_of_windows(ds).identical(ds)


@pytest.mark.parametrize("name", ["T", "t"])
def test_a_temperature_over_windows_and_steps_is_no_time(name) -> None:
    ds = xr.Dataset({name: (("window", "time"), np.random.default_rng(0).normal(size=(2, 3)))})
    assert with_times_of_windows(ds).identical(ds)
