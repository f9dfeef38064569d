"""Observed components of each row of a table: the forms of tables, converted to one.

    operator (datum, state)              rows of a linear operator H
    component, variable (datum)          the number or name of a component in each row
    positions (datum)                    where a field of the model was observed
    x, y, z (datum)                      a column for each component
    observation (time, component)        an array over times and components

Each becomes one value a row, with the row of H that it observes.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import matching
from pyvda.io.cf.dimensions import find_time, is_window
from pyvda.io.quality import bad_data, error_variables, quality_flags
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import expect_numbers
from pyvda.io.tables import columns, sampling_geometry
from pyvda.io.tables.components import Components
from pyvda.models.model import Model
from pyvda.notices import notice


@dataclass(frozen=True)
class Rows:
    """A table in which each row is one datum.

    Attributes
    ----------
    table : Dataset
        Along one dimension the values, `time`, and perhaps `observation_error`.
    name : str
        The values.
    operator : SciPy sparse matrix (N, D)
        What each datum observes.
    labels : tuple of str
        What the table calls the components, where only their number was given.
    named : bool
        Whether the table has the names of the variables of a model's state, as columns or as
        positions along their dimensions.
    """

    table: xr.Dataset
    name: str
    operator: Any
    labels: tuple[str, ...] = ()
    named: bool = False


def is_table(ds: xr.Dataset, model: Model | None = None) -> bool:
    """Tell whether a Dataset says itself that each of its rows is a datum.

    With a model, also a discrete sampling geometry whose instances are called like its components.
    """
    if any(name in ds for name in names.OTHER_OBSERVATIONS):
        return False
    rows_of = {v.dims for v in ds.data_vars.values() if v.ndim == 1 and v.dtype.kind in "fiu"}
    labelled = any(
        name in ds.variables and name not in ds.dims and ds[name].dims in rows_of
        for name in columns.LABELS
    )
    if labelled or "operator" in ds.data_vars or sampling_geometry.is_ragged(ds):
        return True
    return model is not None and _named_instances(ds, Components.of(model)) is not None


def of_table(
    table: xr.Dataset, components: Components, variable: str | Sequence[str] | None = None
) -> Rows:
    """Return the data of a table, one a row.

    Parameters
    ----------
    table : Dataset
    components : Components
        Those of the state.
    variable : str or sequence of str, optional
        The column of values, or those of the components.

    Raises
    ------
    InputError
        The table does not say what was observed, or has no times.
    """
    table = sampling_geometry.table(table)
    label = next((n for n in columns.LABELS if _is_column(table, n) and n != variable), None)
    label = label or _named_instances(table, components)
    model = components.model
    dims = model_dims(model)
    if "operator" in table:
        table, name = _finished(table, values_of(table, variable))
        return Rows(table, name, _operator(table, name, components))
    if label is not None:
        table, name = _finished(table, values_of(table, variable, label))
        along = table[name].dims[0]
        if label == "variable" and model is not None and dims:
            return _interpolated(table, name, model)
        called = column(table, label, along)
        number = components.numbers(called, label)
        return Rows(table, name, _units(number, components.size), components.labels(called))
    if model is not None and dims and _has_positions(table, dims):
        table, name = of_fields(table, model, variable)
        return _interpolated(table, name, model)
    wide = _components_of(table, components, variable)
    if wide:
        return _of_columns(table, wide, components)
    several = [name for name in _numbers(table) if table[name].ndim == 1]
    if variable is None and len(several) > 1 and sampling_geometry.positions(table):
        raise InputError(not_said(table, several, components))
    if variable is None and components.names and len(several) > 1 and not dims:
        listed = ",".join(several)
        raise InputError(
            f"the columns {', '.join(several)} do not have the names of the components, "
            f"{', '.join(components.names)}; rename them, list those of all components in their "
            f"order (variable={listed!r}, --variable {listed}), or add a column 'component'"
        )
    name = values_of(table, variable)
    if table[name].ndim == 1:
        raise InputError(not_said(table, [name], components))
    return _of_array(table, name, components)


def screened(
    table: xr.Dataset,
    variable: str | Sequence[str] | None = None,
    good_flags: GoodFlags | None = None,
) -> xr.Dataset:
    """Return a table with NaN in place of values that it calls bad, which is said.

    Parameters
    ----------
    table : Dataset
    variable : str or sequence of str, optional
        The columns of values. Default: all that may be.
    good_flags : optional
        See `quality_flags.rules`.
    """
    listed = matching.wanted(variable, table)
    chosen = _numbers(table) if listed is None else [matching.by_name(table, n) for n in listed]
    for name in chosen:
        if table[name].chunks is None:
            table[name].load()  # missing values that nothing states are looked for in memory
    return bad_data.without_bad(table, chosen, good_flags)


def of_fields(
    table: xr.Dataset, model: Model | None, variable: str | Sequence[str] | None = None
) -> tuple[xr.Dataset, str]:
    """Return a table of data at points with one column of values, and its name.

    Several columns with the names of the model's variables become one, beside a column `variable`.
    """
    space = None if model is None else model.state_space
    fields = [] if space is None else [n for n in space.names if n in table and table[n].ndim == 1]
    listed = matching.wanted(variable, table)
    if listed is not None:
        fields = [name for name in fields if name in listed]
    elif names.OBSERVATION in table:
        fields = []
    if space is None or not fields or len(space.variables) == 1 or "variable" in table:
        return _finished(table, values_of(table, variable, without=model_dims(model)))
    parts = []
    for field in fields:
        one = table.drop_vars([other for other in fields if other != field])
        one, _ = _finished(one, field)
        one = one.rename({field: names.OBSERVATION, one[field].dims[0]: names.DATUM})
        parts.append(one.assign(variable=(names.DATUM, np.full(one.sizes[names.DATUM], field))))
    return xr.concat(parts, names.DATUM, data_vars="all", coords="different", compat="equals",
                     join="outer", combine_attrs="override"), names.OBSERVATION  # fmt: skip


def values_of(
    ds: xr.Dataset,
    variable: str | Sequence[str] | None,
    label: str | None = None,
    without: Collection[str] = (),
) -> str:
    """Return the name of the observed variable of a table, or of observations with an operator.

    Raises
    ------
    InputError
        When there is none, or several and none is chosen.
    """
    if variable is not None:
        listed = matching.wanted(variable, ds) or []
        if len(listed) != 1:
            raise InputError(
                f"{len(listed)} variables are chosen ({', '.join(listed)}), but an operator or a "
                "table has one variable of values; choose one"
            )
        name = matching.by_name(ds, listed[0])
        expect_numbers(ds[name], name)
        return name
    candidates = [name for name in _numbers(ds) if name not in without]
    for known in columns.VALUES:
        if known in candidates and (label is not None or known == names.OBSERVATION):
            return known
    for known in columns.VALUES if not candidates else ():
        if known in ds.data_vars:  # with no numbers, which is said
            expect_numbers(ds[known], known)
    if len(candidates) != 1:
        raise InputError(
            "the table needs one variable of values along one dimension, found "
            f"{', '.join(candidates) or 'none'}; choose one by its name"
        )
    return candidates[0]


def column(table: xr.Dataset, name: str, dimension: Hashable) -> np.ndarray:
    """Return a column of a table; refuse a table without it."""
    if name not in table.variables or table[name].dims != (dimension,):
        raise InputError(f"the table needs {name!r} along {dimension!r}; add it")
    return np.asarray(table[name].values)


def with_time(table: xr.Dataset, dimension: Hashable) -> xr.Dataset:
    """Return a table whose times along a dimension are called `time`."""
    if _is_column(table, names.TIME) and table[names.TIME].dims == (dimension,):
        return table
    found = _time_of(table, dimension)
    if found is None or table[found].dims != (dimension,):
        return table
    if found in table.dims:
        return table.rename({found: names.TIME})
    return table.assign_coords({names.TIME: table[found].variable}).drop_vars([found])


def _time_of(table: xr.Dataset, dimension: Hashable) -> Hashable | None:
    """Return the variable that holds the times along a dimension."""
    found = find_time(table, (dimension,))[1]
    if found is None:
        along = {str(n).lower(): n for n, v in table.variables.items() if v.dims == (dimension,)}
        found = next((along[name] for name in columns.TIMES if name in along), None)
    return found


def not_said(table: xr.Dataset, values: Sequence[str], components: Components) -> str:
    """Return why it is not known what columns of values observe, with the remedies."""
    where = sampling_geometry.positions(table)
    has = (
        f" at the positions {', '.join(where)}"
        if where
        else f" along {', '.join(map(str, table[values[0]].dims))}"
    )
    known = ", ".join(components.names[:4]) + (", ..." if len(components.names) > 4 else "")
    of = f", names ({known})" if known else ""
    field = (
        "; for data of a field choose a model of that field and "
        "operator=pyvda.operators.Interpolation(coordinates={...}) with its coordinates"
        if where
        else ""
    )
    return (
        f"the table has the values {', '.join(map(repr, values))}{has}, but does not say what was "
        f"observed; add 'component', counted from 0 to {components.size - 1}{of}, or the rows of "
        f"a linear operator, 'operator'{field}"
    )


def _is_column(table: xr.Dataset, name: str) -> bool:
    return (name in table.variables and table[name].ndim > 0 and name not in table.dims) or (
        name in table.dims and name in table.coords and name == names.TIME
    )  # fmt: skip


def _numbers(ds: xr.Dataset) -> list[str]:
    """Return the variables that may be observed values."""
    where = set(sampling_geometry.positions(ds))
    times = [_time_of(ds, dim) for dim in ds.dims]
    taken = {
        *columns.LABELS, *error_variables.ALONE, "operator", names.TRUTH, names.WINDOW,
    }  # fmt: skip
    found = [
        (str(n), v.dtype.kind)
        for n, v in ds.data_vars.items()
        if v.ndim and v.dtype.kind in "fiu" and n not in taken | where
        and not error_variables.is_error_of_another(ds, str(n)) and not quality_flags.is_flag(v)
        and n not in (find_time(ds, v.dims)[1], *times)
    ]  # fmt: skip
    ancillary = {
        one
        for v in ds.variables.values()
        for one in str(v.attrs.get("ancillary_variables")).split()
    }
    found = [
        (name, kind) for name, kind in found if name not in ancillary and not _is_role(ds, name)
    ]
    real = [name for name, kind in found if kind == "f"]
    called = [name for name, _ in found if name in columns.VALUES]
    return real or called


def _is_role(ds: xr.Dataset, name: str) -> bool:
    """Tell whether a column belongs to another one: `x_qc` beside `x`, or an identifier."""
    of, _, kind = name.rpartition("_")
    return (of in ds.variables and kind in ("qc", "flag")) or "cf_role" in ds[name].attrs


def _components_of(
    table: xr.Dataset, components: Components, variable: str | Sequence[str] | None
) -> dict[int, str]:
    """Return {number of the component: column}; empty where columns are not components."""
    listed = matching.wanted(variable, table)
    if listed is not None:
        files = [matching.by_name(table, one) for one in listed]
        found = _by_name(table, files, components)
        if len(found) == len(files) or len(files) == 1:
            return found
        if not found and len(files) == components.size:
            return dict(enumerate(files))
        raise InputError(
            f"{len(files)} columns are chosen ({', '.join(files)}), but the components are "
            f"{', '.join(components.names[:12]) or components.size}; choose one for each, in this "
            "order, or columns with their names"
        )
    candidates = [name for name in _numbers(table) if table[name].ndim == 1]
    found = _by_name(table, candidates, components)
    if found or components.names:
        return found
    if len(candidates) == components.size:
        return dict(enumerate(candidates))
    return {}


def _by_name(table: xr.Dataset, files: Sequence[str], components: Components) -> dict[int, str]:
    found: dict[int, str] = {}
    for file in files:
        number = components.number(file, str(table[file].attrs.get("standard_name", "")))
        if number is not None:
            found.setdefault(number, file)
    return found


def _of_columns(table: xr.Dataset, chosen: dict[int, str], components: Components) -> Rows:
    """Return a table with a column for each component as one with a row for each datum."""
    for name in chosen.values():
        expect_numbers(table[name], name)
    dims = {table[name].dims for name in chosen.values()}
    if len(dims) > 1 or len(next(iter(dims))) != 1:
        raise InputError(
            f"the columns {', '.join(chosen.values())} have dimensions "
            f"{', '.join(map(str, sorted(dims, key=str)))}, expected one and the same; stack them "
            "(Dataset.stack)"
        )
    ((along,),) = dims
    parts, number = [], []
    names_of_errors: dict[str, str | None] = {}
    deviations: dict[str, np.ndarray] = {}
    for name in chosen.values():
        own, error = _with_errors(table, name)
        names_of_errors[name] = error
        if error is not None:
            deviations[name] = own[error].values
    without = [name for name, error in names_of_errors.items() if error is None]
    unobserved = [name for name in without if pd.isnull(table[name].values).all()]
    if len(without) not in (0, len(chosen), len(unobserved)):
        without = [name for name in without if name not in unobserved]
        raise InputError(
            f"the columns {', '.join(chosen.values())} have errors, but {', '.join(without)} not; "
            "give all of them errors, or none"
        )
    first = next(iter(chosen.values()))
    timed = with_time(table, along)
    time = column(timed, names.TIME, timed[first].dims[0])
    for k, name in chosen.items():
        data = {names.OBSERVATION: (names.DATUM, np.asarray(timed[name].values, float))}
        if deviations:
            values = np.broadcast_to(deviations.get(name, np.nan), time.shape).astype(float)
            data[names.OBSERVATION_ERROR] = (names.DATUM, values)
        if _is_column(timed, names.WINDOW):
            data[names.WINDOW] = (names.DATUM, column(timed, names.WINDOW, timed[name].dims[0]))
        parts.append(xr.Dataset(data, {names.TIME: (names.DATUM, time)}))
        number.append(np.full(len(time), k))
    long = xr.concat(parts, names.DATUM)
    units = {str(timed[name].attrs.get("units")) for name in chosen.values()} - {"None"}
    if len(units) == 1:
        long[names.OBSERVATION].attrs["units"] = units.pop()
    long[names.TIME].attrs = timed[names.TIME].attrs
    return Rows(
        long.assign_attrs(table.attrs), names.OBSERVATION,
        _units(np.concatenate(number), components.size),
        () if components.names else tuple(chosen[k] for k in sorted(chosen)),
        named=_by_name(table, list(chosen.values()), components) == chosen,
    )  # fmt: skip


def _of_array(table: xr.Dataset, name: str, components: Components) -> Rows:
    """Return values over time and components as one with a row for each datum."""
    dims = table[name].dims
    time, when = find_time(table, dims)
    others = [dim for dim in dims if dim != time]
    if time is None or when is None or len(others) != 1 or is_window(table, others[0]):
        raise InputError(
            f"{name!r} has dimensions {dims}, but a table has one value a row; stack "
            "them (Dataset.stack)"
        )
    (other,) = others
    labels = table[other].values if other in table.coords else np.arange(table.sizes[other])
    if labels.dtype.kind in "fiu" and not np.array_equal(labels, np.arange(len(labels))):
        labels = np.arange(len(labels))
    number = components.numbers(np.asarray(labels), str(other))
    table, error = _with_errors(table, name)
    chosen = table[[n for n in (name, error) if n is not None]].reset_coords(drop=True)
    whole = chosen.broadcast_like(table[name]).transpose(time, other)
    size, count = whole.sizes[time], whole.sizes[other]
    data: dict[str, Any] = {
        names.OBSERVATION: (names.DATUM, whole[name].values.ravel(), table[name].attrs)
    }
    if error is not None:
        data[names.OBSERVATION_ERROR] = (names.DATUM, whole[error].values.ravel())
    coords = {names.TIME: (names.DATUM, np.repeat(table[when].values, count), table[when].attrs)}
    return Rows(
        xr.Dataset(data, coords, table.attrs), names.OBSERVATION,
        _units(np.tile(number, size), components.size), components.labels(np.asarray(labels)),
    )  # fmt: skip


def _finished(table: xr.Dataset, name: str) -> tuple[xr.Dataset, str]:
    """Return a table with the times and errors of its values under pyvda's names, without gaps."""
    if table[name].ndim != 1:
        raise InputError(
            f"{name!r} has dimensions {table[name].dims}, but a table has one value a row; stack "
            "them (Dataset.stack)"
        )
    table = with_time(table, table[name].dims[0])
    along = table[name].dims[0]
    table, error = _with_errors(table, name)
    if error is not None and error != names.OBSERVATION_ERROR:
        table = table.drop_vars(names.OBSERVATION_ERROR, errors="ignore")
        table = table.rename({error: names.OBSERVATION_ERROR})
    there = ~pd.isnull(table[name].values)
    if names.TIME in table.variables and table[names.TIME].dims == (along,):
        there &= ~pd.isnull(table[names.TIME].values)
    return (table.isel({along: there}) if there.any() else table), name


