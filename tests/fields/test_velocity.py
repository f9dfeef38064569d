"""A flow that carries the field: against a dense solve of data where the flow takes them."""

import numpy as np
import pytest
import xarray as xr
from gappy import COVARIANCE, as_mapping, field

import pyvda
from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.errors import InputError
from pyvda.fields.interpolation import field_data, targets
from pyvda.fields.places import on_plane, on_sphere
from pyvda.fields.velocity import read_velocity
from pyvda.operators.sphere import EARTH_RADIUS

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def test_a_velocity_in_three_dimensions_is_east_and_north() -> None:
    places = on_sphere(np.array([0.0, 45.0, -30.0]), np.array([10.0, 120.0, -75.0]))
    east, north = (read_velocity(given)(places) for given in ((1.0, 0.0), "0,1.0"))
    later = on_sphere(places.map[:, 1] + 1e-4, places.map[:, 0]).position
    np.testing.assert_allclose(
        (later - places.position) / (EARTH_RADIUS * np.radians(1e-4)), north / 86.4, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(east, axis=1), 86.4)
    np.testing.assert_allclose((east * north).sum(1), 0.0, atol=1e-9)
    np.testing.assert_allclose(east[:, 2], 0.0, atol=1e-12)
    plane = on_plane(np.array([3.0]), np.array([4.0]))
    np.testing.assert_allclose(read_velocity((1.0, 2.0))(plane), [[86.4, 172.8, 0.0]])


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
def test_an_estimate_is_that_of_data_where_the_flow_takes_them(engine) -> None:
    rng = np.random.default_rng(0)
    places = on_plane(*(200 * rng.uniform(size=(2, 30))))
    days = np.arange(4.0)
    anomaly = rng.normal(size=(4, 30))
    velocity = np.column_stack([20 * rng.normal(size=(30, 2)), np.zeros(30)])
    data = field_data(anomaly, np.full((4, 30), 0.1), days, places, velocity=velocity)
    asked = targets(places, np.repeat([0, 3], 30), np.tile(np.arange(30), 2), days)
    every = Selection(10**4, 10**4, np.inf, np.inf)
    found = get_engine(engine).optimal_interpolation(data, asked, every, COVARIANCE.rows())
    for q in (0, 17, 43):
        time = asked.time[q]
        at = data.position + data.velocity * (time - data.time)[:, None]
        km = np.linalg.norm(at[:, None] - at, axis=-1)
        a = COVARIANCE(km, data.time[:, None] - data.time) + 0.1 * np.eye(len(at))
        away = np.linalg.norm(at - places.position[asked.point[q]], axis=-1)
        c = COVARIANCE(away, data.time - time)
        np.testing.assert_allclose(found.value[q], c @ np.linalg.solve(a, data.value), atol=1e-9)
        expected = COVARIANCE.variance - c @ np.linalg.solve(a, c)
        np.testing.assert_allclose(found.variance[q], expected, atol=1e-9)


def drifting(speed):
    """Return a field on a plane that a flow of so many m s-1 carries along x, and its truth."""
    x, t = np.arange(0.0, 400.0, 20.0), np.arange(8.0)
    rng = np.random.default_rng(3)
    wave = np.sin((x - 86.4 * speed * t[:, None]) / 25.0)[:, None, :] * np.ones((1, 3, 1))
    values = wave + 0.02 * rng.normal(size=wave.shape)
    values[4] = np.nan
    ds = xr.Dataset(
        {"sst": (("time", "y", "x"), values)},
        {"time": np.datetime64("2020-03-01", "ns") + t.astype(int) * np.timedelta64(1, "D"),
         "y": ("y", 20 * np.arange(3.0), {"units": "km"}), "x": ("x", x, {"units": "km"})},
    )  # fmt: skip
    return ds, wave[4]


def test_a_field_that_drifts_is_estimated_better_with_its_flow() -> None:
    ds, truth = drifting(0.3)
    given = {"method": "oi", "engine": "torch", "nearest": 4, "nearest_other": 4,
             "within_days": 1.0}  # fmt: skip
    covariance = {"variables": {"sst": {"nugget": 1e-3, "factors": [
        {"variance": 0.5, "km": 40.0, "days": 20.0, "space": "gaussian"}]}}}  # fmt: skip
    errors = [
        float(np.sqrt(((pyvda.assimilate(ds, covariance=covariance, **given, **more).sst.values[4]
                        - truth)[:, 4:-4] ** 2).mean()))
        for more in ({}, {"velocity": (0.3, 0.0)})
    ]  # fmt: skip
    assert errors[1] < 0.5 * errors[0]


def test_maps_of_a_velocity_and_what_is_none(tmp_path) -> None:
    ds, _ = field(times=3)
    grid = {n: ds[n] for n in ("lat", "lon")}
    maps = xr.Dataset(
        {n: (("lat", "lon"), np.full((4, 5), v), {"units": "m/s", "standard_name": s})
         for n, v, s in (("a", 0.2, "eastward_sea_water_velocity"),
                         ("b", -0.1, "northward_sea_water_velocity"))}, grid,
    )  # fmt: skip
    maps.to_netcdf(tmp_path / "flow.nc")
    given = {"method": "oi", "engine": "torch", "covariance": as_mapping(), "nearest": 2}
    found = pyvda.assimilate(ds, velocity=str(tmp_path / "flow.nc"), **given)
    same = pyvda.assimilate(ds, velocity="0.2,-0.1", **given)
    xr.testing.assert_allclose(found.sst, same.sst)
    assert float(abs(found.sst - pyvda.assimilate(ds, **given).sst).max()) > 1e-3
    with pytest.raises(InputError, match="expected two numbers in m s-1"):
        pyvda.assimilate(ds, velocity="fast", **given)
    with pytest.raises(InputError, match="no northward component"):
        read_velocity(maps[["a"]])
    with pytest.raises(InputError, match="is in 'cm'"):
        read_velocity(maps.assign(a=maps.a.assign_attrs(units="cm")))


def test_packed_components_and_messages() -> None:
    map_of = (("lat", "lon"), np.full((2, 2), 50, "i2"))
    attrs = {"units": "m s-1", "scale_factor": 0.01}
    ds = xr.Dataset(
        {"u": (*map_of, attrs), "v": (*map_of, attrs)},
        {"lat": ("lat", [40.0, 41.0], {"units": "degrees_north"}),
         "lon": ("lon", [5.0, 6.0], {"units": "degrees_east"})},
    )  # fmt: skip
    places = on_sphere(np.array([40.5]), np.array([5.5]))
    np.testing.assert_allclose(read_velocity(ds)(places), read_velocity((0.5, 0.5))(places))
    with pytest.raises(InputError, match="u of the velocity is in 'cm s-1', expected 'm s-1'"):
        read_velocity(ds.assign(u=ds.u.assign_attrs(units="cm s-1")))
    with pytest.raises(InputError, match="no such file"):
        read_velocity("nowhere.nc")
