"""The report on a lazy analysis, whose windows are judged by the file as a whole, too.

Status and doubts of a window depend on all windows. A lazy analysis has them as arrays that wait
for a reduction over a sample of all blocks. Where it is written block by block, that would compute
every block for each: `unjudged` leaves the reduction out, and `judge_written` does it on the
written file, so that both ways, and the analysis in memory, have the same bits.
"""

from __future__ import annotations

import os
import uuid
import warnings
from functools import partial
from typing import Any

import dask.array
import dask.base
import netCDF4
import xarray as xr
from dask.array.core import finalize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from pyvda import names
from pyvda.judgements.report import ATTRIBUTE, doubted, report_of
from pyvda.judgements.sampled_file import SampledFile, sampled

_REDUCTION = "pyvda-file-in-doubt"
_NEEDED = (names.STATUS, names.DOUBTS, names.FIT)
_CONFIGURATION = "pyvda_configuration"


def with_lazy_report(analysis: xr.Dataset) -> xr.Dataset:
    """Return a lazy analysis whose status and doubts wait for the judgement of the whole file."""
    sample = sampled(analysis)._asdict()
    lazy: dict[str, Any] = {n: v for n, v in sample.items() if isinstance(v, dask.array.Array)}
    memory = {n: v for n, v in sample.items() if n not in lazy}
    name = f"{_REDUCTION}-{uuid.uuid4().hex}"
    # A task of keys: `dask.delayed` would optimize each array alone, and compute its blocks again.
    task = (partial(_in_doubt, list(lazy), memory), *(v.__dask_keys__() for v in lazy.values()))
    graph = HighLevelGraph.from_collections(name, {(name,): task}, list(lazy.values()))
    waiting = dask.array.Array(graph, name, (), dtype=bool)
    return analysis.assign(doubted(analysis, waiting))


def is_to_be_judged(analysis: xr.Dataset) -> bool:
    """Tell whether a Dataset is a lazy analysis, on which there is no report yet."""
    return (
        all(name in analysis.variables for name in _NEEDED)
        and _CONFIGURATION in analysis.attrs
        and ATTRIBUTE not in analysis.attrs
        and any(v.chunks is not None for v in analysis.variables.values())
    )


def unjudged(analysis: xr.Dataset) -> xr.Dataset:
    """Return a lazy analysis with the status and the doubts of the windows alone."""
    found = {}
    for name in (names.STATUS, names.DOUBTS):
        variable = analysis[name].variable
        own: Any = variable.data
        if not isinstance(own, dask.array.Array):
            continue
        graph: Any = own.__dask_graph__()
        layers, dependencies = dict(graph.layers), dict(graph.dependencies)
        for layer in [one for one in layers if str(one).startswith(_REDUCTION)]:
            layers[layer] = MaterializedLayer({(layer,): False})
            dependencies[layer] = set()
        cut = HighLevelGraph(layers, dependencies)
        array: Any = dask.array.Array(cut, own.name, own.chunks, meta=own._meta)
        found[name] = variable.copy(data=array)
    return analysis.assign(found)


def judge_written(path: str | os.PathLike[str], *, zarr: bool) -> None:
    """Judge the analysis in a file as a whole: write status, doubts and report into the file."""
    engine: Any = "zarr" if zarr else "netcdf4"
    with xr.open_dataset(path, engine=engine, chunks={}, cache=False, decode_times=False) as ds:
        sample = SampledFile(*dask.base.compute(*sampled(ds), scheduler="synchronous"))
        # Here, because workers of a cluster would keep the file open.
        small = ds[list(_NEEDED)].compute(scheduler="synchronous")
    report = report_of(sample)
    if report.findings:
        found = doubted(small)
        changed = {name: array.values for name, array in found.items()}
        status, doubts = changed[names.STATUS], changed[names.DOUBTS]
        report = report_of(sample._replace(status=status, doubts=doubts))
    else:
        changed = {}
    said = {ATTRIBUTE: str(report)} if str(report) else {}
    if zarr:
        _into_zarr(path, changed, said)
    else:
        with netCDF4.Dataset(os.fspath(path), "r+") as file:
            file.set_auto_maskandscale(False)
            for name, values in changed.items():
                file[name][...] = values
            file.setncatts(said)


def _into_zarr(path: Any, values: dict[str, Any], attrs: dict[str, str]) -> None:
    import zarr

    group: Any = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name, array in values.items():
        group[name][...] = array
    group.attrs.update(attrs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(path)


def _in_doubt(names_of: list[str], memory: dict[str, Any], *blocks: Any) -> bool:
    """Return whether there is a finding, from the blocks of each lazy array of a sample."""
    whole = {name: finalize(one) for name, one in zip(names_of, blocks, strict=True)}
    return bool(report_of(SampledFile(**memory, **whole)).findings)
