"""Lazy arrays computed block by block, each block once, in memory that does not grow with them.

Arrays that come from the same tasks, such as the variables of an analysis, are computed together.
The scheduler is the user's. Where none was chosen, a block is computed in this thread: the engine
has threads of its own, and Ctrl-C then reaches it between two of its pieces. With a client, its
workers compute some blocks ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dask.array
import dask.base
import dask.config
import dask.local
import numpy as np
import xarray as xr
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from pyvda.cluster import client
from pyvda.progress import ProgressReport, silent

_AHEAD = 2  # blocks for each worker, computed or being computed


class Writer:
    """Collects sources and targets as xarray's own writer does, and writes them block by block."""

    def __init__(self) -> None:
        self.sources: list[dask.array.Array] = []
        self.targets: list[Any] = []

    def add(self, source: Any, target: Any, region: Any = None) -> None:
        """Write `source` to `target[region]`, now if it is in memory."""
        if not isinstance(source, dask.array.Array):
            target[region or ...] = source
        elif source.size:
            self.sources.append(source)
            self.targets.append(target)

    def write(self, report: ProgressReport = silent) -> None:
        """Write the lazy sources; report the completed blocks."""
        for rows in _alike(self.sources):
            sources = [self.sources[row] for row in rows]
            targets = [self.targets[row] for row in rows]
            total = sources[0].npartitions
            blocks = (
                [source.blocks[index] for source, (index, _) in zip(sources, place, strict=True)]
                for place in places(sources)
            )
            found = zip(places(sources), computed(blocks), strict=True)
            for done, (place, values) in enumerate(found, 1):
                for target, (_, region), array in zip(targets, place, values, strict=True):
                    target[region] = array
                report(done, total)


def to_netcdf(
    ds: xr.Dataset,
    path: str,
    encoding: Mapping[Any, Mapping[str, Any]],
    report: ProgressReport = silent,
) -> None:
    """Write a Dataset to a netCDF file, as `Dataset.to_netcdf` does, block by block.

    Parameters
    ----------
    ds : Dataset
    path : str
    encoding : mapping
        Per variable.
    report : ProgressReport
        Called with the number of blocks that are written.
    """
    # Without a lock given, xarray looks for a client of `distributed`, and imports that package
    # (0.2 s) where nothing did. This process alone writes the file.
    store = xr.backends.NetCDF4DataStore.open(
        path, mode="w", format="NETCDF4", lock=NETCDF4_PYTHON_LOCK
    )
    try:
        writer = Writer()
        unlimited = ds.encoding.get("unlimited_dims", ())
        ds.dump_to_store(store, writer=writer, encoding=encoding, unlimited_dims=unlimited)
        writer.write(report)
    finally:
        store.close()


def loaded(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` in memory, its lazy variables computed together, block by block."""
    lazy = {name: v for name, v in ds.variables.items() if v.chunks is not None}
    writer = Writer()
    arrays = {name: np.empty(v.shape, v.dtype) for name, v in lazy.items()}
    for name, variable in lazy.items():
        writer.add(variable.data, arrays[name])
    writer.write()
    found = {name: (v.dims, arrays[name], v.attrs, v.encoding) for name, v in lazy.items()}
    return ds.assign(found) if found else ds


Place = tuple[tuple[int, ...], tuple[slice, ...]]


def _alike(sources: Sequence[dask.array.Array]) -> list[list[int]]:
    """Return the numbers of the sources, those with as many blocks together."""
    groups: dict[int, list[int]] = {}
    for row, source in enumerate(sources):
        groups.setdefault(source.npartitions, []).append(row)
    return list(groups.values())


def places(sources: Sequence[dask.array.Array]) -> Iterator[list[Place]]:
    """Yield index and region of each source's next block."""
    bounds = [[np.cumsum([0, *sizes]) for sizes in source.chunks] for source in sources]
    for indices in zip(*(np.ndindex(*source.numblocks) for source in sources), strict=True):
        yield [
            (
                index,
                tuple(slice(int(b[i]), int(b[i + 1])) for i, b in zip(index, bound, strict=True)),
            )
            for index, bound in zip(indices, bounds, strict=True)
        ]


def computed(blocks: Iterable[Sequence[dask.array.Array]]) -> Iterator[Sequence[np.ndarray]]:
    """Yield the values of each block."""
    using = client()
    if using is None:
        for block in blocks:
            with _scheduler():
                yield dask.base.compute(*block)
        return
    ahead = _AHEAD * max(1, len(using.scheduler_info()["workers"]))
    waiting: deque[Any] = deque()
    for block in blocks:
        waiting.append(using.compute(list(block)))
        if len(waiting) >= ahead:
            yield using.gather(waiting.popleft())
    while waiting:
        yield using.gather(waiting.popleft())


def _scheduler() -> Any:
    chosen = dask.config.get("scheduler", None) is not None or dask.config.get("pool", None)
    return dask.config.set({} if chosen else {"scheduler": dask.local.get_sync})
