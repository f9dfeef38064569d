import numpy as np
import pytest
import xarray as xr
from gappy import field, tracks

from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.points import read
from pyvda.fields.target import on_grid, origin
from pyvda.notices import Notice

POINTS = read(tracks())


def test_a_text_is_a_grid_of_even_spacing() -> None:
    found = on_grid(POINTS, "5:6:0.5,40:40.5:0.25", "2020-03-02/2020-03-04T12:00/12h")
    np.testing.assert_allclose(found.ds.lon, [5, 5.5, 6])
    np.testing.assert_allclose(found.ds.lat, [40, 40.25, 40.5])
    assert found.ds.sizes["time"] == 6
    np.testing.assert_allclose(found.days, 61 + np.arange(6) / 2)
    assert origin(found) == np.datetime64("2020")
    assert found.ds.sst.attrs["units"] == "degC"


def test_a_file_gives_times_and_land() -> None:
    ds, _ = field()
    with pytest.warns(Notice, match="the 1 of 20 points where sst is always missing"):
        found = on_grid(POINTS, ds)
    np.testing.assert_array_equal(found.ds.time, ds.time)
    assert found.sea.sum() == 19
    mask = xr.zeros_like(ds.sst[0], dtype=int).drop_vars("time")
    mask[:, 2] = 1
    assert on_grid(POINTS, ds.assign(mask=mask)).sea.sum() == 4


def test_a_curvilinear_grid_and_noons_of_the_data() -> None:
    lat, lon = np.meshgrid([40.0, 40.5], [5.0, 5.5, 6.0], indexing="ij")
    ds = xr.Dataset(coords={
        "lat": (("j", "i"), lat + 0.1 * lon, {"units": "degrees_north"}),
        "lon": (("j", "i"), lon, {"units": "degrees_east"}),
    })  # fmt: skip
    found = on_grid(POINTS, ds)
    assert found.space == ("j", "i")
    np.testing.assert_allclose(found.places.map[:, 1], (lat + 0.1 * lon).ravel())
    np.testing.assert_allclose(found.days % 1, 0.5)
    assert len(found.days) == 6


@pytest.mark.parametrize(
    ("grid", "times", "message"),
    [
        ("nowhere.nc", None, "no such file"),
        ("5:6:0.5", None, "expected lon0:lon1:step"),
        ("6:5:0.5,40:41:1", None, "expected first <= last"),
        (xr.Dataset({"a": ("b", [1.0])}), None, "no latitude and longitude"),
        ("5:6:1,40:41:1", "2020", "expected first/last/step"),
        ("5:6:1,40:41:1", "2020-03-04/2020-03-01/1d", "holds no time"),
        ("0:100000:0.1,0:80:0.0001", None, "at most 1e"),
        ("0:720:30,40:41:1", None, "more than once"),
        *[("5:6:1,40:41:1", f"2020-03-01/2020-03-06/{step}", "expected first/last/step")
          for step in ("1", "0d", "NaT", "1e-9d")],
        *[("5:6:1,40:41:1", times, "expected first/last/step")
          for times in ("NaT/NaT/1d", "01-03-2020/03-03-2020/1d", "1500-01-01/1500-01-03/1d")],
    ],
)  # fmt: skip
def test_grids_that_cannot_be_used(grid, times, message) -> None:
    with pytest.raises(InputError, match=message):
        on_grid(POINTS, grid, times)


def test_times_of_a_grid_are_dates_or_days_whatever_their_unit() -> None:
    ds, _ = field()
    numbers = np.arange(ds.sizes["time"], dtype=float)
    weeks = ds.assign_coords(time=("time", numbers, {"units": "weeks since 2020-02-20"}))
    found = on_grid(POINTS, weeks)
    np.testing.assert_array_equal(
        found.ds.time, np.datetime64("2020-02-20") + np.arange(0, 7 * ds.sizes["time"], 7)
    )
    assert origin(opened(weeks)) == np.datetime64("2020")
    hours = ds.assign_coords(time=("time", 12 * numbers, {"units": "hours"}))
    undated = tracks().assign(time=("obs", np.arange(tracks().sizes["obs"]) / 9, {"units": "days"}))
    found = on_grid(read(undated), hours)
    np.testing.assert_allclose(found.days, numbers / 2)


def test_times_may_have_a_zone() -> None:
    found = on_grid(POINTS, "5:6:1,40:41:1", "2020-03-01T00:00Z/2020-03-02/12h")
    expected = np.datetime64("2020-03-01") + np.arange(3) * np.timedelta64(12, "h")
    np.testing.assert_array_equal(found.ds.time, expected)


def test_a_grid_of_one_time_is_a_grid() -> None:
    ds, _ = field()
    found = on_grid(POINTS, ds.isel(time=0).fillna(1.0))
    assert found.ds.sizes["time"] > 1
    with pytest.raises(InputError, match="all points of the grid are land by 'mask'"):
        on_grid(POINTS, ds.assign(mask=(("lat", "lon"), np.zeros(ds.sst.shape[1:]))))
