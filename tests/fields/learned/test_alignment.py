"""A field is opened on the grid of a training, with its axes in the training's direction."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from pyvda.fields.learned.alignment import aligned

Y, X = np.arange(3.0), np.arange(4.0)
SEA = np.ones((3, 4), bool)


def opened(ds: xr.Dataset, sea: np.ndarray | None) -> SimpleNamespace:
    return SimpleNamespace(ds=ds, sea=SEA if sea is None else sea, space=("y", "x"))


def same_grid(field: SimpleNamespace) -> bool:
    return np.array_equal(field.ds.y, Y) and np.array_equal(field.ds.x, X)


TRAINED = SimpleNamespace(grid=SimpleNamespace(shape=SEA.shape), same_grid=same_grid)


@pytest.mark.parametrize("turned", [(), ("y",), ("x",), ("y", "x")])
def test_reversed_axes_are_turned(turned: tuple[str, ...]) -> None:
    ds = xr.Dataset({"v": (("y", "x"), np.arange(12.0).reshape(3, 4))}, {"y": Y, "x": X})
    given = ds.isel({dim: slice(None, None, -1) for dim in turned})
    field, found = aligned(given, TRAINED, SEA, opened)
    assert found == turned
    assert field.sea is SEA
    xr.testing.assert_identical(field.ds, ds)


@pytest.mark.parametrize("coordinates", [{"y": Y + 0.5, "x": X}, {"y": Y, "x": X[[0, 2, 1, 3]]}])
def test_another_grid_is_left_as_it_is(coordinates: dict) -> None:
    ds = xr.Dataset({"v": (("y", "x"), np.zeros((3, 4)))}, coordinates)
    field, found = aligned(ds, TRAINED, ~SEA, opened)
    assert (found, field.ds.identical(ds), field.sea is SEA) == ((), True, True)
