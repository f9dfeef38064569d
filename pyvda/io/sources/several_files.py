"""Several Datasets to one: along time, along windows, or variable by variable.

Their coordinates decide: other times make a longer series, the same times other windows or other
variables. Nothing is filled in; where the files clash the message names two of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.dimensions import find_time, is_window
from pyvda.io.quality.error_variables import is_error_of_another
from pyvda.io.quality.packing import states_range, storage, unpacked, without_invalid
from pyvda.io.quality.quality_flags import is_named_as_flag
from pyvda.notices import notice

_AS_THEY_ARE: dict[str, Any] = {
    "coords": "minimal", "compat": "override", "join": "exact", "combine_attrs": "override",
}  # fmt: skip


def combined(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return Datasets as one.

    Parameters
    ----------
    parts : mapping
        {name of a file: its Dataset}, in the order of the files.

    Returns
    -------
    Dataset
        Along time in the order of the times, along windows in the order of the windows' labels or,
        without any, of the files. The attributes are those of the first.

    Raises
    ------
    InputError
        Variables, dimensions, units or times clash.
    """
    variables = {name: frozenset(map(str, ds.data_vars)) for name, ds in parts.items()}
    if len(set().union(*variables.values())) == sum(map(len, variables.values())):
        return _merged(parts)
    _check_alike(parts)
    first = next(iter(parts.values()))
    time_dim, time = find_time(first, first.dims)
    windows = [dim for dim in first.dims if is_window(first, dim)]
    if time is not None:
        _check_units_of_times(parts, time)
    if time is not None and not _same(parts, time):
        return _along_time(parts, time_dim, time)
    if not windows:
        notice(f"{len(parts)} files of the same times are taken as so many windows")
        whole = {name: ds.expand_dims(names.WINDOW) for name, ds in parts.items()}
        return _concatenated(whole, names.WINDOW)
    return _along_windows(parts, windows[0])


