"""Lazy arrays computed block by block, each block once, in memory that does not grow with them.

Arrays that come from the same tasks, such as the variables of an analysis, are computed together.
The scheduler is the user's. Where none was chosen, a block is computed in this thread: the engine
has threads of its own, and Ctrl-C then reaches it between two of its pieces. With a client, its
workers compute some blocks ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import dask.array
import dask.base
import dask.config
import dask.local
import numpy as np
import xarray as xr

from pyvda.cluster import client
from pyvda.progress import Report, silent

_AHEAD = 2  # blocks for each worker, computed or being computed


class Writer:
    """Collects sources and targets as xarray's own writer does, and writes them block by block."""

    def __init__(self) -> None:
        self.sources: list[dask.array.Array] = []
        self.targets: list[Any] = []

    def add(self, source: Any, target: Any, region: Any = None) -> None:
        """Write `source` to `target[region]`, now if it is in memory."""
        if isinstance(source, dask.array.Array):
            self.sources.append(source)
            self.targets.append(target)
        else:
            target[region or ...] = source

    def write(self, report: Report = silent) -> None:
        """Write the lazy sources; report completed blocks."""
        for rows in _alike(self.sources):
            places = list(_places([self.sources[row] for row in rows]))
            values = _computed(
                [
                    [self.sources[r].blocks[i] for r, (i, _) in zip(rows, place, strict=True)]
                    for place in places
                ]
            )
            for done, (place, found) in enumerate(zip(places, values, strict=True)):
                for row, (_, region), array in zip(rows, place, found, strict=True):
                    self.targets[row][region] = array
                report(done + 1, len(places))


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


def _places(sources: Sequence[dask.array.Array]) -> Iterator[list[Place]]:
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


def _computed(blocks: Sequence[Sequence[dask.array.Array]]) -> Iterator[Sequence[np.ndarray]]:
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
