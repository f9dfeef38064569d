"""Data that are withheld by files and arrays of another order, or of other places."""

import numpy as np
import pytest
import xarray as xr
from gappy import field

from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.points import read
from pyvda.fields.withheld import hidden_points, withheld_of

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
DS, _ = field()
OUT = np.random.default_rng(0).random(DS.sst.shape) < 0.3
ORDER = [3, 0, 5, 1, 2, 4]


def array(**more):
    return xr.DataArray(OUT.astype("i1"), DS.coords, DS.sst.dims).assign_coords(**more)


def expected(ours):
    """Return what is withheld of a field, by the labels of its times."""
    by_time = dict(zip(DS.time.values, OUT, strict=True))
    return np.stack([by_time[t] for t in ours.ds.time.values])[:, ours.sea]


def test_a_file_is_put_in_place_by_its_coordinates(tmp_path) -> None:
    turned = array().isel(lat=slice(None, None, -1), time=ORDER)
    turned = turned.assign_coords(lon=turned.lon - 360)
    turned.to_dataset(name="withheld").to_netcdf(tmp_path / "out.nc")
    for ds in (DS, DS.isel(time=ORDER)):
        ours = opened(ds)
        for given in (turned, str(tmp_path / "out.nc")):
            np.testing.assert_array_equal(withheld_of(ours, given), expected(ours))


def test_an_array_has_the_order_of_the_file() -> None:
    ours = opened(DS.isel(time=ORDER))
    np.testing.assert_array_equal(withheld_of(ours, OUT[ORDER]), expected(ours))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (array(lon=DS.lon + 1), "other lon"),
        (array(lat=DS.lat + 1), "other lat"),
        (array(time=DS.time + np.timedelta64(1, "D")), "other time"),
        (array(time=np.arange(6.0)), "other time"),
        (array().where(OUT), "is missing .* times"),
        (np.where(OUT, "yes", "no"), "numbers or booleans"),
    ],
)
def test_other_places_times_and_values_are_refused(given, message) -> None:
    with pytest.raises(InputError, match=message):
        withheld_of(opened(DS), given)


def test_a_curvilinear_grid_is_compared_too() -> None:
    lat, lon = np.meshgrid(DS.lat, DS.lon, indexing="ij")
    plain = DS.rename(lat="y", lon="x").drop_vars(["y", "x"])
    ds = plain.assign_coords(
        lat=(("y", "x"), lat, {"units": "degrees_north"}),
        lon=(("y", "x"), lon, {"units": "degrees_east"}),
    )
    given = xr.zeros_like(ds.sst).fillna(0)
    assert not withheld_of(opened(ds), given).any()
    with pytest.raises(InputError, match="other lat"):
        withheld_of(opened(ds), given.isel(y=slice(None, None, -1)))


def test_points_without_a_number_are_refused() -> None:
    rows = {n: ("obs", np.arange(1.0, 4.0)) for n in ("time", "lat", "lon", "sla")}
    ds = xr.Dataset(rows)
    np.testing.assert_array_equal(hidden_points(read(ds), ds, [0, 1, 0]), [False, True, False])
    with pytest.raises(InputError, match="is missing 1 times"):
        hidden_points(read(ds), ds, [0.0, np.nan, 1.0])
