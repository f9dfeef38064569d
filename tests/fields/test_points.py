"""Data at points as they occur in files."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from gappy import field, tracks

from pyvda.errors import InputError
from pyvda.fields.points import are_points, read
from pyvda.notices import Notice


def test_a_trajectory_file_has_its_passes() -> None:
    ds = tracks(count=4, of_pass=5)
    points = read(ds)
    assert points.variables == ("sst",)
    np.testing.assert_array_equal(points.track, np.repeat(np.arange(4), 5))
    np.testing.assert_allclose(points.places.map[:, 1], ds.lat)
    since = ds.time - np.datetime64("2020-03-01", "ns")
    np.testing.assert_allclose(points.days("2020-03-01") * 86400e9, since.astype(int))
    assert are_points(ds, None)
    assert not are_points(field()[0], None)


def rows(ds, **columns):
    """Return the data of passes as a plain table."""
    plain = xr.Dataset({n: ("obs", ds[n].values) for n in ("time", "lat", "lon", "sst")})
    return plain.assign({n: ("obs", v) for n, v in columns.items()})


def test_columns_of_a_table_tell_the_passes_together() -> None:
    ds = tracks(count=4, of_pass=5)
    cycle, track = np.repeat([1, 1, 2, 2], 5), np.repeat([8, 9, 8, 9], 5)
    points = read(rows(ds, cycle=cycle, track=track), "sst")
    assert [len(np.unique(points.track[5 * k : 5 * k + 5])) for k in range(4)] == [1] * 4
    assert len(np.unique(points.track)) == 4


def test_without_numbers_time_tells_passes_and_position_moorings() -> None:
    ds = tracks(count=6, of_pass=8)
    np.testing.assert_array_equal(read(rows(ds)).track, np.repeat(np.arange(6), 8))
    moored = rows(ds, lat=np.tile([40.0, 40.5], 24), lon=np.tile([5.0, 5.5], 24))
    np.testing.assert_array_equal(read(moored).track, np.tile([0, 1], 24))


def test_moorings_over_station_and_time() -> None:
    time = pd.date_range("2020-03-01", periods=3)
    ds = xr.Dataset(
        {"sst": (("station", "time"), np.arange(6.0).reshape(2, 3))},
        {"time": time, "lat": ("station", [40.0, 41.0], {"units": "degrees_north"}),
         "lon": ("station", [5.0, 6.0], {"units": "degrees_east"}),
         "name": ("station", ["a", "b"], {"cf_role": "timeseries_id"})},
        {"featureType": "timeSeries"},
    )  # fmt: skip
    points = read(ds)
    np.testing.assert_array_equal(points.values["sst"].values, np.arange(6.0))
    np.testing.assert_array_equal(points.track, [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(points.places.map[:, 1], [40, 40, 40, 41, 41, 41])


def test_a_table_of_pandas_and_numbers_for_times() -> None:
    frame = pd.DataFrame(
        {"time": [0.0, 0.0, 1.5], "lat": [1.0, 2.0, 3.0], "lon": [179.5, -179.5, 0.0],
         "sst": [1.0, 2.0, np.nan], "sst_error": [0.1, 0.2, 0.3]}
    )  # fmt: skip
    points = read(frame, "sst")
    np.testing.assert_allclose(points.days(0.0), [0.0, 0.0, 1.5])
    np.testing.assert_allclose(points.values["sst"].variance, [0.01, 0.04, 0.09])


def test_several_files_share_no_pass() -> None:
    one, other = tracks(count=3, of_pass=4), tracks(count=2, of_pass=4, seed=2)
    points = read([one, other])
    np.testing.assert_array_equal(points.track, np.repeat(np.arange(5), 4))
    np.testing.assert_allclose(points.places.map[:, 0], [*one.lon, *other.lon])
    with pytest.raises(InputError, match="is in 'K' in one file"):
        read([one, other.assign(sst=other.sst.assign_attrs(units="K"))])


def test_data_without_a_position_are_dropped_and_counted() -> None:
    ds = tracks(count=3, of_pass=4)
    lat = ds.lat.values.copy()
    lat[2] = np.nan
    with pytest.warns(Notice, match="1 data of the point data have no time or position"):
        points = read(ds.assign_coords(lat=("obs", lat, ds.lat.attrs)))
    np.testing.assert_array_equal(points.row, np.delete(np.arange(12), 2))
    assert points.rows == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("lat"), "none of the variables"),
        (lambda ds: ds.assign(salt=ds.sst), "sst, salt are observed at points"),
        (lambda ds: ds.assign(sst=ds.sst * np.nan), "no observation at all"),
        (lambda ds: ds.assign(sst=ds.sst.where(ds.sst > 15, np.inf)), "infinite"),
        (lambda ds: ds.assign(sst_error=ds.sst * np.nan), "missing or negative"),
        (lambda ds: ds.assign_coords(time=("obs", np.arange(12.0), {"units": "furlong"})),
         "numbers in 'furlong'"),
    ],
)  # fmt: skip
def test_points_that_cannot_be_used(change, message) -> None:
    with pytest.raises(InputError, match=message):
        read(change(tracks(count=3, of_pass=4)))


def test_a_satellite_that_comes_back_makes_another_pass() -> None:
    ds = tracks(count=2, of_pass=6)
    later = ds.assign_coords(time=ds.time + np.timedelta64(10, "D"))
    both = [rows(one, track=np.repeat([7, 8], 6)) for one in (ds, later)]
    twice = xr.concat(both, "obs")
    expected = np.repeat([0, 2, 1, 3], 6)
    np.testing.assert_array_equal(read(twice, "sst").track, expected)
    shuffled = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(read(twice.isel(obs=shuffled), "sst").track, expected[shuffled])
    cycles = twice.assign(cycle=("obs", np.repeat([1, 2], 12)))
    assert len(np.unique(read(cycles, "sst").track)) == 4
    stations = twice.rename(track="station")
    assert len(np.unique(read(stations, "sst").track)) == 2


def test_several_levels_are_no_map() -> None:
    ds = tracks(count=2, of_pass=6)
    deep = rows(ds, depth=np.linspace(0, 30, 12))
    with pytest.warns(Notice, match="depth from 0 to 30; they are taken for one level"):
        read(deep, "sst")
    profiles = xr.concat([deep.assign(depth=deep.depth + d) for d in (0, 100)], "obs")
    with pytest.raises(InputError, match="several data at one place and time, at depth"):
        read(profiles, "sst")
    surface = profiles.where(profiles.depth < 50, drop=True)
    with pytest.warns(Notice, match="one level"):
        assert len(read(surface, "sst").time) == 12


def test_radians_are_degrees() -> None:
    ds = rows(tracks(count=2, of_pass=6))
    other = ds.assign(
        {n: ("obs", np.radians(ds[n].values), {"units": "radians"}) for n in ("lat", "lon")}
    )
    np.testing.assert_allclose(read(other, "sst").places.position, read(ds, "sst").places.position)


def test_places_on_a_plane_and_on_the_sphere_do_not_go_together() -> None:
    ds = rows(tracks(count=2, of_pass=6))
    km = {"x": ("obs", 85 * (ds.lon.values - 5), {"units": "km", "axis": "X"}),
          "y": ("obs", 10 * (ds.lat.values - 40), {"units": "km", "axis": "Y"})}  # fmt: skip
    plane = ds.drop_vars(["lat", "lon"]).assign(km)
    for given in ([ds, plane], [plane, ds]):
        with pytest.raises(InputError, match="some places have"):
            read(given, "sst")


def test_a_unit_that_one_file_does_not_say_is_said() -> None:
    ds = tracks(count=2, of_pass=6)
    plain = ds.assign(sst=ds.sst.drop_attrs())
    for given in ([ds, plain], [plain, ds]):
        with pytest.warns(Notice, match="sst has no unit in .* it is taken to be in 'degC'"):
            read(given, "sst")


def test_a_time_that_is_missing_leaves_the_passes_of_others() -> None:
    ds = rows(tracks(count=6, of_pass=8))
    ds["time"] = ds.time.where(np.arange(48) != 20)
    with pytest.warns(Notice, match="1 data of .* have no time"):
        found = read(ds, "sst").track
    assert len(np.unique(found)) == 6
