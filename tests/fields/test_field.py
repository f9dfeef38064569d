"""Grids as they occur in files, and those that cannot be used."""

import numpy as np
import pytest
import xarray as xr
from gappy import field

from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.notices import Notice

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def distances(found):
    position = found.places.position
    return np.linalg.norm(position[:, None] - position, axis=-1)


def test_land_is_what_was_never_observed_and_that_is_said() -> None:
    ds, _ = field()
    with pytest.warns(Notice, match="the 1 of 20 points"):
        found = opened(ds)
    assert found.variables == ("sst",)
    assert found.sea.sum() == 19
    assert found.days[0] == 60  # 1 March of a leap year
    read = found.read("sst")
    np.testing.assert_array_equal(found.on_grid(read.values), ds.sst.values)


@pytest.mark.parametrize(
    ("name", "attrs", "values"),
    [
        ("mask", {}, [1, 0]),
        ("land", {}, [0, 1]),
        ("where", {"standard_name": "land_binary_mask"}, [0, 1]),
        ("where", {"flag_values": np.array([5, 7], np.int8), "flag_meanings": "land sea"}, [7, 5]),
    ],
)
def test_a_mask_tells_sea_that_was_never_observed(name, attrs, values) -> None:
    ds, _ = field()
    mask = np.full((4, 5), values[0], np.int8)
    mask[0, 0] = values[1]
    found = opened(ds.assign({name: (("lat", "lon"), mask, attrs)}))
    assert not found.sea[0, 0]
    assert found.sea.sum() == 19
    assert found.never_seen.sum() == 1
    assert found.masked == name


def test_descending_latitude_and_other_orders_are_the_same_places() -> None:
    ds, _ = field()
    one = opened(ds)
    for other in (ds.isel(lat=slice(None, None, -1)), ds.transpose("lon", "time", "lat")):
        two = opened(other)
        np.testing.assert_allclose(np.sort(distances(one).ravel()), np.sort(distances(two).ravel()))
    np.testing.assert_array_equal(
        opened(ds.transpose("lon", "time", "lat")).read("sst").values, one.read("sst").values
    )


def test_longitudes_from_0_to_360() -> None:
    ds, _ = field()
    west = ds.assign_coords(lon=("lon", ds.lon.values - 6, {"units": "degrees_east"}))
    east = west.assign_coords(lon=("lon", west.lon.values % 360, {"units": "degrees_east"}))
    np.testing.assert_allclose(distances(opened(west)), distances(opened(east)), atol=1e-8)


def test_a_curvilinear_grid() -> None:
    ds, _ = field()
    lat, lon = np.meshgrid(ds.lat, ds.lon, indexing="ij")
    curved = ds.rename(lat="y", lon="x").drop_vars(["y", "x"])
    curved = curved.assign_coords(nav_lat=(("y", "x"), lat), nav_lon=(("y", "x"), lon))
    np.testing.assert_allclose(distances(opened(curved)), distances(opened(ds)))


def test_a_plane_in_metres() -> None:
    ds, _ = field()
    plane = ds.rename(lat="y", lon="x").assign_coords(
        y=("y", 1000.0 * np.arange(4), {"units": "m"}), x=("x", np.arange(5.0), {"units": "km"})
    )
    assert distances(opened(plane))[0, 1] == 1.0


def test_packed_integers_and_bad_values(tmp_path) -> None:
    ds, _ = field()
    packed = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": -32768}
    ds.sst.attrs["valid_min"] = np.float64(14.5)
    ds.to_netcdf(tmp_path / "a.nc", encoding={"sst": packed})
    with xr.open_dataset(tmp_path / "a.nc") as back:
        found = opened(back)
        read = found.read("sst")
    there = ds.sst.values[:, found.sea]
    np.testing.assert_allclose(read.values, np.where(there >= 14.5, there, np.nan), atol=6e-4)
    np.testing.assert_array_equal(read.rejected, there < 14.5)


