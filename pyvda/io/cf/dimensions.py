"""The meaning of the dimensions of a file: time, window, or a direction in space.

Attributes of the CF conventions decide, then plain names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import xarray as xr

from pyvda.errors import InputError

# A dimension with one of these names is the state; a third dimension then counts windows.
STATE_NAMES = ("state", "component", "components")
_TIME_NAMES = ("time", "t")
_LEAD_TIME, _REFERENCE_TIME = "forecast_period", "forecast_reference_time"
_WINDOW_NAMES = ("window", "windows", "sample", "samples", "member", "batch")
_AXES = {
    "X": ("x", "lon", "longitude", "projection_x_coordinate", "grid_longitude", "degrees_east"),
    "Y": ("y", "lat", "latitude", "projection_y_coordinate", "grid_latitude", "degrees_north"),
    "Z": ("z", "lev", "level", "depth", "height", "altitude", "model_level_number"),
}

# Attributes that identify a variable or dimension.
_SAYING = ("axis", "standard_name", "units")


def with_single_attributes(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with one value in each attribute that identifies a variable.

    An array of one value, as HDF5 files may have it, becomes that value.

    Raises
    ------
    InputError
        When such an attribute has no value or several.
    """
    single: dict[Hashable, xr.Variable] = {}
    for name, variable in ds.variables.items():
        several = {
            key: np.array(variable.attrs[key], dtype=object)
            for key in _SAYING
            if isinstance(variable.attrs.get(key), list | tuple | dict | np.ndarray | xr.DataArray)
        }
        for key, value in several.items():
            if value.size != 1 or isinstance(value.item(), dict):
                raise InputError(
                    f"variable {name!r} has {_count(value)} in its attribute {key}, expected one "
                    f"text; delete it (del ds[{name!r}].attrs[{key!r}]) or correct it"
                )
        if several:
            single[name] = variable.copy(deep=False)
            single[name].attrs |= {key: value.item() for key, value in several.items()}
    if not single:
        return ds
    coords = {name: one for name, one in single.items() if name in ds.coords}
    return ds.assign_coords(coords).assign(
        {name: one for name, one in single.items() if name not in coords}
    )


def _count(value: np.ndarray) -> str:
    return f"{value.size} values" if value.size != 1 else "a mapping"


def is_window(ds: xr.Dataset, dim: Hashable) -> bool:
    """Tell whether a dimension counts windows: by its name, or as a CF realization.

    Nothing else makes one: a dimension of space must never be taken for windows.
    """
    standard_name = ds[dim].attrs.get("standard_name") if dim in ds.variables else None
    return str(dim).lower() in _WINDOW_NAMES or standard_name == "realization"


def find_time(ds: xr.Dataset, dims: Iterable[Hashable]) -> tuple[Hashable | None, Hashable | None]:
    """Return the time dimension among `dims` and the variable that holds the times, if any."""
    dims = tuple(dims)
    along = {n: v for n, v in ds.variables.items() if v.ndim == 1 and v.dims[0] in dims}
    said = {name: v.attrs.get("standard_name") for name, v in along.items()}
    leads = [n for n in along if said[n] == _LEAD_TIME]
    starts = {along[n].dims[0] for n in along if said[n] == _REFERENCE_TIME}
    if len(leads) == 1 and starts - {along[leads[0]].dims[0]}:  # several forecasts
        return along[leads[0]].dims[0], leads[0]
    # Windows may be labelled by dates too.
    declared = [n for n, v in along.items() if _declares_time(v) and not is_window(ds, v.dims[0])]
    named = [n for n in along if str(n).lower() in _TIME_NAMES]
    time_dims = {along[n].dims[0] for n in declared} or {along[n].dims[0] for n in named}
    if len(time_dims) != 1:
        time_dims = {dim for dim in dims if str(dim).lower() in _TIME_NAMES}
    if not time_dims:  # the lead times of one forecast
        declared = [n for n, v in along.items() if v.attrs.get("standard_name") == _LEAD_TIME]
        time_dims = {along[n].dims[0] for n in declared}
    if len(time_dims) != 1:
        return None, None
    dim = time_dims.pop()
    # A coordinate called time counts before other dates along it, and these before a plain index.
    order = [n for n in (dim,) if n in named] + [n for n in (dim,) if n in declared]
    here = [n for n in order + declared + named if along[n].dims[0] == dim]
    return dim, here[0] if here else None


def with_times_of_windows(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with one axis of times in place of times over windows and steps.

    The steps of all windows must be as far apart; the first time of each window stays, as
    `first_time`.

    Raises
    ------
    InputError
        They are not.
    """
    for name, variable in ds.variables.items():
        if variable.ndim != 2 or variable.dtype.kind not in "Mfiu":
            continue
        called = str(name).lower() in _TIME_NAMES
        if not _declares_time(variable) and not (called and name in (*ds.coords, "time")):
            continue  # T may be a temperature
        windows = [dim for dim in variable.dims if is_window(ds, dim)]
        if len(windows) != 1:
            continue
        (step,) = [dim for dim in variable.dims if dim not in windows]
        if find_time(ds, (step,))[1] is not None:
            continue
        values = variable.transpose(windows[0], step).values
        since = values - values[:, :1]
        unit = np.timedelta64(1, "ns") if values.dtype.kind == "M" else 1
        since = since / unit
        far = np.abs(since - since[:1]) > 1e-6 * np.abs(since[0]).max(initial=0.0)
        if not np.isfinite(since).all() or far.any():
            raise InputError(
                f"the times {str(name)!r} of the windows are missing somewhere or not as far apart "
                f"in each window; give a coordinate along {step!r} with the times since the start "
                "of a window"
            )
        attrs = dict(variable.attrs)
        ds = ds.drop_vars([name])
        ds = ds.assign_coords(
            {
                str(name): xr.Variable((step,), values[0], attrs, variable.encoding),
                "first_time": xr.Variable((windows[0],), values[:, 0], attrs, variable.encoding),
            }
        )
    return ds


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


def axis(ds: xr.Dataset, dim: Hashable) -> str | None:
    """Return the CF axis "X", "Y" or "Z" that a dimension stands for, None where nothing says so.

    The coordinate's attribute `axis` decides, then its `standard_name` and units, then its name.
    """
    attrs = ds[dim].attrs if dim in ds.variables else {}
    if attrs.get("axis") in _AXES:
        return str(attrs["axis"])
    for said in (attrs.get("standard_name"), attrs.get("units"), dim):
        for letter, known in _AXES.items():
            if str(said).lower() in known:
                return letter
    return None


def instance_of(ds: xr.Dataset, dim: Hashable) -> str | None:
    """Return what a dimension counts by CF's discrete sampling geometries (stations, profiles).

    None where it is not declared to count such features.
    """
    for variable in ds.variables.values():
        if "cf_role" in variable.attrs and dim in variable.dims[:1]:
            return str(variable.attrs["cf_role"]).removesuffix("_id")
    return None
