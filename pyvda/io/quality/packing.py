"""How a variable is stored: packing, missing values, and the valid range in the values' own units.

xarray decodes `scale_factor`, `add_offset`, `_FillValue` and `missing_value` and keeps them as the
encoding, but leaves `valid_range`, `valid_min` and `valid_max` as they are: numbers in stored
units, which say nothing about unpacked values. A Dataset that was opened with
`mask_and_scale=False`, or built from another library's arrays and attributes, has all of them as
attributes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.writing.elementwise import elementwise
from pyvda.notices import notice
from pyvda.validation_errors import brief

_SCALING = ("scale_factor", "add_offset", "_Unsigned")
MISSING_ATTRIBUTES = ("_FillValue", "missing_value")
_BOUNDS = ("valid_range", "valid_min", "valid_max")
# Other names of attributes that state a missing value, without underscores and capitals.
_ALSO_MISSING = frozenset(
    ("fillvalue", "missingvalue", "codemissingvalue", "nodata", "nodatavalue")
)


def unpacked(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with packed and missing values decoded, where this was not done on opening.

    Floating-point values beside a `scale_factor` are unpacked already: netCDF4 returns them so, and
    its attributes with them. Values are not read.
    """
    changed: dict[Any, xr.Variable] = {}
    for name, variable in ds.variables.items():
        given = [key for key in (*_SCALING, *MISSING_ATTRIBUTES) if key in variable.attrs]
        if not given or variable.dtype.kind not in "fiu":
            continue
        if variable.dtype.kind == "f" and any(key in _SCALING for key in given):
            plain = variable.copy(deep=False)
            moved = {key: plain.attrs.pop(key) for key in given}
            plain.encoding = {**moved, **variable.encoding}
        else:
            try:
                plain = _decoded(variable, _scaling_as_numbers(variable.attrs))
            except (ValueError, TypeError) as error:
                listed = ", ".join(given)
                notice(f"the attributes {listed} of {name} cannot be used ({error}); they are not")
                continue
        changed[name] = plain
    return ds.assign(changed) if changed else ds


def expect_usable_packing(variable: xr.Variable, name: object) -> None:
    """Raise InputError where the scale_factor is 0, or it or the add_offset is not finite."""
    for key in _SCALING[:2]:
        given = variable.encoding.get(key, 1.0)
        number = np.asarray(given)
        finite = number.dtype.kind in "fiu" and bool(np.isfinite(number).all())
        if not finite or (key == "scale_factor" and not number.all()):
            raise InputError(
                f"the attribute {key} of {name!r} is {brief(number.tolist())}, which leaves no "
                "values; correct it in the file, or remove it if the values are not packed"
            )


def scaled_by_text(ds: xr.Dataset) -> list[str]:
    """Return the variables whose scale_factor or add_offset is text, which xarray cannot decode."""
    return [
        str(name) for name, variable in ds.variables.items()
        if any(isinstance(variable.encoding.get(key), str) for key in _SCALING[:2])
    ]  # fmt: skip


def _scaling_as_numbers(attrs: Mapping[Any, Any]) -> dict[str, float]:
    """Return the scale_factor and add_offset that are text as numbers."""
    return {key: float(attrs[key]) for key in _SCALING[:2] if isinstance(attrs.get(key), str)}


@dataclass(frozen=True)
class Bounds:
    """The least and the largest valid value, in the units of the values.

    Values beyond them by no more than `margin`, the rounding of packed numbers, are valid.
    """

    low: float
    high: float
    margin: float = 0.0

    def excluded(self, values: np.ndarray) -> np.ndarray:
        """Return where values are not valid; NaN is neither."""
        low, high = self.low - self.margin, self.high + self.margin
        return np.asarray((values < low) | (values > high))


def valid_bounds(variable: xr.Variable, name: object) -> Bounds | None:
    """Return the valid range that a variable's attributes state; None where they state none.

    By the netCDF User Guide, the numbers are packed like the values, unless the values are stored
    as integers and the numbers are floating-point.

    Parameters
    ----------
    variable : Variable
        Decoded, with the encoding that it was decoded by.
    name : object
        For notices.
    """
    found = None
    for key in _BOUNDS:
        if key not in variable.attrs:
            continue
        numbers = _numbers(variable.attrs[key], 2 if key == "valid_range" else 1)
        if numbers is None:
            expected = "two numbers" if key == "valid_range" else "a number"
            given = np.asarray(variable.attrs[key]).tolist()
            notice(
                f"the attribute {key} of {name} is {brief(given)}, "
                f"expected {expected}; it is ignored"
            )
            continue
        if _lost_its_packing(variable, numbers):
            notice(
                f"the attribute {key} of {name} is in the units of a packing that the values no "
                "longer have; it is not used"
            )
            continue
        one = _in_units_of_values(numbers, key, variable)
        if found is not None:
            one = replace(one, low=max(one.low, found.low), high=min(one.high, found.high))
        found = one
    return found


