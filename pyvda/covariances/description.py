"""A covariance as a Dataset of plain arrays and attributes, and back.

Attributes: `pyvda_covariance` (the version of this layout), `form`, `variables` (their names in
order, separated by blanks), and for an ensemble `localisation_radius` in grid spacings (0: none),
for a hybrid `static_form`, `static_weight` and `ensemble_weight`. For each variable NAME:

    NAME_stdev (grid)                      standard deviation; NaN on land
    NAME_spectrum (NAME_wave_number)       spectral: variance of the modes; attribute `boundary`
    NAME_length, NAME_spacing_y and _x (grid)   diffusion; attribute `steps` of the length
    NAME_member (member, grid)             ensemble: members less their mean; NaN on land

and for the form dense `covariance` (state1, state2). Nothing of a file is trusted: every array and
attribute is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.operators.blocks import Blocks
from pyvda.operators.covariance import Covariance, Dense, FromEnsemble
from pyvda.operators.diffusion import Diffusion
from pyvda.operators.fitted import interpolated
from pyvda.operators.localisation import taper
from pyvda.operators.spectral import Spectral
from pyvda.operators.sum import Sum
from pyvda.state.space import StateSpace, Variable

VERSION = 1
VERSION_ATTRIBUTE = "pyvda_covariance"
STATIC = ("spectral", "diffusion")
FORMS = (*STATIC, "ensemble", "hybrid", "dense")
BOUNDARIES = ("wall", "open", "periodic")


def space_of(ds: xr.Dataset) -> StateSpace:
    """Return the variables that a description is of, with their land.

    Raises
    ------
    InputError
        The Dataset is not a description of a covariance.
    """
    if np.asarray(ds.attrs.get(VERSION_ATTRIBUTE)).tolist() not in (VERSION, [VERSION]):
        raise InputError(
            f"the Dataset is not a covariance made by pyvda (attribute {VERSION_ATTRIBUTE} = "
            f"{VERSION}); "
            "make one with `pyvda covariance` or pyvda.fit_covariance"
        )
    found, land = [], []
    for name in str(ds.attrs.get("variables", "")).split():
        stdev = _array(ds, f"{name}_stdev", None, land=True)
        if (stdev.values < 0).any():
            raise InputError(f"{stdev.name} has negative values, expected standard deviations")
        dims = tuple(map(str, stdev.dims))
        found.append(Variable(name, dims, stdev.shape, units=str(stdev.attrs.get("units", ""))))
        land.append(np.isnan(stdev.values).ravel())
    if not found:
        raise InputError("the covariance names no variables (attribute variables)")
    dry = np.concatenate(land)
    return StateSpace(tuple(found), dry.astype(np.uint8).tobytes() if dry.any() else None)


def operator_of(ds: xr.Dataset) -> Covariance:
    """Return the operator that a description is of.

    Raises
    ------
    InputError
        Something is missing, has another type or shape than expected, or is not a covariance.
    """
    space = space_of(ds)
    form = _word(ds.attrs.get("form"), "form", FORMS)
    if form == "dense":
        return _dense(ds, space)
    if form == "ensemble":
        return _ensemble(ds, space)
    if form in STATIC:
        return _static(ds, space, form)
    static = _static(ds, space, _word(ds.attrs.get("static_form"), "static_form", STATIC))
    weights = [_number(ds.attrs, name) for name in ("static_weight", "ensemble_weight")]
    return Sum([static, _ensemble(ds, space)], weights)


def _static(ds: xr.Dataset, space: StateSpace, form: str) -> Covariance:
    make = _spectral if form == "spectral" else _diffusion
    parts = [make(ds, variable) for variable in space.variables]
    return parts[0] if len(parts) == 1 else Blocks(parts)


def _spectral(ds: xr.Dataset, variable: Variable) -> Covariance:
    name = variable.name
    along = (f"{name}_wave_number",)
    spectrum = _array(ds, f"{name}_spectrum", along)
    wave_number = _array(ds, along[0], along).values
    boundary = _word(spectrum.attrs.get("boundary"), f"{name}_spectrum: boundary", BOUNDARIES)
    values = spectrum.values
    if not ((np.diff(wave_number) > 0).all() and wave_number[0] >= 0 and (values > 0).all()):
        raise InputError(
            f"{name}_spectrum is not positive or its wave numbers do not increase from 0"
        )
    stdev = _array(ds, f"{name}_stdev", variable.dims, land=True).values
    missing = np.isnan(stdev)
    inside = missing[(slice(1, -1),) * stdev.ndim] if boundary == "wall" else missing
    if inside.any():
        raise InputError(
            f"{name}_stdev is missing at {int(inside.sum())} points, which a spectral covariance "
            "cannot leave out; choose the form diffusion"
        )
    return Spectral(
        variable.shape, interpolated(wave_number, values), np.where(missing, 0.0, stdev),
        boundary=boundary,  # type: ignore[arg-type]
    )  # fmt: skip


def _diffusion(ds: xr.Dataset, variable: Variable) -> Covariance:
    name, dims = variable.name, variable.dims
    if len(dims) != 2:
        raise InputError(
            f"{name} has the dimensions {dims}, expected two for the form diffusion; choose another"
        )
    length = _array(ds, f"{name}_length", dims)
    stdev = _array(ds, f"{name}_stdev", dims, land=True).values
    land = np.isnan(stdev)
    spacing = [_array(ds, f"{name}_spacing_{axis}", dims).values for axis in "yx"]
    steps = _number(length.attrs, "steps")
    if steps != int(steps) or not 4 <= steps <= 1000:
        raise InputError(f"{name}_length: steps is {steps}, expected a whole number from 4 to 1000")
    return Diffusion(
        length.values, np.where(land, 1.0, stdev), land, spacing=(spacing[0], spacing[1]),
        steps=int(steps),
    )  # fmt: skip


def _ensemble(ds: xr.Dataset, space: StateSpace) -> Covariance:
    parts = []
    for variable in space.variables:
        array = _array(ds, f"{variable.name}_member", (names.MEMBER, *variable.dims), land=True)
        values = array.values.reshape(len(array), variable.size)
        dry = ~space.sea[space.slices()[variable.name]]
        if (np.isnan(values) != dry).any():
            raise InputError(f"{array.name} and {variable.name}_stdev are missing at other points")
        parts.append(np.where(dry, 0.0, values))
    members = np.concatenate(parts, -1)
    radius = _number(ds.attrs, "localisation_radius")
    return FromEnsemble(members, taper(space, radius) if radius else None)


def _dense(ds: xr.Dataset, space: StateSpace) -> Covariance:
    matrix = _array(ds, "covariance", (names.STATE_ROW, names.STATE_COLUMN))
    if matrix.shape != (space.size, space.size):
        raise InputError(
            f"covariance has the shape {matrix.shape}, expected {(space.size, space.size)}"
        )
    return Dense(matrix.values)


def _array(
    ds: xr.Dataset, name: str, dims: tuple[Hashable, ...] | None, *, land: bool = False
) -> xr.DataArray:
    """Return an array of the description, checked; NaN is allowed where there may be land."""
    if name not in ds.variables:
        raise InputError(f"the covariance has no variable {name}; fit it again")
    array = ds[name]
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise InputError(f"{name} is of type {array.dtype} and {array.size} numbers")
    if dims is not None and array.dims != dims:
        raise InputError(f"{name} has the dimensions {array.dims}, expected {dims}")
    bad = np.isinf(array.values) if land else ~np.isfinite(array.values)
    if bad.any():
        raise InputError(f"{name} has NaN or infinite values at {int(bad.sum())} points")
    return array.astype(float)


def _number(attrs: Any, name: str) -> float:
    value = np.asarray(attrs.get(name, np.nan))
    if value.dtype.kind not in "fiu" or value.size != 1 or not np.isfinite(value).all():
        raise InputError(f"the attribute {name} of the covariance is {value}, expected a number")
    return float(value.item())


def _word(found: Any, name: str, expected: tuple[str, ...]) -> str:
    if not isinstance(found, str) or found not in expected:
        raise InputError(f"{name} is {found!r}, expected one of {', '.join(expected)}")
    return found
