"""Attributes by which a CF variable refers to others: bounds, grid mappings, measures of cells.

The variables that they name hold no observations, but belong to what refers to them and are kept
with it, in memory as coordinates without an index.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import xarray as xr

# Each value is one name, several names, or pairs such as `area: cell_area`.
ATTRIBUTES = (
    "bounds", "climatology", "grid_mapping", "cell_measures", "formula_terms", "geometry",
    "node_coordinates", "node_count", "part_node_count", "interior_ring",
)  # fmt: skip
_OTHERS = ("coordinates", "ancillary_variables")
_NAME = re.compile(r"[^\s:]+(?=\s|$)")
_KEY = re.compile(r"[^\s:]+(?=\s*:)")


def named_by(attrs: Mapping[Any, Any], attributes: Iterable[str] = ATTRIBUTES) -> list[str]:
    """Return the variables that attributes refer to.

    >>> named_by({"cell_measures": "area: areacella", "bounds": "lat_bnds"})
    ['lat_bnds', 'areacella']
    >>> named_by({"grid_mapping": "crs: x y"})
    ['crs']
    """
    found: list[str] = []
    for attribute in attributes:
        text = attrs.get(attribute)
        if isinstance(text, str):
            # A grid mapping comes before its coordinates, everything else after its role.
            pattern = _KEY if attribute == "grid_mapping" and ":" in text else _NAME
            found += pattern.findall(text)
    return list(dict.fromkeys(found))


def is_referred_to(name: Hashable, ds: xr.Dataset) -> bool:
    """Tell whether another variable of `ds` names this one as its bounds, grid mapping or such."""
    return name not in ds.dims and any(name in named_by(v.attrs) for v in ds.variables.values())


def belonging(ds: xr.Dataset, names: Iterable[Hashable]) -> dict[Hashable, xr.Variable]:
    """Return the variables of `ds` that others refer to, and what these refer to in turn.

    Parameters
    ----------
    ds : Dataset
        As opened; a reference is an attribute, or was made an encoding by `decode_coords="all"`.
    names : iterable of hashable
        The variables that are kept.
    """
    found: dict[Hashable, xr.Variable] = {}
    waiting = list(names)
    while waiting:
        variable = ds.variables[waiting.pop()]
        for name in named_by({**variable.encoding, **variable.attrs}):
            if name in ds.variables and name not in found:
                found[name] = ds.variables[name]
                waiting.append(name)
    return found


def with_attributes(variable: xr.Variable) -> xr.Variable:
    """Return the variable with references among its attributes that were made its encoding."""
    moved = {key: variable.encoding[key] for key in ATTRIBUTES if key in variable.encoding}
    if moved:
        variable = variable.copy(deep=False)
        variable.attrs = {**variable.attrs, **moved}
    return variable


def written(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` ready to be written: no reference to a missing variable, bounds as variables."""
    found = ds.copy(deep=False)
    external = str(ds.attrs.get("external_variables", "")).split()
    for name, variable in found.variables.items():
        attrs = {**with_attributes(variable).attrs}
        for key in (*ATTRIBUTES, *_OTHERS):
            missing = [n for n in named_by(attrs, (key,)) if n not in ds.variables]
            if key in attrs and set(missing) - set(external):
                kept = [n for n in named_by(attrs, (key,)) if n not in missing]
                if key in _OTHERS and kept:
                    attrs[key] = " ".join(kept)
                else:
                    del attrs[key]
        found[name].attrs = attrs
    return found.reset_coords([n for n in found.coords if is_referred_to(n, found)])
