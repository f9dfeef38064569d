"""Open files: observations under pyvda's names, validated; truths and analyses as they are.

>>> ds = open_observations("obs.nc", chunks={"window": 256})        # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io import conventions, validation
from pyvda.io.netcdf3 import announced_size
from pyvda.models.model import Model

_IN_MEMORY_BYTES = 128 << 20  # a file with more than this is read in blocks
_BLOCK_WINDOWS = 4096
_SERIES_STEPS = 500_000
# What the libraries were seen to raise on files that are broken, cut short or of another kind.
# MemoryError and errors of our own (NameError, AssertionError, ...) are not among them.
_OF_BROKEN_FILES = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError,
    struct.error, zlib.error,
)  # fmt: skip


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
    """Refuse a file that a library cannot read; errors that refuse it already pass."""
    try:
        yield
    except InputError:
        raise
    except _OF_BROKEN_FILES as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
        raise InputError(
            f"{path} cannot be read as netCDF or zarr ({reason}); "
            "check that it is such a file and complete"
        ) from error
