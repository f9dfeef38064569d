"""Lazy arrays computed block by block: each block once, those of the same tasks together."""

from collections import Counter

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from pyvda.io.writing.blockwise import loaded, places, to_netcdf


class Counted:
    """A lazy Dataset of two variables made of the same blocks, and how often each was computed."""

    def __init__(self) -> None:
        self.computed: Counter[int] = Counter()
        rows = da.arange(6, chunks=2).map_blocks(self._block, dtype=float, meta=np.empty(0))
        self.ds = xr.Dataset(
            {
                "one": (("window", "time"), rows[:, None] + da.zeros((6, 4), chunks=(2, 4))),
                "other": ("window", 10 * rows, {"units": "K"}),
                "known": ("time", np.arange(4.0)),
            }
        )
        self.expected = {"one": np.arange(6.0)[:, None] + np.zeros(4), "other": 10 * np.arange(6.0)}

    def _block(self, block: np.ndarray) -> np.ndarray:
        if block.size:
            self.computed[int(block[0])] += 1
        return block.astype(float)


def test_variables_of_the_same_blocks_are_computed_together() -> None:
    lazy = Counted()
    found = loaded(lazy.ds)
    for name, values in lazy.expected.items():
        np.testing.assert_array_equal(found[name].values, values)
        assert found[name].chunks is None
    assert found["other"].attrs == {"units": "K"}
    assert lazy.computed == {0: 1, 2: 1, 4: 1}
    memory = xr.Dataset({"known": ("time", np.arange(4.0))})
    assert loaded(memory) is memory


def test_a_file_is_written_block_by_block(tmp_path) -> None:
    lazy = Counted()
    reported: list[tuple[int, int]] = []
    to_netcdf(
        lazy.ds, str(tmp_path / "a.nc"), {"one": {"dtype": "f4"}},
        lambda done, total, note="": reported.append((done, total)),
    )  # fmt: skip
    with xr.open_dataset(tmp_path / "a.nc") as found:
        for name, values in lazy.expected.items():
            np.testing.assert_array_equal(found[name], values)
        assert found["one"].dtype == np.float32
        np.testing.assert_array_equal(found["known"], np.arange(4.0))
    assert lazy.computed == {0: 1, 2: 1, 4: 1}
    assert reported == [(1, 3), (2, 3), (3, 3)]


def test_a_block_that_fails_leaves_no_open_file(tmp_path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("in the midst")

    lazy = da.zeros(4, chunks=2).map_blocks(fail, dtype=float, meta=np.empty(0))
    with pytest.raises(RuntimeError, match="in the midst"):
        to_netcdf(xr.Dataset({"x": ("n", lazy)}), str(tmp_path / "a.nc"), {})
    (tmp_path / "a.nc").rename(tmp_path / "b.nc")
    to_netcdf(xr.Dataset({"x": ("n", da.ones(4, chunks=2))}), str(tmp_path / "b.nc"), {})
    with xr.open_dataset(tmp_path / "b.nc") as found:
        assert found["x"].values.tolist() == [1, 1, 1, 1]


def test_places_cover_an_array_once() -> None:
    arrays = [da.zeros((5, 4), chunks=((2, 3), (1, 3))), da.zeros(4, chunks=1)]
    covered = [np.zeros(array.shape) for array in arrays]
    for row in places(arrays):
        for array, into, (index, region) in zip(arrays, covered, row, strict=True):
            assert into[region].shape == array.blocks[index].shape
            into[region] += 1
    assert all((into == 1).all() for into in covered)
