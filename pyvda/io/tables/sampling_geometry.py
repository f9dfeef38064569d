"""Discrete sampling geometries of CF, chapter 9, as tables with one row for each datum.

Points, time series of stations, trajectories, profiles and their combinations come in four layouts:

    orthogonal, incomplete      values over (instance, obs); missing values fill the shorter ones
    contiguous ragged           a count for each instance, with the attribute `sample_dimension`
    indexed ragged              an instance for each obs, with the attribute `instance_dimension`

`table` turns each of them into variables along one dimension: the data, `time`, positions, and what
is known of the instance (the name of the station).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.dimensions import axis, find_time

KINDS = ("point", "timeseries", "trajectory", "profile", "timeseriesprofile", "trajectoryprofile")
_LETTERS = ("x", "y", "z")
_SAYING = {"axis", "standard_name"}
COUNTS, INDICES = "sample_dimension", "instance_dimension"


def is_declared(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset declares a discrete sampling geometry."""
    return kind_of(ds) is not None or is_ragged(ds)


def kind_of(ds: xr.Dataset) -> str | None:
    """Return the CF `featureType` of a Dataset in lower case, None where it has none of CF's."""
    given = str(ds.attrs.get("featureType", ds.attrs.get("CF:featureType", ""))).lower()
    return given if given in KINDS else None


def is_ragged(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset has ragged arrays."""
    return any(COUNTS in v.attrs or INDICES in v.attrs for v in ds.variables.values())


def table(ds: xr.Dataset) -> xr.Dataset:
    """Return the data of a discrete sampling geometry as a table.

    Parameters
    ----------
    ds : Dataset

    Returns
    -------
    Dataset
        Its variables along one dimension, that of the data; other Datasets as they are.

    Raises
    ------
    InputError
        Counts or indices do not fit the dimensions.
    """
    declared = is_declared(ds)
    while True:
        ragged = [name for name, v in ds.variables.items() if INDICES in v.attrs] + [
            name for name, v in ds.variables.items() if COUNTS in v.attrs
        ]
        if not ragged:
            break
        ds = _resolved(ds, ragged[0])
    observed = [n for n, v in ds.data_vars.items() if v.dtype.kind == "f" and v.ndim]
    longest = max((ds[name].dims for name in observed), key=len, default=())
    if not declared or len(longest) < 2:
        return ds
    return _stacked(ds, longest)


def _resolved(ds: xr.Dataset, name: Hashable) -> xr.Dataset:
    """Replace one count or index variable: the variables of instances get the dimension of data."""
    variable = ds.variables[name]
    by_index = INDICES in variable.attrs
    if variable.ndim != 1:
        raise InputError(
            f"the variable {name!r} of a ragged array has dimensions {variable.dims}, expected one"
        )
    values = np.asarray(variable.values, float)
    if by_index:
        instances, along = str(variable.attrs[INDICES]), str(variable.dims[0])
        index = values
    else:
        instances, along = str(variable.dims[0]), str(variable.attrs[COUNTS])
        counts = np.where(np.isfinite(values) & (values > 0), values, 0).astype(int)
        index = np.repeat(np.arange(len(counts)), counts).astype(float)
    here = ds.sizes.get(along)
    if here is None or (not by_index and len(index) != here):
        there = "which the file does not have" if here is None else f"which has {here}"
        raise InputError(
            f"the counts {name!r} of a ragged array are {len(index)} data along {along!r}, "
            f"{there}; correct the counts or the attribute {COUNTS}"
        )
    ds = ds.drop_vars([name])
    if instances not in ds.dims:
        return ds
    known = np.isfinite(index)
    inside = known & (index >= 0) & (index < ds.sizes[instances])
    if by_index and (inside != (known & (index >= 0))).any():
        worst = int(np.nanmax(index))
        raise InputError(
            f"the index {name!r} of a ragged array is {worst} somewhere, but {instances!r} has "
            f"{ds.sizes[instances]} instances, counted from 0; correct the index"
        )
    if not inside.all():  # data without an instance
        ds = ds.isel({along: inside})
    chosen = xr.Variable((along,), index[inside].astype(int))
    own = [n for n, v in ds.variables.items() if instances in v.dims]
    moved = {n: ds.variables[n].to_base_variable().isel({instances: chosen}) for n in own}
    return ds.drop_vars(own).assign(moved)


def _stacked(ds: xr.Dataset, dims: tuple[Hashable, ...]) -> xr.Dataset:
    """Return the variables over some of the dimensions as rows along one."""
    sizes = {dim: ds.sizes[dim] for dim in dims}
    found: dict[Hashable, xr.Variable] = {}
    for name, variable in ds.variables.items():
        if not variable.ndim or not set(variable.dims) <= set(dims):
            continue
        whole = variable.to_base_variable().set_dims(sizes).transpose(*dims)
        found[name] = xr.Variable((names.DATUM,), whole.values.ravel(), variable.attrs)
        found[name].encoding = variable.encoding
    return xr.Dataset(found, attrs=ds.attrs)


def with_positions(ds: xr.Dataset, dims: Collection[str]) -> xr.Dataset:
    """Return a table with positions under the names of a model's dimensions, by their CF axes."""
    directions = {axis(xr.Dataset(), dim): dim for dim in dims if dim not in ds.variables}
    for name in positions(ds):
        to = directions.get(letter) if (letter := axis(ds, name)) else None
        if to is not None:
            ds = ds.assign_coords({to: ds[name].variable})
    return ds


def positions(ds: xr.Dataset) -> list[str]:
    """Return the coordinates that say where the data of a table lie, one for each CF axis."""
    found: dict[str, str] = {}
    for name, variable in ds.variables.items():
        if variable.ndim == 1 and variable.dtype.kind in "fiu":
            letter = axis(ds, name)
            if str(name).lower() in _LETTERS and not set(ds[name].attrs) & _SAYING:
                continue  # x, y and z may as well be what was observed
            time = find_time(ds, variable.dims)[1]
            if letter is not None and name != time:
                found.setdefault(letter, str(name))
    return [found[letter] for letter in "YXZ" if letter in found]
