"""Windows in dask chunks to their lazy analysis: one task for each chunk of windows.

The graph holds what is the same in all tasks once, and nothing in it is bound to this process, so
that any of dask's schedulers runs it: threads, processes, or the workers of a cluster.
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Iterable
from functools import partial
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from pyvda import names
from pyvda.block_task import Backgrounds, BlockTask


def lazily(
    task: BlockTask, ds: xr.Dataset, like: xr.Dataset, own: Backgrounds | None = None
) -> xr.Dataset:
    """Return the analysis of windows as a lazy Dataset.

    Parameters
    ----------
    task : BlockTask
    ds : Dataset
        Windows; the lazy variables that have them share their chunks.
    like : Dataset
        An analysis of the same windows by variables, dimensions and dtypes; its values are not
        read. See `pyvda.io.writing.analysis.template`.
    own : sequence of Background or Ensemble, optional
        Background of each window.
    """
    lazy = {name: v for name, v in ds.variables.items() if v.chunks is not None}
    memory = ds.drop_vars(list(lazy))
    described = {name: (v.dims, v.attrs) for name, v in lazy.items()}
    run = f"pyvda-assimilate-{uuid.uuid4().hex}"
    graph: dict[Any, Any] = {f"{run}-task": task}
    last = np.cumsum(ds[names.OBSERVATION].chunksizes[names.WINDOW]).tolist()
    for i, (start, stop) in enumerate(zip([0, *last], last, strict=False)):
        part = partial(
            _analysed,
            memory=memory.isel({names.WINDOW: slice(start, stop)}, missing_dims="ignore"),
            described=described,
            coords=[name for name in lazy if name in ds.coords],
            own=None if own is None else list(own[start:stop]),
        )
        keys = [_key(v, i) for v in lazy.values()]
        graph[run, i] = (part, f"{run}-task", keys)
    inputs = [v.data for v in lazy.values()]
    whole = HighLevelGraph.from_collections(run, graph, dependencies=inputs)
    data = {
        name: (v.dims, _one_of(whole, run, name, v.variable), v.attrs)
        for name, v in like.data_vars.items()
    }
    return xr.Dataset(data, like.coords, like.attrs)


def _key(variable: xr.Variable, block: int) -> tuple[Any, ...]:
    """Return the key of the variable's chunk in this block of windows."""
    return (variable.data.name, *(block if dim == names.WINDOW else 0 for dim in variable.dims))


def _one_of(graph: HighLevelGraph, run: str, name: Hashable, like: xr.Variable) -> dask.array.Array:
    """Return one variable of the results as an array in their chunks."""
    own = f"{run}-{name}"
    layer: Any = {
        (own, *index): (_variable, (run, index[0]), name)
        for index in np.ndindex(*like.data.numblocks)
    }
    layers, dependencies = dict(graph.layers), dict(graph.dependencies)
    layers[own], dependencies[own] = layer, {run}
    whole = HighLevelGraph(layers, dependencies)
    meta = np.empty((0,) * like.ndim, like.dtype)
    return dask.array.Array(whole, own, like.data.chunks, meta=meta)


def _analysed(
    task: BlockTask,
    values: Iterable[np.ndarray],
    *,
    memory: xr.Dataset,
    described: dict[Hashable, tuple[tuple[Hashable, ...], dict[Any, Any]]],
    coords: list[Hashable],
    own: Backgrounds | None,
) -> dict[Hashable, np.ndarray]:
    """Return the arrays of the analysis of one block."""
    arrays = {
        name: (dims, array, attrs)
        for (name, (dims, attrs)), array in zip(described.items(), values, strict=True)
    }
    found = task(memory.assign(arrays).set_coords(coords), own)
    return {name: v.values for name, v in found.data_vars.items()}


def _variable(arrays: dict[Hashable, np.ndarray], name: Hashable) -> np.ndarray:
    return arrays[name]
