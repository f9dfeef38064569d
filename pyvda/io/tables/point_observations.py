"""Point observations in Datasets: data at arbitrary times, of any linear combination of the state.

Beside `observation` on the axis of analysis times, a Dataset may hold data along `datum`, in each
window or in the whole series:

    point_time         (..., datum)         when, on the time axis of the file
    point_observation  (..., datum)         the value; NaN: no datum
    point_operator     (..., datum, state)  the row a of H: what was observed is a · state
    point_error        (..., datum)         standard deviation of its error; may be missing
    point_rejected     (..., datum)         1 for a datum that is not used; may be missing

In place of `point_operator`, which grows with the state, the rows may be given by their entries:

    point_component    (..., datum, term)   components of the state, from 0
    point_coefficient  (..., datum, term)   their coefficients; 0: no term

They are validated and placed in time (`located`), cut with the windows (`cut_points`), and handed
to the methods as arrays (`to_points`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.quality.validation import elapsed, expect_none_infinite
from pyvda.operators.points import SNAP, Points
from pyvda.operators.sparse_rows import SparseRows

ENTRIES = (names.POINT_COMPONENT, names.POINT_COEFFICIENT)


def located(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with the position of each datum, in steps from the first analysis time.

    Raises
    ------
    InputError
        When a datum has no time inside the windows, no finite operator, or no positive error.
    """
    if names.POINT_OBSERVATION not in ds:
        return ds
    by_entries = names.POINT_COMPONENT in ds.variables
    rows = ENTRIES if by_entries else (names.POINT_OPERATOR,)
    for name in (names.POINT_TIME, *rows):
        if name not in ds.variables:
            raise InputError(f"{names.POINT_OBSERVATION} needs {name}; add it")
    ds = ds.assign({n: ds[n].compute() for n in names.POINTS if n in ds.variables})
    there = ds[names.POINT_OBSERVATION].notnull().values
    expect_none_infinite(names.POINT_OBSERVATION, np.isinf(ds[names.POINT_OBSERVATION].values))
    ds, entries = _by_entries(ds, there)
    coefficient = entries.coefficient
    if not np.isfinite(coefficient).all() or not np.asarray(coefficient.any(-1))[there].all():
        raise InputError(f"{rows[-1]} has rows of zeros or NaN; give what was observed")
    if names.POINT_ERROR in ds:
        error = ds[names.POINT_ERROR].values[there]
        if not (np.isfinite(error) & (error > 0)).all():
            raise InputError(f"{names.POINT_ERROR} is not a positive number at some data")
    if names.TIME not in ds.coords:
        raise InputError("data at arbitrary times need a coordinate of analysis times; add 'time'")
    position = positions(ds[names.POINT_TIME].values, ds[names.TIME].values)
    outside = there & ~((position >= 0) & (position < ds.sizes[names.TIME]))
    if outside.any():
        when = ds[names.POINT_TIME].values[outside][0]
        raise InputError(
            f"{int(outside.sum())} data lie outside the analysis times, one at {when}; "
            "leave them out or lengthen the time axis"
        )
    dims = ds[names.POINT_OBSERVATION].dims
    placed = there
    if names.POINT_REJECTED in ds:
        inside = (position >= 0) & (position < ds.sizes[names.TIME])
        placed = there | ((ds[names.POINT_REJECTED].values == 1) & inside)
    return ds.assign({names.POINT_POSITION: (dims, np.where(placed, position, np.nan))})


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
        if name == names.POINT_REJECTED:
            values = np.where(there, values, 0)
        if name == names.POINT_POSITION:
            values = values - starts[:, None]
        found[name] = xr.Variable((names.WINDOW, *variable.dims), values, variable.attrs)
    return found


