"""What the variables and dimensions of somebody's file mean.

`normalise` renames and reorders without reading values. Attributes of the CF conventions decide,
then plain names; where both are silent the user is asked.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import cf_xarray  # noqa: F401  (registers the accessor Dataset.cf)
import numpy as np
import xarray as xr
from xarray.indexes import PandasMultiIndex

from pyvda import names
from pyvda.errors import InputError

_TIME_NAMES = ("time", "t")
_WINDOW_NAMES = ("window", "windows", "sample", "samples", "member", "batch")
_STATE_NAMES = ("state", "component", "components", "variable", "x")


def normalise(ds: xr.Dataset, variable: str | None = None) -> xr.Dataset:
    """Return the observations of `ds` under pyvda's names, values unread.

    Parameters
    ----------
    ds : Dataset
        Any Dataset with an observed variable over time and state, and perhaps window, in any order
        and under any names.
    variable : str, optional
        The observed variable, by name or by CF `standard_name`. By default `observation`, else the
        only floating-point variable with a time and a state dimension.

    Returns
    -------
    Dataset
        `observation`, and where `ds` has them `observation_error` (standard deviation) and `truth`,
        with dimensions `(time, state)` or `(window, time, state)`, with the attributes of `ds`, and
        all coordinates along these dimensions.

    Raises
    ------
    InputError
        When the variable or the meaning of its dimensions cannot be found.
    """
    name = _choose(ds, variable)
    roles, time = _roles(ds, name)
    dims = tuple(role for role in names.DIMENSIONS if role in roles.values())

    chosen = {names.OBSERVATION: name}
    if (error := _error_of(ds, name)) is not None:
        chosen[names.OBSERVATION_ERROR] = error
    if names.TRUTH in ds and name != names.TRUTH and set(ds[names.TRUTH].dims) == set(roles):
        chosen[names.TRUTH] = names.TRUTH

    data = {new: _renamed(ds.variables[old], roles) for new, old in chosen.items()}
    for new, values in data.items():
        if values.dtype.kind not in "fiub":
            raise InputError(
                f"variable {chosen[new]!r} has type {values.dtype}, expected real numbers; "
                "choose another variable"
            )
        missing = set(dims) - set(values.dims)
        sizes = {role: ds.sizes[dim] for dim, role in roles.items()}
        if missing:
            values = values.set_dims({d: sizes[d] for d in dims})
        data[new] = values.transpose(*dims)

    # What described the file it came from does not describe the file it will go to.
    data[names.OBSERVATION].attrs.pop("ancillary_variables", None)
    if error is not None:
        data[names.OBSERVATION].attrs["ancillary_variables"] = names.OBSERVATION_ERROR
    for kept in names.POINTS:
        if kept in ds.variables:
            data[kept] = _renamed(ds.variables[kept], roles)
    coords = _coordinates(ds, roles, time)
    if names.POINT_TIME in data:
        coords[names.POINT_TIME] = data.pop(names.POINT_TIME)
    return xr.Dataset(data, coords, ds.attrs)


def as_float64(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with its data variables in float64; lazy where they are dask-backed."""
    return ds.assign(
        {name: array.astype(np.float64, copy=False) for name, array in ds.data_vars.items()}
    )


def _choose(ds: xr.Dataset, variable: str | None) -> str:
    known = ", ".join(sorted(str(name) for name in ds.data_vars)) or "none"
    if variable is not None:
        if variable in ds.variables:
            return variable
        found = [str(n) for n in ds.cf.standard_names.get(variable, []) if n in ds.variables]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"standard_name {variable!r} belongs to {', '.join(found)}; "
                "choose one of these names"
            )
        raise InputError(
            f"no variable has the name or standard_name {variable!r}; the variables are {known}"
        )
    if names.OBSERVATION in ds.variables:
        return names.OBSERVATION
    candidates = [str(name) for name in ds.data_vars if _may_be_observed(ds, name)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"several variables may be the observations: {', '.join(candidates)}; "
            "choose one by its name"
        )
    if ds.data_vars and all(array.ndim == 1 for array in ds.data_vars.values()):
        raise InputError(
            f"the variables {known} have one dimension each, a table with one row a datum; put it "
            "on a grid of analysis times by pyvda.on_grid (--grid-step)"
        )
    raise InputError(
        "no variable called 'observation' and no other floating-point variable over time and "
        f"state; choose one by its name (the variables are {known})"
    )


def _may_be_observed(ds: xr.Dataset, name: Hashable) -> bool:
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in ds.variables.values()}
    array = ds[name]
    if name in (names.TRUTH, names.OBSERVATION_ERROR) or name in bounds or array.dtype.kind != "f":
        return False
    if _is_error(array):
        return False
    try:
        _roles(ds, name)
    except InputError:
        return False
    return True


def _error_of(ds: xr.Dataset, name: str) -> str | None:
    dims = set(ds[name].dims)
    related = str(ds[name].attrs.get("ancillary_variables", "")).split()
    for candidate in related:
        if candidate in ds.variables and _is_error(ds[candidate]):
            break
    else:
        if names.OBSERVATION_ERROR not in ds.variables or name == names.OBSERVATION_ERROR:
            return None
        candidate = names.OBSERVATION_ERROR
    if not set(ds[candidate].dims) <= dims:
        raise InputError(
            f"the errors {candidate!r} have dimensions {ds[candidate].dims}, expected those of "
            f"{name!r}, {ds[name].dims}, or some of them"
        )
    return candidate