def _with_errors(table: xr.Dataset, name: str) -> tuple[xr.Dataset, str | None]:
    """Return the table with the standard deviations of a column, and the name of their column."""
    error = error_variables.error_of(table, name, shared=False)
    if error is None:
        error = next((one for one in error_variables.ALONE if one in table.variables), None)
    return (table if error is None else error_variables.as_deviations(table, name, error)), error


def _units(number: np.ndarray, size: int) -> Any:
    """Return rows that each read one component, a SciPy matrix (N, size)."""
    return sparse.csr_matrix(
        (np.ones(len(number)), number, np.arange(len(number) + 1)), (len(number), size)
    )


def _operator(table: xr.Dataset, name: str, components: Components) -> Any:
    dimension = table[name].dims[0]
    found = np.asarray(table["operator"].transpose(dimension, ...).values.astype(float))
    if found.shape[1:] != (components.size,):
        raise InputError(
            f"'operator' has rows of shape {found.shape[1:]}, expected {components.size} numbers, "
            "one for each component of the state"
        )
    return sparse.csr_matrix(found)


def model_dims(model: Model | None) -> tuple[str, ...]:
    """Return the dimensions of the variables of a model's state."""
    return () if model is None or model.state_space is None else tuple(model.state_space.sizes)


def _has_positions(table: xr.Dataset, dims: Sequence[str]) -> bool:
    """Tell whether a table has the model's own coordinates, numbers of its points from 0.

    Coordinates in degrees do not count: only the user knows where on Earth the model's points lie.
    """
    return all(
        dim in table.variables
        and table[dim].ndim == 1
        and dim not in table.dims
        and not str(table[dim].attrs.get("units", "")).startswith("degree")
        for dim in dims
    )