def without_packing(attrs: Mapping[Any, Any], bounds: Bounds | None) -> dict[Any, Any]:
    """Return attributes as they apply to unpacked values, with the valid range in their units."""
    kept = {
        key: value for key, value in attrs.items() if key not in (*_SCALING, *MISSING_ATTRIBUTES)
    }
    stated = [key for key in _BOUNDS if key in kept]
    if bounds is None or not stated:
        return kept
    if "valid_range" not in stated:  # packing by a negative factor turns one into the other
        kept = {key: value for key, value in kept.items() if key not in _BOUNDS}
        stated = [key for key, one in (("valid_min", bounds.low), ("valid_max", bounds.high))
                  if np.isfinite(one)]  # fmt: skip
        kept |= dict.fromkeys(stated)
    own = {
        "valid_range": np.array([bounds.low, bounds.high]),
        "valid_min": np.float64(bounds.low),
        "valid_max": np.float64(bounds.high),
    }
    return {key: own[key] if key in stated else value for key, value in kept.items()}


def without_default_fill(variable: xr.Variable) -> xr.Variable:
    """Return a variable with NaN where netCDF says that nothing was written.

    That is a value which the library stores there, where the file states none of its own. Any byte
    is valid. Values are not read.
    """
    from netCDF4 import default_fillvals

    if any(key in variable.encoding for key in MISSING_ATTRIBUTES):
        return variable
    of_netcdf = "contiguous" in variable.encoding or "original_shape" in variable.encoding
    stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
    fill = default_fillvals.get(stored.str[1:])
    if not of_netcdf or fill is None or stored.itemsize < 2:
        return variable
    if not _is_scaled(variable):
        return _decoded(variable, {"_FillValue": stored.type(fill)})
    packed = float(_scaled(np.array([fill]).astype(stored), variable)[0])
    written = partial(_other_than, fill=packed, margin=0.5 * abs(_scale(variable)))
    return elementwise(written, np.float64, variable)


def without_missing(variable: xr.Variable) -> xr.Variable:
    """Return a variable with NaN where nothing was written, or what `missing_value` says.

    Or an attribute of a similar name, such as `FillValue` or `nodata`.

    xarray compares `missing_value` with the stored values. That does not find one that is text, one
    of float64 beside values of float32, or, as some writers have it beside packed integers, one in
    the units of the values. Values are not read.
    """
    found = without_default_fill(variable)
    numbers = _other_missing(variable)
    if not numbers.size:
        return found
    packed = _is_scaled(variable) and np.dtype(variable.encoding.get("dtype", "f8")).kind in "iu"
    margin = 0.5 * abs(_scale(variable)) if packed else 0.0
    for number in numbers.tolist():
        other = partial(_other_than, fill=number, margin=margin)
        found = elementwise(other, np.float64, found)
    return found


def _other_missing(variable: xr.Variable) -> np.ndarray:
    """Return the missing values that xarray has not found, in the units of the values."""
    numbers = np.concatenate([_missing_by_other_names(variable), _missing_of_cf(variable)])
    return numbers[np.isfinite(numbers)]


def _missing_by_other_names(variable: xr.Variable) -> np.ndarray:
    stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
    given = [
        _missing_numbers(np.atleast_1d(value))
        for key, value in variable.attrs.items()
        if key not in MISSING_ATTRIBUTES and str(key).lower().replace("_", "") in _ALSO_MISSING
    ]
    numbers = np.concatenate([np.array([]), *given])
    if stored.kind == "f":
        numbers = numbers.astype(stored).astype(np.float64)
    return (
        np.concatenate([numbers, _scaled(numbers, variable)]) if _is_scaled(variable) else numbers
    )


def _missing_numbers(given: np.ndarray) -> np.ndarray:
    """Return the numbers of an attribute, none of other texts."""
    if given.dtype.kind in "fiu":
        return given.astype(np.float64)
    return _parsed(",".join(map(str, given.tolist())))


def _missing_of_cf(variable: xr.Variable) -> np.ndarray:
    given = np.atleast_1d(variable.encoding.get("missing_value", np.array([])))
    stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
    text = given.dtype.kind in "USO"
    if stored.kind not in "fiu" or (not text and given.dtype.kind != "f") or given.dtype == stored:
        return np.array([])
    numbers = _missing_numbers(given)
    if stored.kind == "f":
        numbers = numbers.astype(stored).astype(np.float64)
    if _is_scaled(variable) and (text or stored.kind == "f"):
        numbers = np.concatenate([numbers, _scaled(numbers, variable)])
    return numbers


def _parsed(text: str) -> np.ndarray:
    """Return the numbers of a text, none if it has something else."""
    try:
        return np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError:
        return np.array([])


def without_invalid(variable: xr.Variable, name: object) -> xr.Variable:
    """Return a variable with NaN in place of values that are not valid or were never written.

    Nothing is left that says how the values were stored, or which of them are valid. Values are
    not read.

    Parameters
    ----------
    variable : Variable
        Decoded, with the encoding that it was decoded by.
    name : object
        For notices.
    """
    bounds = valid_bounds(variable, name)
    found = without_missing(variable)
    if bounds is not None:
        found = elementwise(partial(_within, bounds=bounds), np.float64, found)
    found = found.copy(deep=False)
    stored = (*_SCALING, *MISSING_ATTRIBUTES, *_BOUNDS)
    found.attrs = {key: value for key, value in variable.attrs.items() if key not in stored}
    found.encoding = {}
    return found


