import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from pyvda.errors import InputError
from pyvda.fields.places import on_sphere
from pyvda.fields.point_mean import read_map
from pyvda.notices import Notice
from pyvda.operators.sphere import EARTH_RADIUS


def mdt(longitude, **attrs):
    """Return a map that is latitude plus longitude, with land in the middle, north first."""
    latitude = np.array([44.0, 43.0, 42.0, 41.0, 40.0])
    values = np.add.outer(latitude, np.asarray(longitude, float))
    values[2, 2] = np.nan
    return xr.Dataset(
        {"mdt": (("lat", "lon"), values, attrs)},
        {"lat": ("lat", latitude, {"units": "degrees_north"}),
         "lon": ("lon", longitude, {"units": "degrees_east"})},
    )  # fmt: skip


def test_linear_between_its_points_and_the_nearest_on_land() -> None:
    with pytest.warns(Notice, match="mdt of the mean has no unit, which is taken to be 'm'"):
        found = read_map(mdt(np.arange(0.0, 6.0)), "sla", "m")
    places = on_sphere(np.array([40.25, 43.5, 42.0, 40.0]), np.array([0.5, 4.25, 2.0, -0.4]))
    np.testing.assert_allclose(found(places)[:2], [40.75, 47.75])
    assert found(places)[2] in (43.0, 45.0)
    np.testing.assert_allclose(found(places)[3], 40.0)


def test_longitudes_of_another_turn() -> None:
    found = read_map(mdt(np.array([355.0, 356.0, 357.0, 358.0, 359.0])), "mdt", "")
    np.testing.assert_allclose(found(on_sphere(np.array([41.0]), np.array([-3.5]))), 41.0 + 356.5)


def test_the_deviation_of_maps_over_time_is_that_around_a_place() -> None:
    longitude = np.arange(0.0, 12.0, 0.25)
    ds = mdt(longitude).expand_dims(time=20)
    size = np.where(longitude < 6, 1.0, 3.0)  # of departures, which are larger in the east
    alternating = np.resize([1.0, -1.0], 20)[:, None, None] * np.ones((20, 5, 1)) * size
    found = read_map(ds.assign(mdt=ds.mdt + alternating), "mdt", "", varying=True)
    np.testing.assert_allclose(found.values, read_map(ds, "mdt", "").values)
    far = on_sphere(np.full(3, 42.0), np.array([1.0, 5.875, 11.0]))
    west, middle, east = found.deviation_at(far) * np.sqrt(5.0)  # of the mean of 1 and 9
    np.testing.assert_allclose([west, east], [1.0, 3.0], rtol=0.01)
    np.testing.assert_allclose(middle, np.sqrt(5.0), rtol=0.01)
    # A standard deviation of the weights, 100 km, to the east of the edge: it has Φ(1) of them.
    degrees = 100 / (EARTH_RADIUS * np.pi / 180 * np.cos(np.radians(42.0)))
    beside = found.deviation_at(on_sphere(np.array([42.0]), np.array([5.875 + degrees])))
    np.testing.assert_allclose(beside[0] ** 2 * 5.0, 1 + 8 * norm.cdf(1.0), rtol=0.01)


def test_maps_that_cannot_be_used() -> None:
    ds = mdt(np.arange(0.0, 6.0), units="cm")
    with pytest.raises(InputError, match="is in 'cm', expected 'm'"):
        read_map(ds, "sla", "m")
    with pytest.raises(InputError, match="no such file"):
        read_map("nowhere.nc", "sla", "m")
    with pytest.raises(InputError, match="expected one called sla"):
        read_map(ds.assign(other=ds.mdt), "sla", "cm")
    with pytest.raises(InputError, match="does not vary in time"):
        read_map(ds, "sla", "cm", varying=True)
    with pytest.raises(InputError, match="does not cover 1 of 1"):
        read_map(ds, "sla", "cm")(on_sphere(np.array([60.0]), np.array([3.0])))
    infinite = ds.where(ds.lat < 44, np.inf)
    with pytest.raises(InputError, match="mdt of the mean has 6 infinite values"):
        read_map(infinite.assign(mdt=infinite.mdt.assign_attrs(units="cm")), "sla", "cm")


def test_a_map_around_the_globe_has_no_seam() -> None:
    longitude = np.arange(1.0, 361.0, 2.0)
    ds = mdt(longitude)
    ds["mdt"] = ds.mdt.dims, np.tile(np.sin(np.radians(longitude)), (5, 1))
    at = np.array([-1.0, -0.5, 0.0, 0.75, 1.0, 359.9])
    found = read_map(ds, "mdt", "")(on_sphere(np.full(6, 41.0), at))
    expected = np.sin(np.radians(1.0)) * np.where(at > 180, at - 360, at)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_packed_and_missing_values_are_decoded() -> None:
    ds = mdt(np.arange(0.0, 6.0))
    packed = ((ds.mdt - 40) / 0.01).fillna(-999).round().astype("i2")
    packed.attrs = {"scale_factor": 0.01, "add_offset": 40.0, "_FillValue": np.int16(-999)}
    np.testing.assert_allclose(
        read_map(ds.assign(mdt=packed), "mdt", "").values, read_map(ds, "mdt", "").values
    )


def test_a_single_row_covers_half_a_cell() -> None:
    row = mdt(np.arange(0.0, 6.0)).isel(lat=[3])
    found = read_map(row, "mdt", "")
    np.testing.assert_allclose(found(on_sphere(np.array([41.4]), np.array([2.5]))), 43.5)
    with pytest.raises(InputError, match="does not cover 1 of 1"):
        found(on_sphere(np.array([43.0]), np.array([2.5])))
