"""Tables at the analysis times: as an array where every datum is at one of them, else as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.io.cf.dimensions import find_time
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import elapsed
from pyvda.io.tables import rows, sampling_geometry, tables
from pyvda.io.tables.components import Components
from pyvda.io.tables.point_observations import positions, rows_of
from pyvda.models.model import Model

_UNIFORM = 1e-6  # of a step
ANALYSIS_TIMES = "analysis_times"  # an attribute of a table: first, last and step


def placed(
    table: xr.Dataset,
    model: Model,
    step: float | str | None = None,
    variable: str | Sequence[str] | None = None,
    good_flags: GoodFlags | None = None,
) -> xr.Dataset:
    """Return a table as observations of a model's state on a regular axis of times.

    Parameters
    ----------
    table : Dataset
        See `pyvda.on_grid`.
    model : Model
    step : float or str, optional
        From one analysis time to the next. Default: that of the table's attribute
        `analysis_times` (first, last, step), which also says where they begin and end, else the
        spacing of the table's own times: with those of rows without a value, where these are
        equally spaced.
    variable : str or sequence of str, optional
        See `pyvda.on_grid`.
    good_flags : optional
        See `pyvda.open_observations`.

    Returns
    -------
    Dataset
        `observation` (time, state) with the data if each of them is one component at an analysis
        time and no two are the same; else all NaN, beside the data as point observations.

    Raises
    ------
    InputError
        See `pyvda.on_grid`; or no step is given and the times are not equally spaced.
    """
    table = rows.screened(table, variable, good_flags)
    found = rows.of_table(table, Components.of(model), variable)
    time = rows.column(found.table, names.TIME, found.table[found.name].dims[0])
    start, stop, own = _stated(found.table, time)
    if step is None and own is None:
        every = _every_time(table)
        if every is not None:
            time, start, stop = every, every.min(), every.max()
        step = _spacing(time, model)
    elif step is None:
        step = own
    ds = tables.on_axis(found.table, found.name, found.operator, step, start, stop)
    made = layout.of_model(_dense(ds), model, named=found.named)
    space = model.state_space
    return made if space is None else tables.with_coordinates(made, dict(space.coordinates))


def _stated(table: xr.Dataset, time: np.ndarray) -> tuple[Any, Any, Any]:
    """Return first and last analysis time and step of a table that says them; else three None."""
    if ANALYSIS_TIMES not in table.attrs or time.dtype.kind not in "fiu":
        return None, None, None
    found = np.atleast_1d(table.attrs[ANALYSIS_TIMES])
    numbers = found.dtype.kind in "fiu" and found.shape == (3,) and np.isfinite(found).all()
    if not (numbers and found[1] > found[0] and found[2] > 0):
        raise InputError(
            f"the attribute {ANALYSIS_TIMES} is {found.tolist()}, expected the first and the last "
            "analysis time and the step between them; correct it, or remove it and give grid_step "
            "(--grid-step)"
        )
    start, stop, step = found.tolist()
    return start, stop, step


def _every_time(table: xr.Dataset) -> np.ndarray | None:
    """Return the times of all rows, also of those without a value, if they are equally spaced."""
    whole = sampling_geometry.table(table)
    name = find_time(whole, whole.dims)[1]
    if name is None:
        return None
    times = whole[name].values
    every = np.unique(times[~pd.isnull(times)])
    if len(every) < 2 or every.dtype.kind not in "fiuM":
        return None
    seconds = np.diff(elapsed(every))
    return every if np.ptp(seconds) <= _UNIFORM * seconds.max() else None


def _spacing(time: np.ndarray, model: Model) -> Any:
    every = np.unique(time[~pd.isnull(time)])
    remedy = "give the spacing of the analysis times with grid_step (--grid-step), such as "
    if time.dtype.kind in "fiu":
        remedy += f"{model.time_step:g}, the usual step of {model.name} in model time"
    else:
        remedy += "'6h'"
    if len(every) < 2:
        raise InputError(f"the table has {len(every)} different times, expected at least 2")
    seconds = np.diff(elapsed(every))
    if np.ptp(seconds) > _UNIFORM * seconds.max():
        raise InputError(
            f"the times of the table are not equally spaced (between {seconds.min():.6g} and "
            f"{seconds.max():.6g} apart); {remedy}"
        )
    whole = every[-1] - every[0]
    return whole / (len(every) - 1) if time.dtype.kind in "fiu" else pd.Timedelta(seconds[0], "s")


def _dense(ds: xr.Dataset) -> xr.Dataset:
    """Return point observations of components at analysis times as the array that they make."""
    leading = ds[names.POINT_OBSERVATION].dims[:-1]
    value = ds[names.POINT_OBSERVATION].values
    there = np.isfinite(value)
    operator = rows_of(ds.transpose(*leading, names.DATUM, ...))[there]
    when = positions(ds[names.POINT_TIME].values, ds[names.TIME].values)[there]
    component, coefficient = operator.largest()
    alone = operator.single().all() and (coefficient == 1).all()
    if not alone or (when % 1 != 0).any():
        return ds
    at = (*np.nonzero(there)[:-1], when.astype(int), component)
    filled = ds[names.OBSERVATION].transpose(*leading, names.TIME, names.STATE)
    if len(np.unique(np.ravel_multi_index(at, filled.shape))) < len(when):
        return ds
    made = ds.drop_vars([n for n in names.POINTS if n in ds.variables])
    made[names.OBSERVATION] = (filled.dims, _at(at, value[there], filled.shape), filled.attrs)
    if names.POINT_ERROR in ds:
        error = ds[names.POINT_ERROR].values[there]
        made[names.OBSERVATION_ERROR] = (filled.dims, _at(at, error, filled.shape))
    return made


def _at(index: tuple[np.ndarray, ...], values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    found = np.full(shape, np.nan)
    found[index] = values
    return found