def storage(variable: xr.Variable) -> tuple[Any, ...]:
    """Return what `without_invalid` reads of a variable's attributes and encoding, to compare."""
    described = {**variable.encoding, **variable.attrs}
    dtype = np.dtype(described.get("dtype", variable.dtype))
    texts = [str(np.asarray(described[key]).tolist()) if key in described else None
             for key in (*_SCALING, *_BOUNDS, "missing_value")]  # fmt: skip
    return str(dtype), *texts, "_FillValue" in described


def states_range(variable: xr.Variable) -> bool:
    """Tell whether attributes of a variable state which of its values are valid."""
    return any(key in variable.attrs for key in _BOUNDS)


def _within(values: np.ndarray, bounds: Bounds) -> np.ndarray:
    return np.where(bounds.excluded(values), np.nan, values.astype(np.float64, copy=False))


def _other_than(values: np.ndarray, fill: float, margin: float) -> np.ndarray:
    return np.where(np.abs(values - fill) > margin, values, np.nan)


def _decoded(variable: xr.Variable, more: Mapping[str, Any]) -> xr.Variable:
    """Return a variable as xarray decodes it, with further attributes that describe its storage.

    In memory if it was.
    """
    plain = variable.to_base_variable().copy(deep=False)
    plain.attrs = {**plain.attrs, **more}
    # What the user states counts, also of values that were decoded once: xarray refuses both.
    plain.encoding = {key: v for key, v in plain.encoding.items() if key not in plain.attrs}
    ds = xr.Dataset({"values": plain})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*has multiple fill values")
        found = xr.decode_cf(ds, decode_times=False, decode_coords=False, concat_characters=False)
    decoded = found.variables["values"]
    return decoded.load() if variable._in_memory else decoded


def _numbers(given: Any, count: int) -> np.ndarray | None:
    """Return the numbers of an attribute, which some writers give as text."""
    try:
        if isinstance(given, str):
            given = [float(part) for part in given.replace(",", " ").split()]
        found = np.atleast_1d(np.asarray(given))
    except ValueError:
        return None
    usable = found.shape == (count,) and found.dtype.kind in "fiu" and not np.isnan(found).any()
    return found if usable else None


def _is_scaled(variable: xr.Variable) -> bool:
    return any(key in variable.encoding for key in _SCALING)


def _lost_its_packing(variable: xr.Variable, numbers: np.ndarray) -> bool:
    """Tell whether bounds are of a short integer type that nothing says how to unpack.

    Arithmetic keeps attributes and drops the encoding.
    """
    short = numbers.dtype.kind in "iu" and numbers.dtype.itemsize < 4
    return short and variable.dtype.kind == "f" and "dtype" not in variable.encoding


def _in_units_of_values(numbers: np.ndarray, key: str, variable: xr.Variable) -> Bounds:
    stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
    packed = _is_scaled(variable) and (numbers.dtype.kind in "iu" or stored.kind == "f")
    margin = 0.0
    if packed:
        numbers = _scaled(as_stored(numbers, variable), variable)
        margin = 0.5 * abs(_scale(variable)) if stored.kind in "iu" else 0.0
    elif stored.kind == "f":
        numbers = numbers.astype(stored)  # 0.1 in a file of float32 is the 0.1 of its values
    ends = [float(number) for number in numbers]
    if key == "valid_range":
        return Bounds(min(ends), max(ends), margin)
    lower = (key == "valid_min") != (packed and _scale(variable) < 0)
    return Bounds(ends[0], np.inf, margin) if lower else Bounds(-np.inf, ends[0], margin)


def as_stored(numbers: np.ndarray, variable: xr.Variable) -> np.ndarray:
    """Return integers as `_Unsigned` has them: the same bits, read with or without a sign.

    The attributes of a variable, such as `valid_range` and `flag_masks`, have its stored type.
    """
    unsigned = variable.encoding.get("_Unsigned")
    stored = np.dtype(variable.encoding.get("dtype", numbers.dtype))
    if unsigned is None or stored.kind not in "iu":
        return numbers
    bits = numbers.astype(np.int64) % (1 << 8 * min(stored.itemsize, 4))
    kind = "u" if str(unsigned).lower() == "true" else "i"
    return bits.astype(f"u{stored.itemsize}").view(f"{kind}{stored.itemsize}")


def _scale(variable: xr.Variable) -> float:
    return float(np.asarray(variable.encoding.get("scale_factor", 1.0)).item())


def _scaled(stored: np.ndarray, variable: xr.Variable) -> np.ndarray:
    offset = float(np.asarray(variable.encoding.get("add_offset", 0.0)).item())
    return np.asarray(stored.astype(np.float64) * _scale(variable) + offset)
