import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.fields.places import on_sphere
from pyvda.fields.point_mean import read_map


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
    found = read_map(mdt(np.arange(0.0, 6.0)), "sla", "m")
    places = on_sphere(np.array([40.25, 43.5, 42.0, 40.0]), np.array([0.5, 4.25, 2.0, -0.4]))
    np.testing.assert_allclose(found(places)[:2], [40.75, 47.75])
    assert found(places)[2] in (43.0, 45.0)
    np.testing.assert_allclose(found(places)[3], 40.0)


def test_longitudes_of_another_turn() -> None:
    found = read_map(mdt(np.array([355.0, 356.0, 357.0, 358.0, 359.0])), "mdt", "")
    np.testing.assert_allclose(found(on_sphere(np.array([41.0]), np.array([-3.5]))), 41.0 + 356.5)


def test_maps_that_cannot_be_used() -> None:
    ds = mdt(np.arange(0.0, 6.0), units="cm")
    with pytest.raises(InputError, match="is in 'cm', but sla is in 'm'"):
        read_map(ds, "sla", "m")
    with pytest.raises(InputError, match="no such file"):
        read_map("nowhere.nc", "sla", "m")
    with pytest.raises(InputError, match="expected one called sla"):
        read_map(ds.assign(other=ds.mdt), "sla", "cm")
    with pytest.raises(InputError, match="does not cover 1 of 1"):
        read_map(ds, "sla", "cm")(on_sphere(np.array([60.0]), np.array([3.0])))
