"""Observations at arbitrary times in Datasets: from a table onto windows, and to arrays.

Beside `observation` on the axis of analysis times, a Dataset may hold data along `datum`, in each
window or in the whole series:

    point_time         (..., datum)         when, on the time axis of the file
    point_observation  (..., datum)         the value; NaN: no datum
    point_operator     (..., datum, state)  the row a of H: what was observed is a · state
    point_error        (..., datum)         standard deviation of its error; may be missing

`on_grid` makes that of a table with one row a datum.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.validation import elapsed
from pyvda.operators.points import SNAP, Points


def on_grid(
    table: xr.Dataset,
    step: float | str,
    size: int,
    *,
    start: Any = None,
    stop: Any = None,
    variable: str | Sequence[str] | None = None,
) -> xr.Dataset:
    """Put a table of observations, one row a datum, onto a regular axis of analysis times.

    Parameters
    ----------
    table : Dataset
        Variables along one dimension: the values, `time` (numbers or dates, in any order), and
        what was observed: `component` (int, counted from 0), or `operator` (datum, state), rows of
        the linear operator H. Perhaps `observation_error` (standard deviations).
    step : float or str
        From one analysis time to the next, in the unit of `time`; of dates such as "6h".
    size : int
        Components of the state.
    start, stop : optional
        First and last analysis time. Default: the first and the last datum's.
    variable : str, optional
        The values. Default: `observation`, else the only variable of real numbers that is none of
        the others.

    Returns
    -------
    Dataset
        `observation` (time, state), all NaN, and the data, for `pyvda.assimilate`. Data outside of
        [start, stop] are left out.

    Raises
    ------
    InputError
        When something of this is missing or does not fit.
    """
    name = _values_of(table, variable)
    (dimension,) = table[name].dims
    time = _along(table, "time", dimension)
    value = np.asarray(table[name].values, float)
    operator = _operator(table, dimension, size)
    kept = np.isfinite(value) & ~pd.isnull(time)
    if not kept.any():
        raise InputError(f"{name} has no value with a time; check the table")
    first, last = (time[kept].min() if start is None else start), stop
    axis = _axis(time.dtype, first, time[kept].max() if last is None else last, step)
    position = _positions(time, axis)
    kept &= (position > -SNAP) & (position < len(axis) - 1 + SNAP)
    if not kept.any():
        raise InputError(
            f"no datum lies between {axis[0]} and {axis[-1]}; choose other analysis times"
        )
    order = np.flatnonzero(kept)[np.argsort(time[kept], kind="stable")]
    data: dict[str, Any] = {
        names.OBSERVATION: (
            (names.TIME, names.STATE), np.full((len(axis), size), np.nan), table[name].attrs,
        ),
        names.POINT_OBSERVATION: (names.DATUM, value[order]),
        names.POINT_OPERATOR: ((names.DATUM, names.STATE), operator[order]),
    }  # fmt: skip
    if names.OBSERVATION_ERROR in table:
        error = np.asarray(_along(table, names.OBSERVATION_ERROR, dimension), float)
        data[names.POINT_ERROR] = (names.DATUM, error[order])
    attrs = table["time"].attrs
    coords = {
        names.TIME: (names.TIME, axis, attrs),
        names.POINT_TIME: (names.DATUM, time[order], attrs),
    }
    return xr.Dataset(data, coords, table.attrs)


def located(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with the data's place in steps from the first analysis time, checked.

    Raises
    ------
    InputError
        When a datum has no time inside the windows, no finite operator, or no positive error.
    """
    if names.POINT_OBSERVATION not in ds:
        return ds
    for name in (names.POINT_TIME, names.POINT_OPERATOR):
        if name not in ds.variables:
            raise InputError(f"{names.POINT_OBSERVATION} needs {name}; add it")
    ds = ds.assign({n: ds[n].compute() for n in names.POINTS if n in ds.variables})
    there = ds[names.POINT_OBSERVATION].notnull().values
    if np.isinf(ds[names.POINT_OBSERVATION].values).any():
        raise InputError(f"{names.POINT_OBSERVATION} has infinite values; mark missing data by NaN")
    operator = ds[names.POINT_OPERATOR].transpose(..., names.STATE).values
    if not np.isfinite(operator[there]).all() or not operator[there].any(-1).all():
        raise InputError(f"{names.POINT_OPERATOR} has rows of zeros or NaN; give what was observed")
    if names.POINT_ERROR in ds:
        error = ds[names.POINT_ERROR].values[there]
        if not (np.isfinite(error) & (error > 0)).all():
            raise InputError(f"{names.POINT_ERROR} is not a positive number at some data")
    if names.TIME not in ds.coords:
        raise InputError("data at arbitrary times need a coordinate of analysis times; add 'time'")
    position = _positions(ds[names.POINT_TIME].values, ds[names.TIME].values)
    outside = there & ~((position >= 0) & (position < ds.sizes[names.TIME]))
    if outside.any():
        when = ds[names.POINT_TIME].values[outside][0]
        raise InputError(
            f"{int(outside.sum())} data lie outside the analysis times, one at {when}; "
            "leave them out or lengthen the time axis"
        )
    dims = ds[names.POINT_OBSERVATION].dims
    return ds.assign({names.POINT_POSITION: (dims, np.where(there, position, np.nan))})


