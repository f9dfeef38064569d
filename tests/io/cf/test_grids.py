"""Fields on a grid: which variables they are, and where their points lie."""

import numpy as np
import pytest
import xarray as xr

from pyvda.io.cf import grids

LAT, LON = np.linspace(30.0, 32.0, 3), np.linspace(5.0, 8.0, 4)


def maps(dims=("time", "lat", "lon"), **coords):
    ds = xr.Dataset({"sst": (dims, np.ones((2, 3, 4)))}, {"time": [0.0, 1.0]})
    return ds.assign_coords(coords)


def test_what_describes_another_variable_is_not_measured():
    ds = maps().assign(
        {
            "sst_error": maps().sst,
            "flag": maps().sst.assign_attrs(flag_values=[0.0, 1.0], flag_meanings="good bad"),
            "time_bnds": (("time", "bnds"), np.ones((2, 2))),
            "edges": (("time", "nv"), np.ones((2, 2))),
            "XLAT": maps().sst,
            "count": maps().sst.astype(int),
            "salt": maps().sst.isel(time=0),
        }
    )
    ds["time"].attrs["bounds"] = "edges"
    assert grids.measured(ds) == ["sst", "salt"]
    assert grids.fields(ds) == ["sst"]


@pytest.mark.parametrize(
    ("ds", "space"),
    [
        (maps(), ("lat", "lon")),
        (maps(("time", "lon", "lat")), ("lat", "lon")),
        (maps().expand_dims(depth=[0.5], axis=1), ("lat", "lon")),
        (maps().expand_dims(level=[1.0, 2.0], axis=1), None),
        (maps().isel(lat=[0], lon=[0]), ("lat", "lon")),
        (maps().isel(lat=0), None),
        (maps(("n", "lat", "lon")).drop_vars("time"), None),
    ],
)
def test_the_dimensions_of_space(ds, space):
    assert grids.space_of(ds, "sst") == space


def test_places_by_one_or_two_dimensions_or_by_metres():
    lon, lat = np.meshgrid(LON, LAT)
    both = ("south", "west")
    ds = maps(("time", *both), nav_lat=(both, lat), nav_lon=(both, lon))
    found = grids.geographic(ds, both)
    np.testing.assert_array_equal(found[0], lat)
    repeated = ("time", *both)
    ds = maps(
        repeated, XLAT=(repeated, np.stack([lat, lat])), XLONG=(repeated, np.stack([lon] * 2))
    )
    np.testing.assert_array_equal(grids.geographic(ds, both)[1], lon)
    moving = ds.assign_coords(XLAT=(repeated, np.stack([lat, lat + 1])))
    assert grids.geographic(moving, both) is None
    ds = maps(("time", "y", "x"), y=("y", LAT, {"units": "km"}), x=("x", LON, {"units": "m"}))
    assert grids.kilometres(ds, ("y", "x")) == (1.0, 1e-3)
    assert grids.has_places(ds, ("y", "x"))
    assert not grids.has_places(maps(("time", "y", "x")), ("y", "x"))


def test_another_variable_in_degrees_east_is_no_longitude() -> None:
    ds = xr.Dataset(
        {"direction": (("y", "x"), np.ones((2, 3)), {"units": "degrees_east"})},
        {"lat": ("y", [1.0, 2.0], {"units": "degrees_north"}),
         "lon": ("x", [3.0, 4.0, 5.0], {"units": "degrees_east"})},
    )  # fmt: skip
    found = grids.geographic(ds, ("y", "x"))
    assert found is not None
    assert [one.dims for one in found] == [("y",), ("x",)]


def test_radians_are_turned_into_degrees() -> None:
    ds = xr.Dataset(
        coords={n: (d, np.radians([10.0, 20.0]), {"units": "radian", "standard_name": s})
                for n, d, s in (("clat", "y", "latitude"), ("clon", "x", "longitude"))}
    )  # fmt: skip
    found = grids.geographic(ds, ("y", "x"))
    assert found is not None
    for one in found:
        np.testing.assert_allclose(one.values, [10.0, 20.0])
