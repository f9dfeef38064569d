"""Distances on a grid."""

import numpy as np
import pytest
import xarray as xr

from pyvda.io.cf.spacing import spacing_of


def grid(y, x, units_y="", units_x=""):
    coords = {"y": ("y", y, {"units": units_y}), "x": ("x", x, {"units": units_x})}
    return xr.Dataset(coords=coords)


def test_degrees_become_kilometres() -> None:
    ds = grid(np.array([59.0, 60.0, 61.0]), np.arange(4.0), "degrees_north", "degrees_east")
    found = spacing_of(ds, ("y", "x"))
    assert found.unit == "km"
    assert found.along_y == pytest.approx(111.19, rel=1e-3)
    assert found.along_x[1] == pytest.approx(111.19 / 2, rel=1e-3)


def test_coordinates_of_one_unit_keep_it() -> None:
    found = spacing_of(grid(np.array([0.0, 2.0, 4.0]), np.array([9.0, 6.0, 3.0]), "m", "m"), "yx")
    assert found.unit == "m"
    assert found.mean == (2.0, 3.0)


@pytest.mark.parametrize(
    "ds",
    [
        grid(np.arange(3.0), np.arange(3.0)),
        grid(np.arange(3.0), np.arange(3.0), "m", "km"),
        grid(np.array([1.0, 1.0, 1.0]), np.arange(3.0), "m", "m"),
        xr.Dataset({"a": (("y", "x"), np.ones((3, 3)))}),
    ],
)
def test_otherwise_the_distance_is_one(ds) -> None:
    found = spacing_of(ds, ("y", "x"))
    assert found.unit == "grid spacings"
    assert (found.along_y == 1).all()
    assert (found.along_x == 1).all()