def to_points(block: xr.Dataset, reference_variance: float | None) -> Points | None:
    """Return the data of a block of windows as arrays; None without point observations."""
    if names.POINT_POSITION not in block:
        return None
    along = (names.WINDOW, names.DATUM)
    position = block[names.POINT_POSITION].transpose(*along).values
    observed = block[names.POINT_OBSERVATION].transpose(*along).values
    there = np.isfinite(position) & np.isfinite(observed)
    weight = there.astype(float)
    if reference_variance is not None and names.POINT_ERROR in block:
        error = block[names.POINT_ERROR].transpose(*along).values
        weight[there] = reference_variance / error[there] ** 2
    position = np.where(there, position, 0.0)
    step = np.floor(position).astype(int)
    value = np.where(there, observed, 0.0)
    rows = rows_of(block.transpose(*along, ...))
    rows = replace(rows, coefficient=np.where(there[..., None], rows.coefficient, 0.0))
    return Points(step, position - step, value, weight, rows)


def rows_of(ds: xr.Dataset) -> SparseRows:
    """Return the rows (..., K, D) of the data of a Dataset."""
    size = ds.sizes[names.STATE]
    if names.POINT_COMPONENT not in ds.variables:
        return SparseRows.of(ds[names.POINT_OPERATOR].transpose(..., names.STATE).values)
    component, coefficient = (ds[name].transpose(..., names.TERM).values for name in ENTRIES)
    return SparseRows(component, coefficient, size)


def entries_of(rows: SparseRows, dims: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the variables `point_component` and `point_coefficient` of rows along `dims`."""
    values = (rows.index, rows.coefficient)
    return {
        name: ((*dims, names.TERM), array, names.attributes(name))
        for name, array in zip(ENTRIES, values, strict=True)
    }


def _by_entries(ds: xr.Dataset, there: np.ndarray) -> tuple[xr.Dataset, SparseRows]:
    """Return data whose rows are given by entries, each component once, and the rows.

    Rows that are not `there` get zeros.
    """
    dims = tuple(str(dim) for dim in ds[names.POINT_OBSERVATION].dims)
    if names.POINT_COMPONENT not in ds.variables:
        rows = rows_of(ds.transpose(*dims, ...))
        rows = replace(rows, coefficient=np.where(there[..., None], rows.coefficient, 0.0))
        return ds.drop_vars(names.POINT_OPERATOR).assign(entries_of(rows, dims)), rows
    component = ds[names.POINT_COMPONENT]
    if {*component.dims} != {*dims, names.TERM} or {*ds[names.POINT_COEFFICIENT].dims} != {
        *component.dims
    }:
        raise InputError(
            f"{names.POINT_COMPONENT} has dimensions {component.dims}, expected those of "
            f"{names.POINT_OBSERVATION} and {names.TERM!r}, and {names.POINT_COEFFICIENT} the same"
        )
    rows = rows_of(ds.transpose(*dims, ...))
    rows = replace(rows, coefficient=np.where(there[..., None], rows.coefficient, 0.0))
    index, used = rows.index, rows.coefficient != 0
    if index.dtype.kind not in "iu" or ((index < 0) | (index >= rows.size))[used].any():
        raise InputError(
            f"{names.POINT_COMPONENT} must be integers from 0 to {rows.size - 1}; correct it"
        )
    rows = replace(rows, index=np.where(used, index, 0).astype(np.int64))
    in_order = np.sort(np.where(used, rows.index, -1 - np.arange(used.shape[-1])), axis=-1)
    if (in_order[..., 1:] == in_order[..., :-1]).any():
        matrix = rows.matrix()
        rows = SparseRows.of(matrix, rows.shape[:-1])
    return ds.drop_vars([*ENTRIES]).assign(entries_of(rows, dims)), rows


def positions(time: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return where times lie on a uniform axis, in steps from its first; NaT: NaN."""
    if time.dtype.kind in "mM" and axis.dtype.kind == time.dtype.kind:
        since = (time - axis[0]) / np.timedelta64(1, "s")
    elif time.dtype.kind == axis.dtype.kind == "O":  # dates of cftime
        since = np.full(time.shape, np.nan)
        there = ~pd.isnull(time)
        since[there] = [moment.total_seconds() for moment in time[there] - axis[0]]
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