def _named_instances(table: xr.Dataset, components: Components) -> str | None:
    """Return the variable that names stations or the like by components of the state."""
    for name, variable in table.variables.items():
        named = "cf_role" in variable.attrs and variable.ndim == 1 and variable.dtype.kind in "OSUT"
        if named and components.names and components.has_all(variable.values):
            return str(name)
    return None


def _interpolated(table: xr.Dataset, name: str, model: Model) -> Rows:
    from pyvda.operators.interpolation import Interpolation

    along = table[name].dims[0]
    known = {
        str(n): np.asarray(v.values)
        for n, v in table.variables.items()
        if v.dims == (along,) and n in (*model_dims(model), "variable")
    }
    operator, on_land = Interpolation().matrix(model, known)
    return Rows(without_land(table, name, on_land), name, operator, named=True)


def without_land(table: xr.Dataset, name: str, on_land: np.ndarray) -> xr.Dataset:
    """Return a table whose data on land are NaN and marked as rejected, which is said.

    Parameters
    ----------
    on_land : (N,) of bool

    Raises
    ------
    InputError
        All data lie on land.
    """
    there = np.isfinite(np.asarray(table[name].values, float))
    count, of = int((on_land & there).sum()), int(there.sum())
    if not count:
        return table
    if count == of:
        raise InputError(
            f"all {of} data of {name!r} lie on land, where the model has no state; check their "
            "positions"
        )
    notice(f"{count} of {of} data of {name!r} lie on land and are not used (rejected)")
    rejected = on_land & there
    return table.assign(
        {
            name: table[name].where(xr.DataArray(~rejected, dims=table[name].dims)),
            names.POINT_REJECTED: (table[name].dims, rejected.astype(np.int8)),
        }
    )
