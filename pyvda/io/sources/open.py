"""Open files: observations under pyvda's names, validated; truths and analyses as they are.

>>> ds = open_observations("obs.nc", chunks={"window": 256})        # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.io.cf import conventions, layout
from pyvda.io.cf.dimensions import find_time, is_window
from pyvda.io.quality import validation
from pyvda.io.quality.missing_codes import without_codes
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.sources import locations, sources
from pyvda.io.tables import analysis_times, rows
from pyvda.io.writing import model_attributes
from pyvda.models.model import Model
from pyvda.state import chunking


def open_observations(
    path: Any,
    variable: str | Sequence[str] | None = None,
    *,
    group: str | None = None,
    grid_step: float | str | None = None,
    chunks: Any = None,
    model: Model | None = None,
    good_flags: GoodFlags | None = None,
) -> xr.Dataset:
    """Open observations under pyvda's names, checked.

    Parameters
    ----------
    path : path, URL, or a list of them
        A netCDF file, a zarr store (a folder or a zip archive) or a CSV table; or files that make a
        longer series or more windows, by a list or a pattern such as "obs_*.nc". A DataArray, a
        DataFrame or a DataTree is taken, too.
    variable : str or sequence of str, optional
        The observed variable, or those that make the state ("x,y,z"), by name or by CF
        `standard_name`. By default `observation`, else the variables of the model's state, else the
        only floating-point variable with a time and a state dimension.
    group : str, optional
        Group of a netCDF file, zarr store or DataTree. Default: the root, or the only group with
        data.
    grid_step : float or str, optional
        The file is a table with one datum per row, and this is the step of its analysis times; see
        `pyvda.on_grid`.
    chunks : optional
        None to read the file into memory; else what `Dataset.chunk` takes, by pyvda's dimension
        names (`{"window": 256}`, "auto"), to leave the values on disk as dask arrays; or a function
        that returns either for the opened Dataset, such as `by_size`.
    model : Model, optional
        By whose names and dimensions the variables of the state are recognised. Default: the model
        that the file says made it, if any.
    good_flags : int, str or tuple of them, optional
        Quality flags of the data to use, by value or meaning ("0,1", (0, 1), "good"); "all": data
        of any flag. Default: those that the file calls good.

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
    path = sources.listed(path)
    source = sources.as_dataset(path, "the first argument", group=group)
    where = path if sources.is_location(path) else "the first argument"
    said = names.REJECTED in source.variables
    try:
        known = model or model_attributes.usable(source)
        table = grid_step is not None or rows.is_table(source, known)
        if table:
            known = known or model_attributes.required(source)
            with locations.reading(where):
                ds = analysis_times.placed(source, known, grid_step, variable, good_flags)
        else:
            space = None if known is None else known.state_space
            ds = conventions.normalise(source, variable, space, good_flags)
        if callable(chunks):
            chunks = chunks(ds)
        with locations.reading(where):
            ds = ds.load() if chunks is None else ds.chunk(chunks)
        ds = conventions.as_float64(ds)
        if chunks is None and not table:
            ds = _without_codes(ds)
        with locations.reading(where):
            validation.check(ds, said=said)
    except BaseException:
        source.close()
        raise
    if sources.is_location(path):
        opened = {
            "variable": variable, "group": group, "grid_step": grid_step, "model": model,
            "good_flags": good_flags,
        }  # fmt: skip
        ds.encoding |= {"source": _plain(path), names.OPENED: opened}
    if chunks is None:
        source.close()
    else:
        ds.set_close(source.close)
    return ds


def _without_codes(ds: xr.Dataset) -> xr.Dataset:
    """Return observations without missing values that nothing states, each variable by itself."""
    whole = ds.variables[names.OBSERVATION]
    parts = layout.of_file(ds) or [(names.OBSERVATION, slice(None), whole.attrs)]
    changed = {}
    for name, place, attrs in parts:
        part = whole.isel({names.STATE: place})
        part.attrs = attrs
        clean = without_codes(part, name)
        if clean is not part:
            changed[place.start, place.stop] = clean.values
    if not changed:
        return ds
    values = whole.values.copy()
    for (start, stop), clean_values in changed.items():
        values[..., start:stop] = clean_values
    return ds.assign({names.OBSERVATION: whole.copy(data=values)})


def _plain(path: Any) -> Any:
    several = isinstance(path, list | tuple)
    return [os.fspath(one) for one in path] if several else os.fspath(path)


def by_size(
    ds: xr.Dataset, block: int | None = None, *, whole: bool = False, workers: bool = False
) -> dict[str, int] | None:
    """Return the chunks that a file is to be read in, None where it is small enough to be one.

    Parameters
    ----------
    ds : Dataset
        Observations, not yet read. Their size is that in memory: files are packed and compressed.
    block : int, optional
        Windows of a chunk.
    whole : bool
        Whether the windows are needed together.
    workers : bool
        Whether several processes are to share the work, also on a small file.
    """
    total = sum(variable.size for variable in ds.data_vars.values()) * np.dtype(float).itemsize
    if whole or (total <= chunking.ONE_BLOCK_BYTES and not workers):
        return None
    windows = [str(dim) for dim in ds.dims if is_window(ds, dim)]
    time = find_time(ds, ds.dims)[0]
    size = chunking.shared_size if workers else chunking.block_size
    if windows:
        count = ds.sizes[windows[0]]
        return {windows[0]: block or size(total // max(1, count), count)}
    if time is None:
        return {}
    steps = ds.sizes[time]
    return {str(time): chunking.block_size(total // max(1, steps), steps)}


def opened(
    given: Any,
    what: str = "the argument observations",
    *,
    group: str | None = None,
    block: int | None = None,
) -> xr.Dataset:
    """Return what a user gave as a Dataset; a location is read, in blocks where it is large.

    Parameters
    ----------
    given : Dataset, path, ...
        See `sources.as_dataset`.
    what : str, optional
        What messages call it.
    group : str, optional
        Group of a file or DataTree.
    block : int, optional
        Windows of a block.
    """
    given = sources.listed(given)
    ds = sources.as_dataset(given, what, group=group)
    if not sources.is_location(given):
        return ds
    ds.encoding["source"] = _plain(given)  # of files that are joined, xarray keeps the first
    chunks = by_size(ds, block)
    if chunks is not None:
        return ds.chunk(chunks)
    with ds, locations.reading(given):
        return ds.load()


def open_dataset(path: locations.Location, variables: Sequence[str] | None = None) -> xr.Dataset:
    """Read a file of pyvda's own (a truth, an analysis) into memory, whole or some variables."""
    with locations.opened(path) as ds, locations.reading(path):
        return (ds if variables is None else ds[list(variables)]).load()
