"""Attributes as netCDF holds them: text, numbers, and sequences of either.

>>> import xarray as xr
>>> storable(xr.Dataset(attrs={"cycle": 3, "stations": ["Brest", "Nice"]})).attrs
{'cycle': 3, 'stations': ['Brest', 'Nice']}
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import json
import numbers
import os
import uuid
from collections.abc import Hashable, Mapping, Set
from typing import Any

import cftime
import numpy as np
import pandas as pd
import xarray as xr

from pyvda.errors import InputError
from pyvda.notices import notice
from pyvda.validation_errors import brief

_NUMBERS = "fiu"  # kinds of NumPy arrays that netCDF holds as attributes
_TEXT_OF = (uuid.UUID, decimal.Decimal, fractions.Fraction, os.PathLike, complex)
# Attributes in which the netCDF library keeps its own records; it refuses to write them.
_RESERVED = frozenset(
    ("_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_nc3_strict", "_IsNetcdf4",
     "_SuperblockVersion", "CLASS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST")
)  # fmt: skip


class _NotStorableError(Exception):
    """A value that cannot be written as text without loss."""


def storable(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with attributes that a netCDF file can hold.

    A date becomes text in ISO 8601, and what JSON can express (a mapping, a set, None, a truth
    value, a nested or an empty list) becomes JSON; one notice names these attributes.

    Parameters
    ----------
    ds : Dataset
        Values are not read.

    Raises
    ------
    InputError
        An attribute has another type, or a name that netCDF cannot hold.
    """
    converted: list[str] = []
    found = ds.copy(deep=False)
    found.attrs = _storable(ds.attrs, "", converted)
    for name, variable in found.variables.items():
        attrs = _storable(variable.attrs, f"{name}.", converted)
        if attrs != variable.attrs or list(attrs) != list(variable.attrs):
            found[name].attrs = attrs
    if converted:
        notice(
            "attributes that netCDF cannot hold are written as text, JSON or ISO 8601: "
            f"{', '.join(converted)}"
        )
    return found


def check(ds: xr.Dataset) -> None:
    """Raise InputError as `storable` does, and convert nothing."""
    _storable(ds.attrs, "", [])
    for name, variable in ds.variables.items():
        _storable(variable.attrs, f"{name}.", [])


def _storable(attrs: Mapping[Any, Any], of: str, converted: list[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in attrs.items():
        if key in _RESERVED:
            continue
        name = _name(key, of)
        if name in kept:
            raise InputError(
                f"two attributes would be called {of}{name} in the file; rename one of them"
            )
        try:
            new = _value(value)
        except _NotStorableError:
            raise InputError(
                f"the attribute {of}{name} is {brief(value)} of type {type(value).__name__}, which "
                "no file can hold; turn it into text or a number, or remove it"
            ) from None
        if isinstance(new, str) and not isinstance(value, bytes) and new is not value:
            converted.append(f"{of}{name}")
        kept[name] = new
    return kept


def _name(key: Any, of: str) -> str:
    """Return the name of an attribute, which numbers may be in memory."""
    name = key if isinstance(key, str) else str(key)
    if not name or "/" in name or name != name.strip() or not name.isprintable():
        raise InputError(
            f"the attribute {of}{name!r} has a name that netCDF does not allow; rename it"
        )
    return name


def _value(value: Any) -> Any:
    """Return the value itself where netCDF holds it, else its text."""
    if isinstance(value, str):
        return value if _is_text(value) else json.dumps(value)
    if isinstance(value, np.ndarray | np.generic) and _is_array(np.asarray(value)):
        return value
    if isinstance(value, int) and not isinstance(value, bool | enum.Enum):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, bytes):
        return _value(_decoded(value))
    if isinstance(value, list | tuple) and _is_plain(value):
        return np.asarray(value) if any(isinstance(v, np.number) for v in value) else value
    as_json = _as_json(value)
    simple = isinstance(as_json, str | int | float) and not isinstance(as_json, bool)
    return as_json if simple else json.dumps(as_json)


def _is_text(text: str) -> bool:
    """Tell whether a C library can keep the text: without NUL, and encodable."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _is_array(array: np.ndarray) -> bool:
    if array.ndim > 1 or not array.size:
        return False
    if array.dtype.kind == "U":
        return all(_is_text(str(text)) for text in array.flat)
    return array.dtype.kind in _NUMBERS and array.dtype not in (np.float16, np.longdouble)


def _is_plain(values: list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether all are numbers of one kind that netCDF holds, or all texts."""
    if all(isinstance(v, str) for v in values):
        return bool(values) and all(map(_is_text, values))
    if not all(isinstance(v, int | float | np.number) for v in values):
        return False
    return not any(isinstance(v, bool | enum.Enum) for v in values) and _is_array(
        np.asarray(values)
    )


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _NotStorableError from None


def _as_json(value: Any) -> Any:
    """Return what JSON can express, from which the value can be made again."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, enum.Enum):
        return _as_json(value.value)
    if isinstance(value, datetime.date | datetime.time | cftime.datetime | pd.Period):
        return None if value is pd.NaT else _iso(value)
    if isinstance(value, datetime.timedelta | np.timedelta64):
        return None if pd.isna(value) else pd.Timedelta(value).isoformat()
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, fractions.Fraction):
        if float(value) != value and value == value:
            raise _NotStorableError  # of more than double precision
        return float(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, Mapping):
        if len({str(key) for key in value}) < len(value):
            raise _NotStorableError
        return {_key(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, Set):
        return sorted((_as_json(one) for one in value), key=json.dumps)
    if isinstance(value, list | tuple | range):
        return [_as_json(one) for one in value]
    if isinstance(value, np.ndarray | xr.DataArray | xr.Variable | pd.Index | pd.Series):
        array = np.asarray(value)
        return _as_json(array[()]) if array.ndim == 0 else [_as_json(one) for one in array]
    if isinstance(value, np.complexfloating):
        return str(complex(value))
    if isinstance(value, _TEXT_OF):
        return str(value)
    raise _NotStorableError


def _key(key: Hashable) -> str:
    if isinstance(key, str | int | float | np.generic) or key is None:
        return str(key)
    raise _NotStorableError


def _iso(value: Any) -> str:
    return str(value) if isinstance(value, pd.Period) else str(value.isoformat())