def cut_points(ds: xr.Dataset, starts: np.ndarray, length: int) -> dict[Hashable, xr.Variable]:
    """Return the variables along `datum` of a series for each of its windows, (window, datum, ...).

    A window has the data from its first step until one step after its last.
    """
    if names.POINT_POSITION not in ds:
        return {}
    position = ds[names.POINT_POSITION].values
    own = [np.flatnonzero((position >= s) & (position < s + length)) for s in starts]
    most = max(1, max(len(chosen) for chosen in own))
    index = np.zeros((len(starts), most), int)
    there = np.zeros(index.shape, bool)
    for row, chosen in enumerate(own):
        index[row, : len(chosen)] = chosen
        there[row, : len(chosen)] = True
    found: dict[Hashable, xr.Variable] = {}
    for name in names.POINTS:
        if name not in ds.variables:
            continue
        variable = ds.variables[name].transpose(names.DATUM, ...)
        values = variable.values[index]
        if name in (names.POINT_OBSERVATION, names.POINT_POSITION):
            values = np.where(there, values, np.nan)
        if name == names.POINT_POSITION:
            values = values - starts[:, None]
        found[name] = xr.Variable((names.WINDOW, *variable.dims), values, variable.attrs)
    return found


def to_points(block: xr.Dataset, reference_variance: float | None) -> Points | None:
    """Return the data of a block of windows as arrays, None where there are none."""
    if names.POINT_POSITION not in block:
        return None
    along = (names.WINDOW, names.DATUM)
    position = block[names.POINT_POSITION].transpose(*along).values
    there = np.isfinite(position)
    weight = there.astype(float)
    if reference_variance is not None and names.POINT_ERROR in block:
        error = block[names.POINT_ERROR].transpose(*along).values
        weight[there] = reference_variance / error[there] ** 2
    position = np.where(there, position, 0.0)
    step = np.floor(position).astype(int)
    value = np.where(there, block[names.POINT_OBSERVATION].transpose(*along).values, 0.0)
    operator = block[names.POINT_OPERATOR].transpose(*along, names.STATE).values
    operator = np.where(there[..., None], operator, 0.0)
    return Points(step, position - step, value, weight, operator)


def _values_of(table: xr.Dataset, variable: str | Sequence[str] | None) -> str:
    taken = ("time", "component", "operator", names.OBSERVATION_ERROR)
    candidates = [
        str(n) for n, v in table.data_vars.items()
        if v.ndim == 1 and v.dtype.kind == "f" and n not in taken
    ]  # fmt: skip
    if variable is not None and not isinstance(variable, str):
        variable = ",".join(variable)
    if variable is None and names.OBSERVATION in candidates:
        variable = names.OBSERVATION
    if variable is None and len(candidates) == 1:
        variable = candidates[0]
    if variable not in table.variables or table[variable].ndim != 1:
        raise InputError(
            "the table needs one variable of values along one dimension, found "
            f"{', '.join(candidates) or 'none'}; choose one by its name"
        )
    return str(variable)


def _along(table: xr.Dataset, name: str, dimension: Hashable) -> np.ndarray:
    if name not in table.variables or table[name].dims != (dimension,):
        raise InputError(f"the table needs {name!r} along {dimension!r}; add it")
    return np.asarray(table[name].values)


def _operator(table: xr.Dataset, dimension: Hashable, size: int) -> np.ndarray:
    if "operator" in table:
        found = table["operator"].transpose(dimension, ...).values.astype(float)
        if found.shape[1:] != (size,):
            raise InputError(
                f"'operator' has rows of shape {found.shape[1:]}, expected {size} numbers, one for "
                "each component of the state"
            )
        return found
    if "component" not in table:
        raise InputError(
            "the table does not say what was observed; add 'component', counted from 0, or the "
            "rows of a linear operator, 'operator'"
        )
    component = _along(table, "component", dimension)
    if component.dtype.kind not in "iu" or ((component < 0) | (component >= size)).any():
        raise InputError(
            f"'component' must be integers from 0 to {size - 1}, found {component.min()} to "
            f"{component.max()} of type {component.dtype}"
        )
    return np.eye(size)[component]


def _axis(kind: np.dtype, first: Any, last: Any, step: float | str) -> np.ndarray:
    try:
        if kind.kind == "M":
            first, last, by = np.datetime64(first), np.datetime64(last), pd.Timedelta(step)
            by = by.to_timedelta64()
        else:
            first, last, by = float(first), float(last), float(step)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the step {step!r} does not fit times of type {kind} ({error}); give a number in the "
            "unit of the times, of dates such as '6h'"
        ) from error
    if not by > type(by)(0) or not last > first:
        raise InputError(
            f"analysis times from {first} to {last} by {by} are none; expected at least two"
        )
    count = max(int(np.ceil((last - first) / by - SNAP)), 1) + 1
    axis: np.ndarray = first + np.arange(count) * by
    return axis


def _positions(time: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return where times lie on a uniform axis, in steps from its first; NaT: NaN."""
    if time.dtype.kind in "mM" and axis.dtype.kind == time.dtype.kind:
        since = (time - axis[0]) / np.timedelta64(1, "s")
    elif time.dtype.kind in "fiu" and axis.dtype.kind in "fiu":
        since = time.astype(float) - float(axis[0])
    else:
        raise InputError(
            f"the data have times of type {time.dtype}, the analysis times {axis.dtype}; give both "
            "in the same form"
        )
    position = np.asarray(since / (elapsed(axis)[-1] / (len(axis) - 1)), float)
    nearest = np.rint(position)
    return np.where(np.abs(position - nearest) < SNAP, nearest, position)
