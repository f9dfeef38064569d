"""Convert user input to a Dataset: paths, URLs, a DataArray, a table, a DataTree.

>>> import numpy as np, xarray as xr
>>> as_dataset(xr.DataArray(np.zeros((5, 3)), dims=("time", "state"))).observation.dims
('time', 'state')
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import times
from pyvda.io.cf.dimensions import with_single_attributes
from pyvda.io.sources import groups, ioda, locations, several_files
from pyvda.io.tables import frames

_OBSERVATIONS = "the argument observations"


def is_location(given: Any) -> bool:
    """Tell whether something is a path or URL, or a list of them."""
    several = given if isinstance(given, list | tuple) and given else [given]
    return all(isinstance(one, str | os.PathLike) for one in several)


def listed(given: Any) -> Any:
    """Return an iterator, such as that of `Path.glob`, as a list, and anything else as it is."""
    return list(given) if isinstance(given, Iterator) and not hasattr(given, "read") else given


def as_dataset(given: Any, what: str = _OBSERVATIONS, *, group: str | None = None) -> xr.Dataset:
    """Return what a user gave as a Dataset.

    Parameters
    ----------
    given : Dataset, DataArray, DataTree, DataFrame, Series, path, URL, or a list of these
        See `locations.opened` for what lies somewhere, `frames.dataset` for tables of pandas and
        `several_files.combined` for lists.
    what : str, optional
        What messages call it.
    group : str, optional
        Group of a file or DataTree.

    Returns
    -------
    Dataset
        That of a location is not read yet. A DataArray has the name `observation` where it has no
        other one.

    Raises
    ------
    InputError
        It is something else, or cannot be read.
    """
    given = listed(given)
    if isinstance(given, list | tuple) and not given:
        raise InputError(f"{what} is an empty {type(given).__name__}; give at least one file")
    if is_location(given):
        return _plain(locations.opened(given, group))
    if isinstance(given, xr.DataTree):
        return _plain(groups.chosen(groups.of_tree(given), group, what))
    if group is not None:
        raise InputError(
            f"the group {group!r} is one of a file or a DataTree, but {what} is a "
            f"{type(given).__name__}; leave it out"
        )
    if isinstance(given, xr.Dataset):
        return _plain(given)
    if isinstance(given, xr.DataArray):
        return _plain(_of_array(given))
    if isinstance(given, pd.DataFrame | pd.Series):
        return frames.dataset(given, what)
    if isinstance(given, list | tuple) and given and all(map(_is_labelled, given)):
        parts = {f"{what}[{n}]": as_dataset(one, f"{what}[{n}]") for n, one in enumerate(given)}
        return next(iter(parts.values())) if len(parts) == 1 else several_files.combined(parts)
    if _is_zarr(given):
        return _plain(xr.open_dataset(given, engine="zarr", chunks=None, cache=False))
    raise _refused(given, what)


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with names that are text; of IODA's first version the joined table.

    Its names contain their groups.
    """
    if any(str(name).endswith(f"@{ioda.VALUES}") for name in ds.data_vars):
        ds = ioda.joined(ioda.from_flat_names(ds))
    numbered = {name: str(name) for name in {*ds.variables, *ds.dims} if not isinstance(name, str)}
    named = ds.rename(numbered) if numbered else ds
    return times.recognised(with_single_attributes(named))


def _of_array(array: xr.DataArray) -> xr.Dataset:
    name = array.name
    taken = name is None or name in array.coords or name in (names.TRUTH, names.OBSERVATION_ERROR)
    return array.to_dataset(name=names.OBSERVATION if taken else str(name))


def _is_labelled(given: Any) -> bool:
    return isinstance(given, xr.Dataset | xr.DataArray | pd.DataFrame | pd.Series)


def _is_zarr(given: Any) -> bool:
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(given).__mro__}
    return bool(kinds & {"zarr.abc.store.Store", "fsspec.mapping.FSMap"})


def _refused(given: Any, what: str) -> InputError:
    kind = f"{type(given).__module__.partition('.')[0]}.{type(given).__qualname__}"
    kind = kind.removeprefix("builtins.")
    found = f"{what} is a {kind}, expected an xarray Dataset"
    if isinstance(given, Mapping):
        if {"data_vars", "dims"} <= set(given):
            return InputError(f"{found}; make one of it (xarray.Dataset.from_dict)")
        if all(isinstance(value, xr.DataArray) for value in given.values()):
            return InputError(f"{found}; make one of it (xarray.Dataset)")
        return InputError(
            f"{found} or a table; make a table of its columns (pandas.DataFrame), one of them time"
        )
    if hasattr(given, "to_pandas"):  # polars, pyarrow
        return InputError(f"{found} or a table of pandas; convert it (its method to_pandas)")
    if hasattr(given, "filepath"):  # netCDF4.Dataset
        return InputError(f"{found} or a path; give the path of the file, {given.filepath()!r}")
    if hasattr(given, "read"):
        return InputError(f"{found} or a path; give the path of the file and not the open file")
    if hasattr(given, "shape") or isinstance(given, list | tuple):
        try:
            shape = np.shape(given)
        except (TypeError, ValueError):
            shape = ()
        if 2 <= len(shape) <= 3:
            dims = names.DIMENSIONS[-len(shape) :]
            return InputError(
                f"{found}; its shape {shape} does not say which dimension is which: name them "
                f"(xarray.DataArray(values, dims={dims}))"
            )
    return InputError(f"{found}, a DataArray, a DataFrame or the path of a file; give one of these")