def _is_error(array: xr.DataArray) -> bool:
    return str(array.attrs.get("standard_name", "")).endswith("standard_error")


def _roles(ds: xr.Dataset, name: Hashable) -> tuple[dict[Hashable, str], Hashable | None]:
    """Return {dimension: window, time or state} of a variable, and its time coordinate's name."""
    dims = ds[name].dims
    found = f"variable {name!r} has dimensions ({', '.join(map(str, dims))})"
    expected = "expected (time, state) or (window, time, state)"
    if len(dims) not in (2, 3):
        raise InputError(f"{found}, {expected}; select or stack the others")
    time_dim, time = _time(ds, dims)
    if time_dim is None:
        raise InputError(
            f"{found} and none is recognised as time, {expected}; "
            "give its coordinate the attribute axis='T'"
        )
    roles: dict[Hashable, str] = {time_dim: names.TIME}
    others = [dim for dim in dims if dim != time_dim]
    windows = [dim for dim in others if _is_window(ds, dim)]
    if len(others) == 2 and not windows:
        states = [dim for dim in others if str(dim).lower() in _STATE_NAMES]
        windows = [dim for dim in others if dim not in states] if len(states) == 1 else []
    if len(windows) != len(others) - 1:
        raise InputError(
            f"{found} and which are window and state is not clear, {expected}; "
            "rename them to 'window' and 'state'"
        )
    for dim in others:
        roles[dim] = names.WINDOW if dim in windows else names.STATE
    return roles, time


def _is_window(ds: xr.Dataset, dim: Hashable) -> bool:
    standard_name = ds[dim].attrs.get("standard_name") if dim in ds.variables else None
    return str(dim).lower() in _WINDOW_NAMES or standard_name == "realization"


def _time(ds: xr.Dataset, dims: Iterable[Hashable]) -> tuple[Hashable | None, Hashable | None]:
    """Return the time dimension among `dims` and the variable that holds the times, if any."""
    dims = tuple(dims)
    along = {n: v for n, v in ds.variables.items() if v.ndim == 1 and v.dims[0] in dims}
    # Windows may be labelled by dates too.
    declared = [n for n, v in along.items() if _declares_time(v) and not _is_window(ds, v.dims[0])]
    named = [n for n in along if str(n).lower() in _TIME_NAMES]
    time_dims = {along[n].dims[0] for n in declared} or {along[n].dims[0] for n in named}
    if len(time_dims) != 1:
        time_dims = {dim for dim in dims if str(dim).lower() in _TIME_NAMES}
    if len(time_dims) != 1:
        return None, None
    dim = time_dims.pop()
    # A coordinate called time counts before other dates along it, and these before a plain index.
    order = [n for n in (dim,) if n in named] + [n for n in (dim,) if n in declared]
    here = [n for n in order + declared + named if along[n].dims[0] == dim]
    return dim, here[0] if here else None


def _declares_time(variable: xr.Variable) -> bool:
    attrs = variable.attrs
    dated = variable.dtype.kind == "M" or (
        variable.dtype.kind == "O" and variable.size > 0 and hasattr(variable.values[0], "calendar")
    )
    return (
        dated
        or attrs.get("axis") == "T"
        or attrs.get("standard_name") == "time"
        or " since " in str(attrs.get("units", ""))
    )


def _renamed(variable: xr.Variable, roles: Mapping[Hashable, str]) -> xr.Variable:
    # `dims` is set on a shallow copy because other ways of renaming would read lazy values.
    renamed = variable.to_base_variable().copy(deep=False)
    if variable.dtype.kind == "T":  # zarr's strings, which not every writer knows
        renamed = renamed.astype(object)
    renamed.dims = tuple(roles.get(dim, dim) for dim in variable.dims)
    # Packing, chunk sizes and compression belong to the old file; calendar and units to the time.
    renamed.encoding = {
        key: value for key, value in variable.encoding.items() if key in ("units", "calendar")
    }
    return renamed


def _coordinates(
    ds: xr.Dataset, roles: Mapping[Hashable, str], time: Hashable | None
) -> dict[Hashable, xr.Variable]:
    kept: dict[Hashable, xr.Variable] = {}
    if time is not None:
        kept[names.TIME] = _renamed(ds.variables[time], roles)
        kept[names.TIME].attrs.pop("bounds", None)
    for name in ds.coords:
        variable = ds.variables[name]
        # netCDF knows no MultiIndex; its levels are coordinates of their own and stay.
        stacked = isinstance(ds.xindexes.get(name), PandasMultiIndex)
        if name == time or not set(variable.dims) <= set(roles):
            continue
        if stacked and name in variable.dims:
            continue
        new: Hashable = roles.get(name, name) if name in variable.dims else name
        clash = new in names.DIMENSIONS and _renamed(variable, roles).dims != (new,)
        if new not in kept and not clash:
            kept[new] = _renamed(variable, roles)
    return kept
