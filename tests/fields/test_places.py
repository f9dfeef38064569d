import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.fields.field import places_of
from pyvda.fields.places import arc, joined, on_plane, on_sphere


def test_distances_are_great_circles() -> None:
    both = on_sphere(np.array([48.0, 52.5]), np.array([2.0, 13.4]))
    chord = np.linalg.norm(np.diff(both.position, axis=0))
    phi, lam = np.radians([48.0, 52.5]), np.radians(13.4 - 2.0)
    haversine = np.sin(np.diff(phi) / 2) ** 2 + np.prod(np.cos(phi)) * np.sin(lam / 2) ** 2
    np.testing.assert_allclose(arc(chord), 2 * 6371 * np.arcsin(np.sqrt(haversine)))


@pytest.mark.parametrize("longitude", [[-1.0, 0.0, 1.0], [359.0, 0.0, 361.0]])
def test_longitudes_of_any_turn(longitude) -> None:
    places = on_sphere(np.zeros(3), np.array(longitude))
    np.testing.assert_allclose(np.diff(places.map[:, 0]), 1.0)
    assert places.scale.period == 0


def test_a_globe_is_periodic() -> None:
    assert on_sphere(np.zeros(36), np.arange(0.0, 360.0, 10.0)).scale.period == 360


@pytest.mark.parametrize(("south", "north", "wide"), [(20, 70, 60), (85, 90, 180), (-89, 80, 100)])
def test_bounds_hold(south, north, wide) -> None:
    rng = np.random.default_rng(0)
    places = on_sphere(rng.uniform(south, north, 200), rng.uniform(-wide, wide, 200))
    km = np.linalg.norm(places.position[:, None] - places.position, axis=-1)
    du, dv = (np.abs(places.map[:, None, axis] - places.map[:, axis]) for axis in (0, 1))
    if places.scale.period:
        du = np.minimum(du, 360 - du)
    bound = np.hypot(du * places.scale.x, dv * places.scale.y)
    assert (bound <= km + 1e-9).all()
    assert bound.max() > 0.5 * km.max() or north == 90


def test_a_plane_and_joining() -> None:
    plane = on_plane(np.array([0.0, 3.0]), np.array([0.0, 4.0]))
    assert np.linalg.norm(np.diff(plane.position, axis=0)) == 5
    assert len(joined(plane, plane)) == 4
    both = joined(
        on_sphere(np.zeros(1), np.array([179.0])), on_sphere(np.zeros(1), np.array([-179.0]))
    )
    assert np.ptp(both.map[:, 0]) == 2


def test_bad_coordinates() -> None:
    with pytest.raises(InputError, match="-90 to 90"):
        on_sphere(np.array([95.0]), np.zeros(1))
    with pytest.raises(InputError, match="missing"):
        on_sphere(np.array([np.nan]), np.zeros(1))


@pytest.mark.parametrize(("units", "unit", "y"), [("1", "", 1.0), ("m", "km", 0.001)])
def test_places_of_a_file_have_the_unit_of_its_coordinates(units, unit, y) -> None:
    along = {d: (d, np.array([0.0, 1.0]), {"units": units}) for d in ("y", "x")}
    found = places_of(xr.Dataset({}, along), "ssh", ("y", "x"), np.ones((2, 2), bool))
    assert found.unit == unit
    assert found.at(slice(1, None)).unit == unit
    assert found.map[-1, 1] == pytest.approx(y)
