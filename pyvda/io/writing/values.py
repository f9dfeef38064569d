"""Values as files hold them: numbers of 4 and 8 bytes, dates, text.

Data variables of pyvda's own have such types; coordinates of observations have those of their file
or of the user.
"""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from typing import Any

import cftime
import numpy as np
import pandas as pd
import xarray as xr

from pyvda.notices import notice

_FLOATS = {2: np.float32, 4: np.float32, 8: np.float64}


def storable_values(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with variables of types that netCDF and zarr hold.

    Floating-point numbers of 2 bytes get 4, those of more than 8 get 8; periods (their starts),
    dates and dates with a time zone (in UTC) become datetime64. Intervals, complex numbers,
    structures and objects of different kinds become text, which a notice says. Lazy variables are
    not computed.

    Parameters
    ----------
    ds : Dataset
    """
    changed: dict[Hashable, xr.Variable] = {}
    texts = []
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "f" and variable.dtype.itemsize not in (4, 8):
            changed[name] = variable.astype(_FLOATS.get(variable.dtype.itemsize, np.float64))
        elif variable.dtype.kind in "cV" or (variable.dtype.kind == "O" and not variable.chunks):
            values = np.asarray(variable.values)
            if variable.dtype.kind == "O" and (not values.size or _is_uniform(values)):
                continue
            found = _dates(values)
            if found is None:
                texts.append(str(name))
                found = np.array([str(one) for one in values.ravel()]).reshape(values.shape)
            changed[name] = variable.to_base_variable().copy(data=found)
    if texts:
        notice("variables of types that files cannot hold are written as text: " + ", ".join(texts))
    coords = {name: one for name, one in changed.items() if name in ds.coords}
    data = {name: one for name, one in changed.items() if name not in coords}
    return ds.assign_coords(coords).assign(data) if changed else ds


def _is_uniform(values: np.ndarray) -> bool:
    """Tell whether objects are of one kind that xarray writes: texts, numbers, dates of cftime."""
    kinds: tuple[Any, ...] = ((str,), (bytes,), (cftime.datetime,), (int, float, bool, np.number))
    there = [one for one in values.ravel() if not _is_missing(one)]
    return any(all(isinstance(one, kind) for one in there) for kind in kinds)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _dates(values: np.ndarray) -> np.ndarray | None:
    """Return dates as datetime64 without a zone; None of other values."""
    if values.dtype.kind != "O":
        return None
    flat = [pd.NaT if _is_missing(one) else one for one in values.ravel()]
    there = [one for one in flat if one is not pd.NaT]
    if all(isinstance(one, pd.Period) for one in there):
        flat = [one if one is pd.NaT else one.to_timestamp() for one in flat]
    elif not all(isinstance(one, datetime.date) for one in there):
        return None
    try:
        found = pd.to_datetime(pd.Series(flat), utc=True)
    except (ValueError, OverflowError):
        return None
    return np.asarray(found.dt.tz_localize(None).to_numpy()).reshape(values.shape)
