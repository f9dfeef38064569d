"""Functions of variables that are not read yet: lazy where one of them is, in the order of dims."""

from pathlib import Path

import numpy as np
import xarray as xr

from pyvda.io.writing.elementwise import elementwise, lazy


def stored(path: Path) -> xr.Dataset:
    values = np.arange(24.0).reshape(4, 6)
    xr.Dataset({"x": (("time", "state"), values), "scale": ("state", np.arange(6.0))}).to_netcdf(
        path
    )
    return xr.open_dataset(path)


def test_a_variable_of_a_file_is_read_when_the_result_is(tmp_path) -> None:
    with stored(tmp_path / "a.nc") as ds:
        calls = []

        def scaled(x: np.ndarray, by: np.ndarray) -> np.ndarray:
            calls.append(x.shape)
            return x * by

        found = elementwise(scaled, float, ds["x"].variable, ds["scale"].variable)
        assert found.dims == ("time", "state")
        assert found.chunks is not None
        assert not ds["x"].variable._in_memory
        calls.clear()
        np.testing.assert_array_equal(found, ds["x"].values * np.arange(6.0))
        assert calls


def test_in_memory_it_is_computed_at_once() -> None:
    x = xr.Variable(("time", "state"), np.arange(6.0).reshape(2, 3))
    mask = xr.Variable("state", [True, False, True])
    found = elementwise(lambda a, m: np.where(m, a, np.nan), float, x, mask)
    assert found.chunks is None
    np.testing.assert_array_equal(found, [[0, np.nan, 2], [3, np.nan, 5]])


def test_chunks_of_the_user_s_stay(tmp_path) -> None:
    chunked = xr.Variable(("time", "state"), np.zeros((4, 6))).chunk({"time": 3})
    assert lazy(chunked).chunks == ((3, 1), (6,))
    number = xr.Variable((), 3.0)
    assert lazy(number) is number
    with stored(tmp_path / "a.nc") as ds:
        found = lazy(ds["x"].variable)
        assert found.chunks is not None
        assert sum(found.chunks[0]) == 4
        assert found.chunks[1] == (6,)