def test_irregular_days_out_of_order() -> None:
    ds, _ = field()
    days = np.array([5, 0, 1, 9, 2, 3])
    moved = ds.assign_coords(time=ds.time.values[0] + days * np.timedelta64(1, "D"))
    with pytest.warns(Notice, match="not in order"):
        found = opened(moved)
    np.testing.assert_array_equal(found.days, 60 + np.sort(days))
    np.testing.assert_array_equal(found.read("sst").values[0], ds.sst.values[1][found.sea])


@pytest.mark.parametrize(
    ("units", "calendar", "unit"),
    [
        ("months since 2000-01-01", "standard", 365.242198781 / 12),
        ("years since 2000-01-01", "standard", 365.242198781),
        ("months since 2000-01-01", "noleap", 365 / 12),
        ("months since 2000-01-01", "360_day", 30),
        ("common_years since 2000-01-01", "noleap", 365),
        ("weeks since 2000-01-01", "standard", 7),
        ("months", None, 365.242198781 / 12),
    ],
)
def test_months_years_and_weeks_have_the_length_of_cf(units, calendar, unit) -> None:
    ds, _ = field()
    attrs = {"units": units} | ({"calendar": calendar} if calendar else {})
    time = ("time", np.arange(ds.sizes["time"], dtype=float), attrs)
    found = opened(ds.assign_coords(time=time))
    assert found.dated == ("since" in units)
    np.testing.assert_allclose(found.days, unit * np.arange(ds.sizes["time"]), atol=1e-9)
    xr.testing.assert_identical(found.ds.time.variable.to_base_variable(), xr.Variable(*time))


def test_stated_errors_are_read() -> None:
    ds, _ = field()
    found = opened(
        ds.assign(sst_error=(ds.sst.dims, np.full(ds.sst.shape, 0.3), {"units": "degC"}))
    )
    np.testing.assert_allclose(found.read("sst").variance, 0.09)


def test_several_variables_with_different_gaps() -> None:
    ds, _ = field()
    ds = ds.assign(salt=field(seed=1, cloud=0.1, land=False)[0].sst)
    found = opened(ds, "sst,salt")
    assert found.sea.all()
    assert np.isnan(found.read("sst").values).sum() != np.isnan(found.read("salt").values).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars(["lat", "lon"]), "no coordinates that say where"),
        (lambda ds: ds.assign(mask=(("lat", "lon"), np.zeros((4, 5)))), "all points are land"),
        (lambda ds: ds.where(False), "no observation at all"),
        (lambda ds: ds.assign(other=ds.sst), "sst, other are over time"),
        (lambda ds: ds.isel(time=0), "expected time and two dimensions of space"),
        (lambda ds: ds.assign_coords(time=ds.time.values[[0, 0, 1, 2, 3, 4]]), "occurs twice"),
        (lambda ds: ds.drop_vars("time"), "has no coordinate"),
    ],
)
def test_files_that_cannot_be_used(change, message) -> None:
    with pytest.raises(InputError, match=message):
        opened(change(field()[0]))


def test_infinite_values_and_missing_errors() -> None:
    ds, _ = field()
    with pytest.raises(InputError, match="infinite"):
        opened(ds.where(ds.sst < 15.5, np.inf)).read("sst")
    errors = ds.assign(sst_error=ds.sst * np.nan)
    with pytest.raises(InputError, match="missing or negative"):
        opened(errors).read("sst")


@pytest.mark.parametrize("way", ["memory", "file", "chunks", "parts"])
def test_missing_values_that_nothing_states(tmp_path, monkeypatch, way) -> None:
    expected = opened(field()[0])
    ds = field()[0].fillna({"sst": -9999.0})
    if way == "file":
        ds.to_netcdf(tmp_path / "a.nc", encoding={"sst": {"_FillValue": None}})
        ds = xr.open_dataset(tmp_path / "a.nc")
    elif way == "chunks":
        ds = ds.chunk(time=2)
    elif way == "parts":
        monkeypatch.setattr("pyvda.fields.field._AT_ONCE", 40)
    with pytest.warns(Notice, match="times the value -9999"):
        found = opened(ds)
    np.testing.assert_array_equal(found.sea, expected.sea)
    for one, other in ((found, expected), (found.between(0, 1), expected.between(0, 1))):
        np.testing.assert_array_equal(one.read("sst").values, other.read("sst").values)
