"""Save Datasets as netCDF or zarr, completely or not at all.

>>> save_analysis(analysis, "analysis.nc")  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
import warnings
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dask
import netCDF4
import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.atomic import replacing

_CHUNK_BYTES = 1 << 20  # small enough for HDF5's cache, large enough for a disk
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def save_analysis(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> None:
    """Write a Dataset to netCDF, or to zarr where `path` ends in `.zarr`, completely or not at all.

    Parameters
    ----------
    ds : Dataset
        Any Dataset; dask-backed variables are computed block by block, on one thread.
    path : path
        Replaced if it exists, once the new file is complete and on the disk.
    encoding : mapping, optional
        Per variable, as in `Dataset.to_netcdf`; added to light compression in netCDF files.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written to, when `path` is a folder of something
        else, or when the disk is full; nothing is left behind.
    """
    path = Path(path)
    zarr = path.suffix == ".zarr"
    if path.is_dir() and not (zarr and _is_store(path)):
        raise InputError(f"cannot write {path}: it is a folder; choose another name")
    chosen = _encoding(ds, zarr, encoding or {})
    with replacing(path) as temporary, dask.config.set(scheduler="synchronous"):
        if zarr:
            with warnings.catch_warnings():
                # Readers are slower, and warn, without consolidated metadata.
                warnings.filterwarnings("ignore", message="Consolidated metadata")
                _for_zarr(ds).to_zarr(temporary, mode="w-", encoding=chosen)
        else:
            _to_netcdf(ds, temporary, chosen)


def _to_netcdf(ds: xr.Dataset, path: Path, encoding: dict[Hashable, dict[str, Any]]) -> None:
    try:
        with _small_caches():
            ds.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=encoding)
    except (OSError, RuntimeError) as error:
        # HDF5 never gives up a file that it cannot complete. Let it try now, while the disk is
        # still full, or it writes its buffers once more after the file was emptied and removed.
        failure: BaseException | None = error
        while failure is not None:  # tracebacks hold the open file
            traceback.clear_frames(failure.__traceback__)
            failure = failure.__context__
        gc.collect()
        raise


@contextlib.contextmanager
def _small_caches() -> Iterator[None]:
    """Keep a few chunks of each variable in memory instead of the library's 64 MB and more.

    Windows are written in their order, so a chunk that is complete is not needed again.
    """
    before = netCDF4.get_chunk_cache()
    netCDF4.set_chunk_cache(4 * _CHUNK_BYTES)
    try:
        yield
    finally:
        netCDF4.set_chunk_cache(*before)


def _is_store(path: Path) -> bool:
    return any((path / mark).exists() for mark in _ZARR_MARKS)


def _encoding(
    ds: xr.Dataset, zarr: bool, given: Mapping[Hashable, Mapping[str, Any]]
) -> dict[Hashable, dict[str, Any]]:
    """Return each variable's encoding: compressed, no _FillValue in coordinates (CF 2.5.1)."""
    chosen: dict[Hashable, dict[str, Any]] = {}
    for name, variable in ds.variables.items():
        # What is given to xarray replaces the variable's own encoding: keep the time's units.
        entry = {k: v for k, v in variable.encoding.items() if k in ("units", "calendar")}
        if name in ds.coords and variable.dtype.kind in "fmM":
            entry["_FillValue"] = None
        if not zarr and variable.ndim and variable.size and variable.dtype.kind in "fiu":
            entry |= {"zlib": True, "complevel": 1, "shuffle": True}
            entry["chunksizes"] = _chunk_sizes(variable.shape, variable.dtype.itemsize)
        if zarr and name in ds.dims and variable.size:
            entry["chunks"] = variable.shape
        entry |= given.get(name, {})
        if entry:
            chosen[name] = entry
    return chosen


def _chunk_sizes(shape: tuple[int, ...], item_size: int) -> tuple[int, ...]:
    """Return HDF5 chunks of at most 1 MiB, cut along the first dimensions first (whole windows)."""
    sizes = list(shape)
    for axis in range(len(sizes)):
        rest = int(np.prod(sizes[axis + 1 :])) * item_size
        sizes[axis] = max(1, min(sizes[axis], _CHUNK_BYTES // rest))
        if sizes[axis] > 1:
            break
    return tuple(sizes)


def _for_zarr(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` as zarr's format 3 takes it.

    Chunks equal, except the last of a dimension, and written one at a time: of several that zarr
    writes at once, some go on after one has failed. Strings of variable length, because those of
    fixed length are no part of the format yet.
    """
    regular = ds.copy()
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "U":
            regular[name] = ds[name].astype(object)
        if name not in ds.dims and variable.ndim and variable.size:
            sizes = _chunk_sizes(variable.shape, variable.dtype.itemsize)
            chunks: Mapping[Any, int] = dict(zip(variable.dims, sizes, strict=True))
            if variable.chunks is not None:
                chunks = {dim: max(found) for dim, found in variable.chunksizes.items()}
            regular[name] = regular[name].chunk(chunks)
        for key in ("chunks", "preferred_chunks"):
            regular[name].encoding.pop(key, None)
    return regular
