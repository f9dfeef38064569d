"""Which group of a netCDF file, a zarr store or a DataTree holds the observations."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf.dimensions import find_time
from pyvda.io.sources import ioda


def chosen(groups: Mapping[str, xr.Dataset], group: str | None, where: str) -> xr.Dataset:
    """Return the group that the user names, else the only one with data.

    Parameters
    ----------
    groups : mapping
        {path of a group: its Dataset}; the root is "/".
    group : str, optional
        Path of a group, with or without the leading slash.
    where : str
        What the message calls the file.

    Returns
    -------
    Dataset
        With the coordinates of the groups around it. Of a file in the layout of IODA the table of
        all its groups, see `ioda`.

    Raises
    ------
    InputError
        There is no such group, or several have data and none is named.
    """
    base = "/" if group is None else f"/{group.strip('/')}"
    if base not in groups:
        known = ", ".join(path.strip("/") for path in groups if path != "/") or "none"
        raise InputError(f"{where} has no group {group!r}; the groups are {known}")
    here = _with_outer_coordinates(groups, base)
    if base != "/" and here.data_vars:
        return here
    if has_data(here):
        return here
    below = {path: ds for path, ds in groups.items() if path != base and _is_below(path, base)}
    if ioda.recognised(below):
        return ioda.joined(groups)
    full = [path for path, ds in below.items() if has_data(ds)]
    if len(full) > 1:
        listed = ", ".join(path.strip("/") for path in full)
        raise InputError(
            f"the data of {where} are in its groups {listed}; choose one with "
            f"group={full[0].strip('/')!r} (--group)"
        )
    return _with_outer_coordinates(groups, full[0]) if full else here


def has_data(ds: xr.Dataset) -> bool:
    """Tell whether a group has variables that may be observations, not coordinates alone."""
    return any(
        variable.ndim and variable.dtype.kind == "f" and find_time(ds, variable.dims)[1] != name
        for name, variable in ds.data_vars.items()
    )


def of_tree(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the groups of a DataTree by their paths from its own root."""
    root = tree.path.rstrip("/")
    return {
        (node.path.removeprefix(root) or "/"): node.to_dataset(inherit=False)
        for node in tree.subtree
    }


def _is_below(path: str, base: str) -> bool:
    return path.startswith(base if base == "/" else f"{base}/")


def _with_outer_coordinates(groups: Mapping[str, xr.Dataset], path: str) -> xr.Dataset:
    found = groups[path]
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        outer = groups.get(path)
        if outer is None:
            continue
        known = {
            name: variable
            for name, variable in outer.variables.items()
            if name not in found.variables
            and variable.ndim
            and all(found.sizes.get(dim) == size for dim, size in variable.sizes.items())
        }
        attrs = {**outer.attrs, **found.attrs}
        found = found.assign_coords(known).assign_attrs(attrs)
    return found
