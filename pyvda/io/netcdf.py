"""Observation files in, analysis files out: netCDF and zarr.

>>> ds = open_observations("obs.nc", chunks={"window": 256})        # doctest: +SKIP
>>> save_analysis(append_history(analysis, "pyvda assimilate"), "analysis.nc")  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask
import netCDF4
import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io import conventions, validation
from pyvda.io.atomic import replacing
from pyvda.io.netcdf3 import announced_size
from pyvda.models.model import Model

_CHUNK_BYTES = 1 << 20  # small enough for HDF5's cache, large enough for a disk
_IN_MEMORY_BYTES = 128 << 20  # a file with more than this is read in blocks
_BLOCK_WINDOWS = 4096
_SERIES_STEPS = 500_000
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def open_observations(
    path: str | os.PathLike[str],
    variable: str | Sequence[str] | None = None,
    *,
    chunks: Any = None,
    model: Model | None = None,
) -> xr.Dataset:
    """Open a file of observations under pyvda's names, checked.

    Parameters
    ----------
    path : path
        A netCDF file, or the folder of a zarr store.
    variable : str or sequence of str, optional
        The observed variable, or those that make the state ("x,y,z"), by name or by CF
        `standard_name`. By default `observation`, else the variables of the model's state, else the
        only floating-point variable with a time and a state dimension.
    chunks : optional
        None to read the file into memory; else what `Dataset.chunk` takes, by pyvda's dimension
        names (`{"window": 256}`, "auto"), to leave the values on disk as dask arrays; or a function
        that returns either for the opened Dataset, such as `by_size`.
    model : Model, optional
        By whose names and dimensions the variables of the state are recognised.

    Returns
    -------
    Dataset
        `observation`, dimensions `(time, state)` or `(window, time, state)`, float64, NaN where
        nothing was observed, in the file's units; `observation_error` (a standard deviation, same
        shape) and `truth` if the file has them; the file's attributes and coordinates. Other
        variables are dropped.

    Raises
    ------
    InputError
        When the file is missing, cut short or of another kind, when the variable or its dimensions
        cannot be found, or when its values cannot be assimilated (see `validation.check`).
    """
    path = Path(path)
    with _reading(path):
        source = _open(path)
    try:
        ds = conventions.normalise(source, variable, None if model is None else model.state_space)
        if callable(chunks):
            chunks = chunks(ds)
        with _reading(path):
            ds = ds.load() if chunks is None else ds.chunk(chunks)
        ds = conventions.as_float64(ds)
        with _reading(path):
            validation.check(ds)
    except BaseException:
        source.close()
        raise
    if chunks is None:
        source.close()
    else:
        ds.set_close(source.close)
    return ds


def by_size(ds: xr.Dataset, block: int | None = None) -> dict[str, int] | None:
    """Return the chunks that a file is to be read in, None where it fits into memory.

    Parameters
    ----------
    ds : Dataset
        Observations, not yet read. Their size is that in memory: files are packed and compressed.
    block : int, optional
        Windows of a chunk.
    """
    values = sum(variable.size for variable in ds.data_vars.values())
    if values * np.dtype(float).itemsize <= _IN_MEMORY_BYTES:
        return None
    chunks = {names.WINDOW: block or _BLOCK_WINDOWS, names.TIME: _SERIES_STEPS}
    return {name: size for name, size in chunks.items() if name in ds.dims}


def open_dataset(
    path: str | os.PathLike[str], variables: Sequence[str] | None = None
) -> xr.Dataset:
    """Read a file of pyvda's own (a truth, an analysis) into memory, whole or some variables."""
    path = Path(path)
    with _reading(path), _open(path) as ds:
        return (ds if variables is None else ds[list(variables)]).load()


def time_step(ds: xr.Dataset) -> float | None:
    """Return the step of a plain-number time, in model time units; None for dates or no times.

    The step is rounded to the digits that the coordinate's type carries, so that a file written
    with steps of 0.01 gives 0.01 and not its neighbour.
    """
    if names.TIME not in ds.coords or ds[names.TIME].dtype.kind not in "fiu":
        return None
    time = ds[names.TIME].values
    digits = 6 if time.dtype.itemsize < 8 else 12
    return float(f"{validation.elapsed(time)[-1] / (len(time) - 1):.{digits}g}")


def model_time_step(ds: xr.Dataset, given: float | None, model: Model) -> float:
    """Return the step in model time units: `given`, else that of the time axis.

    Raises
    ------
    InputError
        When neither says it, or it is not positive.
    """
    found = given if given is not None else time_step(ds)
    if found is None:
        raise InputError(
            "the time axis holds dates or nothing, so the step in model time units is not known; "
            f"give time_step (--time-step), for example {model.time_step} for {model.name}"
        )
    if not 0 < found < np.inf:
        raise InputError(
            f"the time step is {found}, expected a positive number of model time units"
        )
    return found


def stated_variance(ds: xr.Dataset) -> float | None:
    """Return the error variance that the attribute `observation_error_variance` gives, if any.

    Raises
    ------
    InputError
        It is not one finite number, or it is negative.
    """
    given = ds.attrs.get(names.OBSERVATION_ERROR_VARIANCE)
    if given is None:
        return None
    value = np.asarray(given)
    if value.dtype.kind in "fiu" and value.size == 1:
        variance = float(value.item())
        if np.isfinite(variance) and variance >= 0:
            return variance
    raise InputError(
        f"the attribute {names.OBSERVATION_ERROR_VARIANCE} is {given!r}, expected one number, the "
        "variance of the observation errors in the state's units squared; correct or remove it"
    )


def append_history(ds: xr.Dataset, line: str) -> xr.Dataset:
    """Return `ds` with a time-stamped line added to its CF `history`, newest last."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    earlier = str(ds.attrs.get("history", "")).rstrip()
    entry = f"{stamp}: {' '.join(line.split())}"
    return ds.assign_attrs(history=f"{earlier}\n{entry}" if earlier else entry)


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


def _open(path: Path) -> xr.Dataset:
    # Only a variable that says it is a timedelta becomes one: "seconds" may be model time units.
    timedeltas = xr.coders.CFTimedeltaCoder(decode_via_units=False)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if path.is_dir():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
            return xr.open_dataset(
                path, engine="zarr", cache=False, chunks=None, decode_timedelta=timedeltas
            )
    announced = announced_size(path)
    if announced is not None and announced > path.stat().st_size:
        raise EOFError(f"{path.stat().st_size} bytes, its header announces {announced}")
    return xr.open_dataset(path, engine="netcdf4", cache=False, decode_timedelta=timedeltas)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    # What a broken file raises is no fixed list: OSError, RuntimeError, AttributeError, KeyError,
    # struct.error, JSON and codec errors, depending on the format and on where it breaks.
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
        raise InputError(
            f"{path} cannot be read as netCDF or zarr ({reason}); "
            "check that it is such a file and complete"
        ) from error


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
