"""Zarr stores written region by region: each by the process that computed it.

The metadata and what is in memory come first; then each region of the lazy variables is a task of
its own, on a client's workers where there is one. A region consists of whole chunks, so that no two
tasks write to the same file.

A store that is to survive an interruption has a folder `.pyvda` meanwhile, with the identity of the
run and a file for each finished region; the same run goes on with the rest.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.local
import numpy as np
import xarray as xr
from dask.core import get_dependencies, literal
from dask.highlevelgraph import HighLevelGraph

from pyvda.cluster import client
from pyvda.errors import InputError
from pyvda.io.writing.blockwise import Place, computed, places
from pyvda.io.writing.outputs import is_store
from pyvda.progress import ProgressReport, silent

if TYPE_CHECKING:
    from distributed import Client

_MARKS, _RUN = ".pyvda", "run"
# Tasks that a scheduler has at a time. It hands them out at once, and a worker holds the graph of
# each, some 50 kB, until it is done.
_PER_THREAD, _LEAST, _MOST = 16, 128, 4000

Part = tuple[Place, xr.Variable]


def write(
    ds: xr.Dataset,
    regular: xr.Dataset,
    path: Path,
    encoding: Mapping[Any, Mapping[str, Any]],
    report: ProgressReport = silent,
    run: str | None = None,
) -> None:
    """Write a Dataset to a zarr store.

    Parameters
    ----------
    ds : Dataset
        Its lazy variables are still to be computed.
    regular : Dataset
        The same in the store's chunks, which are equal, except the last of a dimension.
    path : path
        Must not exist, unless `run` is given.
    encoding : mapping
        Per variable.
    report : ProgressReport
        Called with the number of regions that are finished.
    run : str, optional
        Identity of what is written. Where it is given, an interrupted store is continued.

    Raises
    ------
    InputError
        The interrupted store is that of another run, or `path` is a folder with other content.
    """
    using = client()
    lazy = [name for name, v in ds.variables.items() if v.chunks is not None]
    if run is None or not (path / _MARKS / _RUN).exists():
        _create(regular, path, encoding, lazy, run)
    if using is not None or run is not None:
        ds = regular  # else one writer, which may share the store's chunks with itself
    done = set() if run is None else _finished(path, run)
    rows = {name: [row[0] for row in places([ds[name].data])] for name in lazy}
    total = max(map(len, rows.values()), default=0)
    left = [number for number in range(total) if number not in done]
    report(total - len(left), total)

    def parts(number: int) -> dict[Hashable, Part]:
        return {n: (rows[n][number], ds[n].variable) for n in rows if number < len(rows[n])}

    written = _here(path, left, parts) if using is None else _there(using, path, left, parts)
    for finished, number in enumerate(written, total - len(left) + 1):
        if run is not None:
            (path / _MARKS / str(number)).touch()
        report(finished, total)
    shutil.rmtree(path / _MARKS, ignore_errors=True)


def _create(
    ds: xr.Dataset,
    path: Path,
    encoding: Mapping[Any, Mapping[str, Any]],
    lazy: Collection[Hashable],
    run: str | None,
) -> None:
    """Write the metadata of all variables, and the values of those in memory."""
    if path.is_dir() and any(path.iterdir()) and not is_store(path):
        raise InputError(
            f"{path} is the name of the store until it is complete, but a folder with other "
            "content; rename that folder, or choose another output"
        )
    shutil.rmtree(path, ignore_errors=True)  # interrupted before its first region
    ds.to_zarr(path, mode="w-", compute=False, encoding=encoding)
    here = [name for name, v in ds.variables.items() if v.chunks is not None and name not in lazy]
    for name in here:
        values = np.asarray(ds[name].data.compute(scheduler=dask.local.get_sync))
        alone = xr.Dataset({name: (ds[name].dims, values)})
        alone.to_zarr(path, mode="r+")
    if run is not None:
        (path / _MARKS).mkdir()
        (path / _MARKS / _RUN).write_text(run)


def _finished(path: Path, run: str) -> set[int]:
    try:
        of = (path / _MARKS / _RUN).read_text()
    except OSError:
        of = ""
    if of != run:
        raise InputError(
            f"{path} was left by a run with other observations or settings; repeat that run to "
            "complete it, remove the folder to start afresh, or choose another output"
        )
    return {int(mark.name) for mark in (path / _MARKS).iterdir() if mark.name.isdecimal()}


def _here(
    path: Path, numbers: Sequence[int], parts: Callable[[int], dict[Hashable, Part]]
) -> Iterator[int]:
    """Write regions in this process; yield their numbers."""
    regions = [parts(number) for number in numbers]
    blocks = ([v.data.blocks[i] for (i, _), v in region.values()] for region in regions)
    for number, region, values in zip(numbers, regions, computed(blocks), strict=True):
        _write(path, _described(region), values)
        yield number


def _there(
    using: Client, path: Path, numbers: Sequence[int], parts: Callable[[int], dict[Hashable, Part]]
) -> Iterator[int]:
    """Write regions on the workers; yield their numbers in the order in which they finish."""
    from distributed import as_completed

    waiting = list(numbers)
    futures = as_completed()
    most = 0
    try:
        while waiting or futures.count():
            if waiting and futures.count() <= most // 2:
                most = _at_a_time(sum(using.nthreads().values()))
                room = max(1, most - futures.count())
                some, waiting = waiting[:room], waiting[room:]
                graph, writes = _tasks(path, {number: parts(number) for number in some})
                futures.update(using.get(graph, writes, sync=False))
            yield next(futures).result()
    finally:
        using.cancel(list(futures.futures))


def _at_a_time(threads: int) -> int:
    """Return how many tasks are submitted, so that none of the threads has to wait for one.

    >>> [_at_a_time(threads) for threads in (0, 2, 100, 1000)]
    [128, 128, 1600, 4000]
    """
    return min(max(_LEAST, _PER_THREAD * threads), _MOST)


def _tasks(
    path: Path, regions: Mapping[int, Mapping[Hashable, Part]]
) -> tuple[dict[Any, Any], list[str]]:
    """Return a graph in which each region is one task, and the keys of these tasks.

    A task computes all that only its region needs, so that a thread of a worker holds one region
    at a time and a scheduler has few tasks. What several of these regions need is computed once, by
    tasks of its own. Where something is on the cluster already, all tasks are single ones.
    """
    from distributed import futures_of

    arrays = {v.data.name: v.data for region in regions.values() for _, v in region.values()}
    wanted = {
        number: [(v.data.name, *index) for (index, _), v in region.values()]
        for number, region in regions.items()
    }
    whole = HighLevelGraph.merge(*(array.dask for array in arrays.values()))
    graph = dict(whole.cull([key for keys in wanted.values() for key in keys]))
    before = {key: get_dependencies(graph, key) for key in graph}
    owner = dict.fromkeys(graph) if futures_of(list(arrays.values())) else _owner(before, wanted)
    own: dict[int, dict[Any, Any]] = {number: {} for number in regions}
    tasks: dict[Any, Any] = {}
    for key, number in owner.items():
        (tasks if number is None else own[number])[key] = graph[key]
    writes = []
    for number, region in regions.items():
        inner = {key for node in own[number] for key in before[node]}
        given = [key for key in inner.union(wanted[number]) if key in tasks]
        write = partial(
            _compute_and_write, path, _described(region), own[number], wanted[number], given, number
        )
        writes.append(f"pyvda-write-{uuid.uuid4().hex}")
        tasks[writes[-1]] = (write, given)
    return tasks, writes


def _owner(
    before: Mapping[Any, Collection[Any]], wanted: Mapping[int, Collection[Any]]
) -> dict[Any, int | None]:
    """Return for each key the only region that needs it, or None where several do.

    Parameters
    ----------
    before : mapping
        The keys on which each depends.
    wanted : mapping
        The keys that each region needs itself.
    """
    owner: dict[Any, int | None] = {}
    for number, keys in wanted.items():
        left = list(keys)
        while left:
            key = left.pop()
            if key not in owner:
                owner[key] = number
            elif owner[key] in (number, None):
                continue
            else:
                owner[key] = None
            left += before[key]
    return owner


def _compute_and_write(
    path: Path,
    described: Described,
    graph: Mapping[Any, Any],
    keys: list[Any],
    given: Sequence[Any],
    number: int,
    values: Sequence[Any],
) -> int:
    """Compute the values of a region by `graph` from those `given`, and write them."""
    # A tuple that dask would take for a task, or a value that is a key, must stay what it is.
    known = {key: (literal(value),) for key, value in zip(given, values, strict=True)}
    whole = {**graph, **known}
    _write(path, described, dask.local.get_sync(whole, keys))
    return number


Described = list[tuple[Hashable, tuple[Hashable, ...], tuple[slice, ...]]]


def _described(region: Mapping[Hashable, Part]) -> Described:
    return [(name, v.dims, place) for name, ((_, place), v) in region.items()]


def _write(path: Path, described: Described, values: Sequence[np.ndarray]) -> None:
    """Write the values of some variables to their place in the store."""
    together: dict[Any, dict[Hashable, Any]] = {}
    for (name, dims, place), array in zip(described, values, strict=True):
        key = tuple((dim, part.start, part.stop) for dim, part in zip(dims, place, strict=True))
        together.setdefault(key, {})[name] = (dims, array)
    for key, variables in together.items():
        region = {dim: slice(start, stop) for dim, start, stop in key}
        xr.Dataset(variables).to_zarr(path, region=region)
