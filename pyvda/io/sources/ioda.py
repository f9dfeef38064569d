"""Files in the layout of IODA (JEDI's observations): groups by meaning, one variable for each kind.

    ObsValue/airTemperature(Location)       what was observed
    ObsError/airTemperature(Location)       standard deviation of its error
    PreQC/airTemperature(Location)          quality flag
    MetaData/dateTime(Location)             when; latitude, longitude, ...: where

`joined` turns them into one table: each observed variable with its error and flag as CF ancillary
variables, and the metadata as coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from pyvda.errors import InputError

VALUES, ERRORS, FLAGS, METADATA = "ObsValue", "ObsError", "PreQC", "MetaData"
_TIMES = ("dateTime", "datetime", "time")


def recognised(groups: Mapping[str, xr.Dataset]) -> bool:
    """Tell whether groups, by their paths, are those of a file in IODA's layout."""
    return f"/{VALUES}" in groups and f"/{METADATA}" in groups


def from_flat_names(ds: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the groups of a file of IODA's first version, with names such as `x@ObsValue`."""
    found: dict[str, dict[str, Any]] = {"/": {}}
    for full in ds.variables:
        name, _, group = str(full).partition("@")
        found.setdefault(f"/{group}", {})[name] = ds.variables[full]
    return {path: xr.Dataset(members) for path, members in found.items()}


def joined(groups: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return one Dataset of a file in IODA's layout, values unread.

    Raises
    ------
    InputError
        It has no times.
    """
    values, metadata = groups[f"/{VALUES}"], groups[f"/{METADATA}"]
    errors, flags = (groups.get(f"/{name}", xr.Dataset()) for name in (ERRORS, FLAGS))
    data: dict[str, xr.Variable] = {}
    for name, observed in values.variables.items():
        ancillary = []
        attrs = dict(observed.attrs)
        if name in errors.variables:
            data[f"{name}_error"] = _described(
                errors.variables[name], {"standard_name": f"{name} standard_error"}
            )
            ancillary.append(f"{name}_error")
        if name in flags.variables:
            data[f"{name}_preqc"] = flags.variables[name]
            ancillary.append(f"{name}_preqc")
        if ancillary:
            attrs["ancillary_variables"] = " ".join(ancillary)
        data[str(name)] = _described(observed, attrs)
    time = next((name for name in _TIMES if name in metadata.variables), None)
    if time is None:
        raise InputError(
            f"the group {METADATA} has no dateTime, so that it is not known when the data were "
            "observed; add it"
        )
    coords = {
        ("time" if name == time else str(name)): variable
        for name, variable in metadata.variables.items()
    }
    coords |= {str(name): v for name, v in groups["/"].variables.items() if str(name) not in coords}
    return xr.Dataset(data, coords, groups["/"].attrs)


def _described(variable: xr.Variable, attrs: dict[str, Any]) -> xr.Variable:
    found = variable.copy(deep=False)
    found.attrs = {**variable.attrs, **attrs}
    return found
