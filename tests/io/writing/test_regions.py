"""Zarr stores written region by region: what was finished stays, another run is refused."""

import uuid
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.delayed import delayed
from distributed import Client, SchedulerPlugin

from pyvda.errors import InputError
from pyvda.io.writing import regions
from pyvda.io.writing.regions import _owner, _tasks, write


class Lazy:
    """Six windows in three blocks, of which one may fail."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails, self.computed = fails, []
        rows = da.arange(6, chunks=2).map_blocks(self._block, dtype=float, meta=np.empty(0))
        self.ds = xr.Dataset(
            {"analysis": ("window", rows), "known": ("time", [1.0, 2.0])},
            attrs={"title": "an analysis"},
        )

    def _block(self, block: np.ndarray) -> np.ndarray:
        if block.size:
            if block[0] == self.fails:
                raise RuntimeError("killed")
            self.computed.append(int(block[0]))
        return 10.0 * block

    def write(self, path, run: str | None = None) -> list[tuple[int, int]]:
        reported: list[tuple[int, int]] = []
        write(self.ds, self.ds, path, {}, lambda d, n, note="": reported.append((d, n)), run)
        return reported


def assert_whole(path) -> None:
    with xr.open_zarr(path) as found:
        np.testing.assert_array_equal(found["analysis"], 10.0 * np.arange(6))
        np.testing.assert_array_equal(found["known"], [1.0, 2.0])
        assert found.attrs["title"] == "an analysis"
    assert not (path / ".pyvda").exists()


@pytest.mark.parametrize("run", [None, "a run"])
def test_a_store_is_whole_and_each_block_is_computed_once(tmp_path, run) -> None:
    lazy = Lazy()
    assert lazy.write(tmp_path / "a.zarr", run) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert lazy.computed == [0, 2, 4]
    assert_whole(tmp_path / "a.zarr")


def test_an_interrupted_store_goes_on_with_the_rest(tmp_path) -> None:
    path = tmp_path / "a.zarr"
    with pytest.raises(RuntimeError, match="killed"):
        Lazy(fails=4).write(path, "a run")
    with pytest.raises(InputError, match="left by a run with other"):
        Lazy().write(path, "another run")
    lazy = Lazy()
    assert lazy.write(path, "a run") == [(2, 3), (3, 3)]
    assert lazy.computed == [4]
    assert_whole(path)


def test_a_folder_of_something_else_is_no_interrupted_store(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="a folder with other content; rename that folder"):
        Lazy().write(tmp_path, "a run")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def _parts(ds: xr.Dataset, of: dict[int, slice]) -> dict:
    return {i: {n: (((i,), (part,)), v.variable) for n, v in ds.items()} for i, part in of.items()}


def test_a_region_is_one_task_and_what_regions_share_another() -> None:
    rows = da.arange(6, chunks=2)
    shared = da.ones(1, chunks=1).sum()
    ds = xr.Dataset({"a": ("window", rows * 2 + shared), "b": ("window", rows - 1)})
    regions = _parts(ds, {0: slice(0, 2), 1: slice(2, 4)})
    graph, writes = _tasks(Path("store"), regions)
    assert len(writes) == 2
    others = set(graph) - set(writes)
    assert others == {key for key in graph if key in shared.dask}
    one, of_one = _tasks(Path("store"), {0: regions[0]})
    assert list(one) == of_one  # nothing is shared: one task


def test_what_a_shared_task_needs_is_shared() -> None:
    before = {"a": [], "b": ["a"], "c": ["b"], "d": ["b"], "e": ["d", "c"], "f": ["a"], "g": []}
    assert _owner(before, {0: ["c"], 1: ["e", "g"], 2: ["f"]}) == {
        "a": None, "b": None, "c": None, "d": 1, "e": 1, "f": 2, "g": 1,
    }  # fmt: skip


def test_a_shared_value_stays_what_it_is(tmp_path, client) -> None:
    pair = delayed(lambda: (len, "abc"))()  # looks like a task
    kinds = [da.from_delayed(delayed(lambda v: np.full(2, len(v)))(pair), (2,), int) for _ in "ab"]
    ds = xr.Dataset({"a": ("window", da.concatenate(kinds))})
    write(ds, ds, tmp_path / "a.zarr", {})
    with xr.open_zarr(tmp_path / "a.zarr") as found:
        np.testing.assert_array_equal(found["a"], [2, 2, 2, 2])


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, dashboard_address=None, n_workers=1) as using:
        yield using


def test_workers_write_what_one_process_writes(tmp_path, client) -> None:
    rows = da.random.default_rng(3).normal(size=(6, 4), chunks=(2, 4))
    ds = xr.Dataset({"a": (("window", "time"), rows - rows.mean()), "b": (("window",), rows[:, 0])})
    write(ds, ds, tmp_path / "a.zarr", {})
    with xr.open_zarr(tmp_path / "a.zarr") as found:
        xr.testing.assert_equal(found.load(), ds.compute(scheduler="synchronous"))


def test_what_is_on_the_cluster_is_not_computed_again(tmp_path, client) -> None:
    def computed(block: np.ndarray, folder: str = str(tmp_path)) -> np.ndarray:
        (Path(folder) / f"{block[0]}-{uuid.uuid4().hex}").touch()
        return 10.0 * block

    rows = da.arange(6, chunks=2).map_blocks(computed, dtype=float, meta=np.empty(0))
    ds = xr.Dataset({"analysis": ("window", rows)}).persist()
    write(ds, ds, tmp_path / "a.zarr", {})
    with xr.open_zarr(tmp_path / "a.zarr") as found:
        np.testing.assert_array_equal(found["analysis"], 10.0 * np.arange(6))
    assert len(list(tmp_path.glob("[0-9]-*"))) == 3


def test_a_scheduler_has_few_tasks_at_a_time(tmp_path, client, monkeypatch) -> None:
    """A worker holds all tasks that it is given, so that their number must be bounded."""
    monkeypatch.setattr(regions, "_LEAST", 2)
    monkeypatch.setattr(regions, "_PER_THREAD", 0)
    submitted: list[int] = []
    get = client.get

    def counting(graph, keys, **options):
        submitted.append(len(keys))
        return get(graph, keys, **options)

    monkeypatch.setattr(client, "get", counting)
    Lazy().write(tmp_path / "a.zarr")
    assert submitted == [2, 1]
    assert_whole(tmp_path / "a.zarr")


def test_annotations_reach_the_tasks_that_write(tmp_path, client) -> None:
    found: list[dict] = []

    class Look(SchedulerPlugin):
        def update_graph(self, scheduler, *, tasks, **_):
            found.extend(dict(scheduler.tasks[key].annotations or {}) for key in tasks)

    client.cluster.scheduler.add_plugin(Look(), name="look")
    with dask.annotate(priority=7, retries=2):
        Lazy().write(tmp_path / "a.zarr")
    client.cluster.scheduler.remove_plugin("look")
    assert found
    assert all(one == {"priority": 7, "retries": 2} for one in found)
    assert_whole(tmp_path / "a.zarr")