def _merged(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return files of different variables as one."""
    for dim in {dim for ds in parts.values() for dim in ds.dims}:
        having = {name: ds for name, ds in parts.items() if dim in ds.dims}
        (one, first), *others = having.items()
        for other, ds in others:
            same = ds.sizes[dim] == first.sizes[dim] and (
                dim not in ds.indexes
                or dim not in first.indexes
                or ds.indexes[dim].equals(first.indexes[dim])
            )
            if not same:
                raise InputError(
                    f"{one} and {other} have different variables and other coordinates along "
                    f"{dim!r}; give files of the same {dim!r} (Dataset.sel), or files that all "
                    "have the same variables, which are joined along time"
                )
    return xr.merge(parts.values(), compat="override", join="exact", combine_attrs="override")


def _along_time(
    parts: Mapping[str, xr.Dataset], dim: Hashable | None, time: Hashable
) -> xr.Dataset:
    ranges = {}
    for name, ds in parts.items():
        if ds[time].dims != (dim,):
            raise InputError(
                f"the times of {name} lie along {ds[time].dims}, elsewhere along {dim!r}; give "
                "files with the same dimensions"
            )
        values = ds[time].values
        if len(values):
            ranges[name] = (values.min(), values.max())
    if not ranges:
        raise InputError(f"the {len(parts)} files have no times; give files with data")
    try:
        order = sorted(ranges, key=lambda name: ranges[name])
        for one, other in itertools.pairwise(order):
            if ranges[other][0] <= ranges[one][1]:
                raise InputError(
                    f"{one} ends at {ranges[one][1]}, but {other} begins at {ranges[other][0]}; "
                    "give files whose times do not overlap"
                )
    except TypeError:
        kinds = {name: _kind_of_times(ds[time]) for name, ds in parts.items()}
        one = next(iter(kinds))
        other = next((name for name in kinds if kinds[name] != kinds[one]), one)
        raise InputError(
            f"the times of {one} are {kinds[one]}, those of {other} {kinds[other]}; give the times "
            "of all files as numbers without units, or as dates of one calendar "
            "(Dataset.convert_calendar)"
        ) from None
    return _concatenated({name: parts[name] for name in order}, dim)


def _kind_of_times(times: xr.DataArray) -> str:
    if times.dtype.kind in "fiu":
        return "numbers without units"
    calendar = times.dt.calendar if times.dtype.kind in "MO" and times.size else "unknown"
    return f"dates of the calendar {calendar}"


def _along_windows(parts: Mapping[str, xr.Dataset], dim: Hashable) -> xr.Dataset:
    labelled = [dim in ds.indexes for ds in parts.values()]
    if not all(labelled):
        return _concatenated(
            {n: ds.drop_vars([dim], errors="ignore") for n, ds in parts.items()}, dim
        )
    every = np.concatenate([ds[dim].values for ds in parts.values()])
    if len(np.unique(every)) == len(every):
        whole = _concatenated(parts, dim)
        return whole if _increasing(every) else whole.isel({dim: np.argsort(every, kind="stable")})
    counted = all(np.array_equal(ds[dim].values, np.arange(ds.sizes[dim])) for ds in parts.values())
    if not counted:
        (one, first), (other, second) = _sharing(parts, dim)
        both = np.intersect1d(first[dim].values, second[dim].values)
        raise InputError(
            f"{one} and {other} both have the {dim} {both[0]}; give files of different windows, or "
            "number them anew"
        )
    # Each file counts its own windows from 0.
    return _concatenated({name: ds.drop_vars([dim]) for name, ds in parts.items()}, dim)


def _increasing(labels: np.ndarray) -> bool:
    return bool((labels[1:] > labels[:-1]).all())


def _sharing(parts: Mapping[str, xr.Dataset], dim: Hashable) -> list[tuple[str, xr.Dataset]]:
    """Return two files that have a label in common."""
    seen: dict[Any, tuple[str, xr.Dataset]] = {}
    for name, ds in parts.items():
        for label in ds[dim].values.tolist():
            if label in seen and seen[label][0] != name:
                return [seen[label], (name, ds)]
            seen[label] = (name, ds)
    raise InputError(f"a file has a {dim} twice; number the windows anew")


def _concatenated(parts: Mapping[str, xr.Dataset], dim: Hashable | None) -> xr.Dataset:
    parts = _stored_alike(parts, dim)
    try:
        return xr.concat(parts.values(), dim=dim, data_vars="minimal", **_AS_THEY_ARE)
    except ValueError as error:  # coordinates along another dimension differ
        lines = str(error).strip().splitlines()
        raise InputError(
            f"the {len(parts)} files cannot be joined along {dim!r} ({lines[0]}); give files whose "
            "other coordinates are the same"
        ) from error


def _stored_alike(
    parts: Mapping[str, xr.Dataset], dim: Hashable | None
) -> Mapping[str, xr.Dataset]:
    """Return files with their own invalid values as NaN, where they store a variable differently.

    The joined variable has the packing and the valid range of the first file only.
    """
    (_, first), *_ = parts.items()
    differing = [
        name
        for name, variable in first.data_vars.items()
        if dim in variable.dims
        and variable.dtype.kind in "fiu"
        and not is_named_as_flag(variable)
        and not is_error_of_another(first, str(name))
        and len({storage(ds.variables[name]) for ds in parts.values()}) > 1
    ]
    if not differing:
        return parts
    found = {}
    for part, ds in parts.items():
        plain = unpacked(ds[differing])
        changed = {
            name: without_invalid(plain.variables[name], f"{name} in {part}") for name in differing
        }
        found[part] = ds.assign(changed)
    ranged = [
        str(n) for n in differing if any(states_range(ds.variables[n]) for ds in parts.values())
    ]
    if ranged:
        notice(
            f"the files store {', '.join(ranged)} differently; values outside of the valid range "
            "of their own file are missing"
        )
    return found


def _check_alike(parts: Mapping[str, xr.Dataset]) -> None:
    (one, first), *others = parts.items()
    for other, ds in others:
        for name in dict.fromkeys((*first.data_vars, *ds.data_vars)):
            for has, lacks, where in ((first, ds, (one, other)), (ds, first, (other, one))):
                if name in has.variables and name not in lacks.variables:
                    raise InputError(
                        f"{where[0]} has the variable {name!r}, {where[1]} has not; choose files "
                        f"with the same variables, or leave it out (Dataset.drop_vars)"
                    )
            if set(first[name].dims) != set(ds[name].dims):
                raise InputError(
                    f"{name!r} has dimensions {first[name].dims} in {one} and {ds[name].dims} in "
                    f"{other}; give files with the same dimensions"
                )
            units = first[name].attrs.get("units"), ds[name].attrs.get("units")
            if units[0] != units[1]:
                raise InputError(
                    f"{name!r} is in units of {units[0]} in {one} and of {units[1]} in {other}; "
                    "convert one of them"
                )


def _check_units_of_times(parts: Mapping[str, xr.Dataset], time: Hashable) -> None:
    """Refuse numbers that count from different dates; times that were decoded have no units."""
    (one, first), *others = [(n, ds[time].attrs.get("units")) for n, ds in parts.items()]
    for other, units in others:
        if units != first:
            raise InputError(
                f"{time!r} is in units of {first} in {one} and of {units} in {other}; convert one "
                "of them"
            )


def _same(parts: Mapping[str, xr.Dataset], name: Hashable) -> bool:
    arrays = [ds[name].values for ds in parts.values()]
    return all(
        one.shape == arrays[0].shape and one.dtype.kind == arrays[0].dtype.kind
        and bool((one == arrays[0]).all())
        for one in arrays[1:]
    )  # fmt: skip
