"""Point observations from tables with one row per datum, and from values at each step.

`on_grid` takes a table that names components or rows; `from_rows` and `at_steps` take the rows of
an observation operator. All return Datasets with point observations, see `point_observations`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.io.cf.dimensions import find_time, is_window
from pyvda.io.quality import error_variables
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import expect_none_infinite
from pyvda.io.sources.sources import as_dataset
from pyvda.io.tables import rows
from pyvda.io.tables.components import Components
from pyvda.io.tables.point_observations import entries_of, positions
from pyvda.io.tables.rows import column
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.operators.correlated_errors import CorrelatedErrors, coordinate_numbers
from pyvda.operators.points import SNAP
from pyvda.operators.sparse_rows import SparseRows

# Attributes that do not hold for an analysis on a regular axis.
_OF_THE_TABLE = ("featureType", "CF:featureType", "analysis_times")


def on_grid(
    table: Any,
    step: float | str,
    state: Any,
    *,
    start: Any = None,
    stop: Any = None,
    variable: str | Sequence[str] | None = None,
    good_flags: GoodFlags | None = None,
) -> xr.Dataset:
    """Put a table of observations onto a regular axis of analysis times.

    Parameters
    ----------
    table : Dataset, DataFrame or path
        With one row per datum: the values, `time` (numbers or dates, in any order), and what was
        observed: `component` (numbers from 0, or names), or `operator` (datum, state), rows of the
        linear operator H. Or with one row per time and a column for each component. Or a discrete
        sampling geometry of CF. Perhaps `observation_error` (standard deviations).
    step : float or str
        From one analysis time to the next, in the unit of `time`; of dates such as "6h".
    state : int, sequence of str, Model or str
        The number of components of the state, their names, a model, or the name of one.
    start, stop : optional
        First and last analysis time. Default: the first and the last datum's.
    variable : str or sequence of str, optional
        The values. Default: `observation`, else the only other variable of real numbers; or the
        columns of the components, by default those with their names.
    good_flags : optional
        Quality flags of the data to use, see `pyvda.open_observations`.

    Returns
    -------
    Dataset
        `observation` (time, state), all NaN, and the data, for `pyvda.assimilate`. Data outside of
        [start, stop] are left out, which a notice says.

    Raises
    ------
    InputError
        When something of this is missing or does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"time": [0.0, 0.013, 0.02], "x": [1.0, 2.0, 4.0]})
    >>> on_grid(table, 0.01, "lorenz63").sizes["datum"]
    3
    """
    components = Components.of(state)
    table = rows.screened(as_dataset(table, "the table"), variable, good_flags)
    found = rows.of_table(table, components, variable)
    ds = on_axis(found.table, found.name, found.operator, step, start, stop)
    if found.labels:  # the order of the components is the table's; `prepared` compares the names
        ds = ds.assign_coords({names.STATE: list(found.labels)})
    return ds


def from_rows(
    table: xr.Dataset,
    name: str,
    operator: Any,
    model: Model,
    *,
    step: float | str | None = None,
    start: Any = None,
    stop: Any = None,
    errors: CorrelatedErrors | None = None,
) -> xr.Dataset:
    """Put a table whose n-th value is a linear combination of the state onto analysis times.

    Parameters
    ----------
    table : Dataset
        `name` and `time` along one dimension, perhaps `observation_error`.
    operator : array or SciPy sparse matrix (N, D)
    step, start, stop : optional
        See `on_grid`. Default of the step: the model's, for times that are numbers.
    errors : CorrelatedErrors, optional

    Raises
    ------
    InputError
        See `on_grid`.
    """
    table = rows.with_time(table, table[name].dims[0])
    time = column(table, "time", table[name].dims[0])
    if step is None and time.dtype.kind not in "fiu":
        raise InputError(
            f"the data have times of type {time.dtype}, so that the spacing of the analysis times "
            "is not known; give the operator step, such as '6h'"
        )
    step = model.time_step if step is None else step
    return layout.of_model(on_axis(table, name, operator, step, start, stop, errors), model)


def at_steps(
    ds: xr.Dataset,
    name: str,
    operator: Any,
    model: Model,
    errors: CorrelatedErrors | None = None,
    apart: np.ndarray | None = None,
) -> xr.Dataset:
    """Turn observations (time, k) or (window, time, k) of H x into point observations.

    Parameters
    ----------
    ds : Dataset
        `name` over time, one other dimension and perhaps window; NaN where there is no observation.
        Its errors are those of `observation_error` or of an ancillary variable.
    operator : sparse matrix (K, D)
        Row k belongs to index k of the other dimension.
    errors : CorrelatedErrors, optional
    apart : (K,) of int, optional
        Errors of rows with different numbers are independent.

    Raises
    ------
    InputError
        When the dimensions do not fit.
    """
    values, error, (time_dim, window, other) = over_steps(ds, name)
    expect_none_infinite(name, np.isinf(values))
    if values.shape[-1] != operator.shape[0]:
        raise InputError(
            f"{name!r} has {values.shape[-1]} values along {other!r}, but the observation operator "
            f"has {operator.shape[0]} rows; give one row for each"
        )
    time = find_time(ds, (time_dim,))[1]
    if time is None:
        raise InputError(f"{name!r} has no coordinate of times along {time_dim!r}; add 'time'")
    step, k = np.nonzero(np.isfinite(values).any(0))
    chosen = sparse.csr_matrix(operator)[k]
    value = values[:, step, k]
    sigma = None if error is None else error[:, step, k]
    one = SparseRows.of(chosen)
    shape = (len(value), *one.index.shape)
    all_rows = SparseRows(
        np.broadcast_to(one.index, shape), np.broadcast_to(one.coefficient, shape), one.size
    )
    if errors is not None:
        along = [_position_of(ds, c, time_dim, other)[step, k] for c in errors.coordinates]
        positions = np.stack(along, -1)
        each, value = [], value.copy()
        group = step if apart is None else step * (int(apart.max()) + 1) + apart[k]
        # Errors of one size, which an attribute or an option states: correlated, they stay so.
        scale = np.ones_like(value) if sigma is None else sigma.copy()
        for w in range(len(value)):
            there = np.isfinite(value[w])
            value[w, there], own, scale[w, there] = errors.whitened(
                value[w, there], chosen[there], scale[w, there], positions[there], group[there]
            )
            here = chosen.tolil()
            here[np.flatnonzero(there)] = own
            each.append(here.tocsr())
        all_rows = SparseRows.of(sparse.vstack(each, format="csr"), value.shape)
        sigma = None if sigma is None else scale
    leading = () if window is None else (names.WINDOW,)
    first = 0 if window is None else slice(None)  # a series has no dimension of windows
    unobserved = np.full((*values.shape[:2], model.state_size), np.nan)
    attrs = {k: v for k, v in ds[name].attrs.items() if k != "ancillary_variables"}
    data: dict[str, Any] = {
        names.OBSERVATION: (
            (*leading, names.TIME, names.STATE), unobserved[first], attrs,
        ),
        names.POINT_OBSERVATION: ((*leading, names.DATUM), value[first]),
        **entries_of(all_rows[first], (*leading, names.DATUM)),
    }  # fmt: skip
    if sigma is not None:
        data[names.POINT_ERROR] = ((*leading, names.DATUM), sigma[first])
    axis = ds[time]
    when = np.broadcast_to(axis.values[step], value.shape)
    coords: dict[str, Any] = {
        names.TIME: (names.TIME, axis.values, axis.attrs),
        names.POINT_TIME: ((*leading, names.DATUM), when[first], axis.attrs),
    }
    if window in ds.coords:
        coords[names.WINDOW] = (names.WINDOW, ds[window].values, ds[window].attrs)
    return layout.of_model(xr.Dataset(data, coords, ds.attrs), model)


def of_components(ds: xr.Dataset, model: Model, errors: CorrelatedErrors) -> xr.Dataset:
    """Turn observed components of the state with correlated errors into point observations.

    Parameters
    ----------
    ds : Dataset
        `observation` (time, state) or (window, time, state), as `conventions.normalise` returns it.
    errors : CorrelatedErrors
        Along dimensions of the model's variables, or a coordinate along `state`. Errors of
        different variables are independent.

    Raises
    ------
    InputError
        There is no such dimension or coordinate; or see `CorrelatedErrors.whitened`.
    """
    size = model.state_size
    positions = {name: _of_state(ds, name, model) for name in errors.coordinates}
    apart = np.zeros(size, int)
    if model.state_space is not None and any(one.shape for one in model.state_space.variables):
        for number, own in enumerate(model.state_space.slices().values()):
            apart[own] = number
    known = [n for n in (names.OBSERVATION, names.OBSERVATION_ERROR) if n in ds]
    bare = ds[known].drop_vars(errors.coordinates, errors="ignore")
    along = {name: (names.STATE, values) for name, values in positions.items()}
    made = at_steps(
        bare.assign_coords(along), names.OBSERVATION, sparse.identity(size, format="csr"), model,
        errors, apart,
    )  # fmt: skip
    data = {str(n): v for n, v in made.data_vars.items() if n != names.OBSERVATION}
    unobserved = xr.full_like(ds[names.OBSERVATION], np.nan)
    return (
        ds.drop_vars(names.OBSERVATION_ERROR, errors="ignore")
        .assign({names.OBSERVATION: unobserved, **data})
        .assign_coords({names.POINT_TIME: made[names.POINT_TIME]})
    )


def _of_state(ds: xr.Dataset, name: str, model: Model) -> np.ndarray:
    """Return the positions of the components of the state along a coordinate, (D,)."""
    space = model.state_space
    if name in ds.coords and ds[name].dims == (names.STATE,) and ds[name].dtype.kind in "fiu":
        return np.asarray(ds[name].values, float)
    if space is None or not all(name in one.dims for one in space.variables):
        raise InputError(
            f"the errors are correlated along {name!r}, which is neither a dimension of each "
            f"variable of {model.name} nor a coordinate of numbers along 'state'; name one, or add "
            "it"
        )
    given = ds[name].values if name in ds.coords and ds[name].dims == (name,) else None
    axis = space.coordinate(name) if given is None else np.asarray(given, float)
    parts = []
    for one in space.variables:
        shape = [-1 if dim == name else 1 for dim in one.dims]
        parts.append(np.broadcast_to(axis.reshape(shape), one.shape).ravel())
    return np.concatenate(parts)


def over_steps(
    ds: xr.Dataset, name: str
) -> tuple[np.ndarray, np.ndarray | None, tuple[Hashable, Hashable | None, Hashable]]:
    """Return values and errors (W, T, K) of a variable over time and one other dimension.

    W is 1 without a dimension of windows.

    Returns
    -------
    values, errors : (W, T, K)
        errors are None where the file gives none.
    dimensions : tuple
        Those of time, window (or None) and the other one.
    """
    dims = ds[name].dims
    time = find_time(ds, dims)[0]
    windows = [dim for dim in dims if dim != time and is_window(ds, dim)]
    others = [dim for dim in dims if dim != time and dim not in windows]
    if time is None or len(others) != 1 or len(windows) > 1:
        raise InputError(
            f"variable {name!r} has dimensions ({', '.join(map(str, dims))}), expected time, one "
            "dimension of the observed values, and perhaps window; select or stack the others"
        )
    order = (*windows, time, others[0])

    def array(name: str) -> np.ndarray:
        whole = ds[name].broadcast_like(ds[given]).transpose(*order)
        values = np.asarray(whole.values, float)
        return values if windows else values[None]

    given = name
    ds, error = error_variables.with_errors(ds, name)
    return (
        array(name),
        None if error is None else array(error),
        (time, windows[0] if windows else None, others[0]),
    )


def _position_of(ds: xr.Dataset, name: str, time: Hashable, other: Hashable) -> np.ndarray:
    """Return a coordinate of the data at each step, (T, K)."""
    if name not in ds.variables or not set(ds[name].dims) <= {time, other}:
        raise InputError(
            f"the errors are correlated along {name!r}, but the file has no such coordinate over "
            f"{time!r} and {other!r}; add it"
        )
    whole = (
        coordinate_numbers(name, ds[name])
        .astype(float)
        .expand_dims({d: ds.sizes[d] for d in (time, other) if d not in ds[name].dims})
    )
    return np.asarray(whole.transpose(time, other).values)


def on_axis(
    table: xr.Dataset,
    name: str,
    operator: Any,
    step: Any,
    start: Any = None,
    stop: Any = None,
    errors: CorrelatedErrors | None = None,
) -> xr.Dataset:
    """Return the rows of a table as point observations on a regular axis; see `on_grid`.

    A column `window` numbers independent windows, each with the same axis.
    """
    (dimension,) = table[name].dims
    if names.WINDOW not in table.variables or table[names.WINDOW].dims != (dimension,):
        made = _on_axis(table, name, operator, step, start, stop, errors)
        _say_outside(table, name, made.sizes[names.DATUM], start, stop)
        return made
    labels = column(table, names.WINDOW, dimension)
    time = column(table, names.TIME, dimension)
    first = time.min() if start is None else start
    last = time.max() if stop is None else stop
    parts = []
    for label in np.unique(labels):
        own = labels == label
        part = table.isel({dimension: own})
        parts.append(_on_axis(part, name, operator[own], step, first, last, errors))
    _say_outside(table, name, sum(part.sizes[names.DATUM] for part in parts), start, stop)
    most = {dim: max(part.sizes[dim] for part in parts) for dim in (names.DATUM, names.TERM)}
    padded = [_padded(part, most) for part in parts]
    return xr.concat(
        padded, xr.Variable(names.WINDOW, np.unique(labels)),
        data_vars="all", coords=[names.POINT_TIME], compat="override", join="exact",
    )  # fmt: skip


def _on_axis(
    table: xr.Dataset,
    name: str,
    operator: Any,
    step: Any,
    start: Any,
    stop: Any,
    errors: CorrelatedErrors | None,
) -> xr.Dataset:
    (dimension,) = table[name].dims
    time = column(table, "time", dimension)
    value = np.asarray(table[name].values, float)
    expect_none_infinite(name, np.isinf(value))
    operator = sparse.csr_matrix(operator)
    size = operator.shape[1]
    rejected = _rejected(table, dimension)
    kept = _dated(table, name)
    if not kept.any():
        raise InputError(f"{name} has no value with a time; check the table")
    first = time[kept].min() if start is None else start
    last = time[kept].max() if stop is None else stop
    axis, end = _axis(time.dtype, first, last, step)
    position = positions(time, axis)
    kept &= (position > -SNAP) & (position < end + SNAP)
    if not kept.any():
        raise InputError(
            f"no datum lies between {axis[0]} and {axis[-1]}; choose other analysis times"
        )
    order = np.flatnonzero(kept)[np.argsort(time[kept], kind="stable")]
    value, operator = value[order], operator[order]
    error = None
    if names.OBSERVATION_ERROR in table:
        error = np.asarray(column(table, names.OBSERVATION_ERROR, dimension), float)[order]
    if errors is not None:
        along = [
            coordinate_numbers(c, column(table, c, dimension)[order]).astype(float)
            for c in errors.coordinates
        ]
        # Numbers that are equal exactly for data whose times are, up to rounding.
        group = np.rint(position[order] / SNAP).astype(np.int64)
        # Errors of one size, which an attribute or an option states: correlated, they stay so.
        value, operator, scale = errors.whitened(
            value, operator, np.ones(len(value)) if error is None else error,
            np.stack(along, -1), group,
        )  # fmt: skip
        error = None if error is None else scale
    data: dict[str, Any] = {
        names.OBSERVATION: (
            (names.TIME, names.STATE), np.full((len(axis), size), np.nan), table[name].attrs,
        ),
        names.POINT_OBSERVATION: (names.DATUM, value),
        **entries_of(SparseRows.of(operator), (names.DATUM,)),
    }  # fmt: skip
    if rejected.any():
        data[names.POINT_REJECTED] = (names.DATUM, rejected[order].astype(np.int8))
    if error is not None:
        data[names.POINT_ERROR] = (names.DATUM, error)
    attrs = table["time"].attrs
    coords = {
        names.TIME: (names.TIME, axis, attrs),
        names.POINT_TIME: (names.DATUM, time[order], attrs),
    }
    of_file = {name: value for name, value in table.attrs.items() if name not in _OF_THE_TABLE}
    return xr.Dataset(data, coords, of_file)


def _dated(table: xr.Dataset, name: str) -> np.ndarray:
    """Return which rows have a time and a value, or are of data that are not used, (N,) of bool."""
    (dimension,) = table[name].dims
    there = table[name].notnull().values | _rejected(table, dimension)
    return np.asarray(there & ~pd.isnull(column(table, names.TIME, dimension)))


def _say_outside(table: xr.Dataset, name: str, used: int, start: Any, stop: Any) -> None:
    """Say how many data lie outside of the analysis times that were chosen."""
    count = int(_dated(table, name).sum())
    if used < count:
        bounds = [f"before {start}"] if start is not None else []
        bounds += [f"after {stop}"] if stop is not None else []
        notice(f"{count - used} of {count} data of {name!r} lie {' or '.join(bounds)}, outside the "
               "analysis times, and are not used")  # fmt: skip


def _rejected(table: xr.Dataset, dimension: Hashable) -> np.ndarray:
    """Return which rows of a table are of data that are not used, (N,) of bool."""
    if names.POINT_REJECTED not in table:
        return np.zeros(table.sizes[dimension], bool)
    return column(table, names.POINT_REJECTED, dimension).astype(bool)


def _padded(part: xr.Dataset, sizes: Mapping[str, int]) -> xr.Dataset:
    """Return data padded to more rows and terms: with NaN, and with 0 for integers."""
    width = {dim: (0, n - part.sizes[dim]) for dim, n in sizes.items()}
    whole = [n for n, v in part.data_vars.items() if v.dtype.kind in "iu"]
    padded = part.drop_vars(whole).pad(width)
    if names.POINT_COEFFICIENT in padded:
        padded[names.POINT_COEFFICIENT] = padded[names.POINT_COEFFICIENT].fillna(0.0)
    return padded.assign(
        {
            n: part[n].pad({d: w for d, w in width.items() if d in part[n].dims}, constant_values=0)
            for n in whole
        }
    )


def with_coordinates(ds: xr.Dataset, coordinates: Mapping[str, Any]) -> xr.Dataset:
    """Return observations with the model's coordinates, for an analysis on its grid."""
    own = layout.own_dims(ds) or set()
    return ds.assign_coords(
        {dim: (dim, np.asarray(v)) for dim, v in coordinates.items() if dim in own}
    )


def _axis(kind: np.dtype, first: Any, last: Any, step: float | str) -> tuple[np.ndarray, float]:
    """Return the analysis times, (T,), and how many steps `last` lies from the first of them."""
    try:
        if kind.kind == "M":
            first, last, by = np.datetime64(first), np.datetime64(last), pd.Timedelta(step)
            by = by.to_timedelta64()
        elif kind.kind == "O":  # dates of cftime
            by = pd.Timedelta(step).to_pytimedelta()
        else:
            first, last, by = float(first), float(last), float(step)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the step {step!r} does not fit times of type {kind} ({error}); give a number in the "
            "unit of the times, of dates such as '6h'"
        ) from error
    if not by > type(by)(0) or not last > first:
        raise InputError(
            f"the range {first} to {last} with step {by} contains fewer than two analysis times; "
            "choose a shorter step or a longer range"
        )
    end = float((last - first) / by)
    count = max(int(np.ceil(end - SNAP)), 1) + 1
    return first + np.arange(count) * by, end
