"""Several Datasets as one: along time, along windows, by variables; clashes are refused."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.netcdf import open_observations
from pyvda.io.sources.several_files import combined
from pyvda.notices import Notice

RNG = np.random.default_rng(4)


def series(first: float = 0.0, steps: int = 4, **variables: tuple) -> xr.Dataset:
    values = RNG.normal(size=(steps, 3))
    data = {"observation": (("time", "state"), values, {"units": "K"})}
    return xr.Dataset(data, {"time": first + np.arange(float(steps))}, {"title": str(first)})


def windows(labels: list[int] | None, count: int = 2) -> xr.Dataset:
    values = RNG.normal(size=(count, 4, 3))
    coords = {} if labels is None else {"window": labels}
    return xr.Dataset({"observation": (("window", "time", "state"), values)}, coords)


def test_times_decide_the_order():
    late, early = series(4.0), series(0.0)
    found = combined({"late": late, "early": early})
    np.testing.assert_array_equal(found.time, np.arange(8.0))
    expected = np.concatenate([early.observation, late.observation])
    np.testing.assert_array_equal(found.observation, expected)
    assert found.observation.attrs == {"units": "K"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (([5, 7], [1, 3]), [2, 3, 0, 1]),
        ((None, None), [0, 1, 2, 3]),
        (([0, 1], [0, 1]), [0, 1, 2, 3]),
    ],
)
def test_windows_are_ordered_by_their_labels(labels, expected):
    one, other = windows(labels[0]), windows(labels[1])
    found = combined({"one": one, "other": other})
    every = np.concatenate([one.observation, other.observation])
    np.testing.assert_array_equal(found.observation, every[expected])


def test_different_variables_of_the_same_times_are_merged():
    x, y = (xr.Dataset({n: ("time", RNG.normal(size=5))}, {"time": range(5)}) for n in "xy")
    xr.testing.assert_identical(combined({"x": x, "y": y}), x.assign(y=y.y))
    with pytest.raises(InputError, match=r"x and y have different variables.*along 'time'"):
        combined({"x": x, "y": y.assign_coords(time=np.arange(5) + 1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.assign_coords(time=ds.time - 2), "a ends at 3.0, but b begins at 2.0"),
        (lambda ds: ds.assign(extra=ds.observation), "b has the variable 'extra', a has not"),
        (
            lambda ds: ds.assign(observation=ds.observation.assign_attrs(units="degC")),
            "units of K in a and of degC in b",
        ),
        (lambda ds: ds.isel(state=0), "has dimensions"),
        (lambda ds: ds.isel(state=[0, 1]), "cannot be joined along 'time'"),
        (
            lambda ds: ds.assign_coords(time=np.datetime64("2020") + np.arange(4)),
            "are numbers without units",
        ),
    ],
)
def test_clashes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        combined({"a": series(), "b": change(series(4.0))})


def write_packed(path, first, stored, kind="i2", **attrs):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(stored))
        file.createDimension("state", 1)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time[:] = "days since 2000-01-01", first + np.arange(len(stored))
        for name, dtype in (("y", kind), ("y_qc", "i1")):
            variable = file.createVariable(name, dtype, ("time", "state"))
            variable.set_auto_maskandscale(False)
            variable[:] = np.array(stored)[:, None] if name == "y" else 0
        file["y"].setncatts(attrs)
        file["y_qc"].setncatts({"flag_values": np.array([0, 1], "i1"), "flag_meanings": "good bad"})
    return path


FILL = netCDF4.default_fillvals["i2"]
RANGE = {"valid_range": np.array([0, 4000], "i2")}
PACKED = {
    "scale": ([3000, 4001], {"scale_factor": 0.01, **RANGE}, "i2",
              [3000, 4001, FILL], {"scale_factor": 0.1, **RANGE}, "i2"),
    "offset": ([3000, -1], {"scale_factor": 0.1, "add_offset": 0.0, **RANGE}, "i2",
               [10, -1, FILL], {"scale_factor": 0.1, "add_offset": 900.0, **RANGE}, "i2"),
    "packed and not": ([3000, 4001], {"scale_factor": 0.01, **RANGE}, "i2",
                       [300.0, 4001.0], {"valid_max": 4000.0}, "f4"),
    "range": ([1, 9], {"valid_max": np.int16(5)}, "i2", [9, 60], {"valid_max": np.int16(50)}, "i2"),
    "default fill": ([1, FILL], {"scale_factor": 0.01}, "i2",
                     [FILL * 10, FILL], {"scale_factor": 0.001}, "i4"),
    "only a type": ([1, FILL], {}, "i2", [FILL, 5], {}, "i4"),
}  # fmt: skip


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("case", PACKED)
@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_files_that_are_packed_differently(tmp_path, case, chunks):
    one, first, kind, other, second, kind2 = PACKED[case]
    paths = [write_packed(tmp_path / "a.nc", 0, one, kind, **first),
             write_packed(tmp_path / "b.nc", len(one), other, kind2, **second)]  # fmt: skip
    expected = []
    for path in paths:
        with netCDF4.Dataset(path) as file:
            expected.extend(np.ma.filled(file["y"][:, 0].astype(float), np.nan))
    assert 0 < np.isnan(expected).sum() < len(expected)
    found = open_observations([str(path) for path in paths], "y", chunks=chunks)
    np.testing.assert_allclose(found.observation.values.ravel(), expected, rtol=1e-6)


def test_values_beyond_the_range_of_their_own_file_are_said(tmp_path):
    one, first, _, other, second, _ = PACKED["scale"]
    a = write_packed(tmp_path / "a.nc", 0, one, **first)
    b = write_packed(tmp_path / "b.nc", len(one), other, **second)
    with pytest.warns(Notice, match="the files store y differently; values outside of the valid"):
        open_observations([str(a), str(b)], "y")


def test_numbers_that_count_from_different_dates_are_refused():
    one, other = series(), series()
    one.time.attrs["units"] = "months since 2000-01-01"
    other.time.attrs["units"] = "months since 2001-01-01"
    with pytest.raises(InputError, match="months since 2000-01-01 in a and of months since 2001"):
        combined({"a": one, "b": other})


def test_a_window_in_two_files_is_refused():
    with pytest.raises(InputError, match="one and other both have the window 2"):
        combined({"one": windows([1, 2]), "other": windows([2, 3])})


@pytest.mark.parametrize(
    ("units", "said"),
    [({}, "numbers without units"),
     ({"units": "hours since 2020-01-03", "calendar": "noleap"}, "dates of the calendar noleap")],
)  # fmt: skip
def test_times_that_cannot_be_compared_are_named(tmp_path, units, said):
    first = {"units": "hours since 2020-01-01"}
    for name, start, attrs in (("a.nc", 0, first), ("b.nc", 48, units)):
        time = ("time", np.arange(start, start + 4.0), attrs)
        xr.Dataset({"observation": (("time", "state"), np.ones((4, 3)))}, {"time": time}).to_netcdf(
            tmp_path / name
        )
    files = [tmp_path / "a.nc", tmp_path / "b.nc"]
    stated = rf"a\.nc are dates of the calendar \w+, those of .*b\.nc {said}"
    with pytest.raises(InputError, match=stated):
        open_observations(files)
