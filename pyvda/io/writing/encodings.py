"""How variables are laid out in a new file: compression, chunks, units of time, fill values.

What a variable's `encoding` records of the file that it was read from (packing, chunk sizes,
compressors) belongs to that file; only the units of its times are kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any, NamedTuple

import cftime
import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf import times
from pyvda.io.cf.references import is_referred_to
from pyvda.io.writing.elementwise import elementwise

CHUNK_BYTES = 1 << 20  # small enough for HDF5's cache, large enough for a disk
_OF_TIME = ("units", "calendar")
_ROUNDING = 1e-3  # of times, in their units and in their steps
Encoding = dict[Hashable, dict[str, Any]]


def with_encodable_times(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with the units of its dates where xarray expects them, and no other encoding.

    Units and calendar of dates may stand among the attributes; there they would be written twice.
    A coordinate of dates, or of numbers since one, gets its `standard_name`. Dates that are dask
    arrays are read: xarray cannot find units for them otherwise.
    """
    found = ds.copy(deep=False)
    for name in [
        n for n, v in ds.variables.items() if v.chunks is not None and v.dtype.kind in "MO"
    ]:
        found[name] = found[name].compute(scheduler="synchronous")
    for name, variable in found.variables.items():
        kept = times.encoding_of(variable)
        attrs = dict(variable.attrs)
        dated = _is_date(variable)
        counted = variable.dtype.kind in "fiu" and " since " in str(attrs.get("units", ""))
        if (dated or counted) and name in found.coords and not _has_time(found, variable.dims):
            attrs["standard_name"] = "time"
        if dated:
            stated = {key: attrs.pop(key) for key in _OF_TIME if key in attrs}
            kept = next((one for one in (kept, stated) if one and _encodes(variable, one)), {})
            if "bounds" in attrs and not kept:  # which must have the same units
                kept = {"units": xr.coders.CFDatetimeCoder().encode(variable).attrs["units"]}
        elif "units" in attrs or variable.dtype.kind != "m":
            kept = {}
        if variable.dtype.kind == "m":
            attrs.pop("units", None)
        if "_FillValue" in attrs:
            attrs |= {"_FillValue": _fill_value(variable, attrs.pop("_FillValue"))}
            attrs = {key: value for key, value in attrs.items() if value is not None}
        found[name].attrs = attrs
        found[name].encoding = kept
        if is_referred_to(name, ds):  # bounds have no coordinates of their own
            found[name].encoding["coordinates"] = None
    found.encoding = {key: v for key, v in ds.encoding.items() if key == "unlimited_dims"}
    return found


def chosen(
    ds: xr.Dataset, zarr: bool, given: Mapping[Hashable, Mapping[str, Any]] | None = None
) -> Encoding:
    """Return each variable's encoding: compressed, no _FillValue in coordinates (CF 2.5.1).

    Parameters
    ----------
    ds : Dataset
        As `with_encodable_times` returns it.
    zarr : bool
        For a zarr store, in place of a netCDF file.
    given : mapping, optional
        The user's encodings, which take precedence.

    Raises
    ------
    InputError
        `given` has an encoding of a variable that is not there, or one that would lose values.
    """
    given = given or {}
    unknown = [str(name) for name in given if name not in ds.variables]
    if unknown:
        raise InputError(
            f"an encoding is given for {', '.join(unknown)}, but the variables are "
            f"{', '.join(map(str, ds.variables))}; leave it out, or give it for one of these"
        )
    found: Encoding = {}
    for name, variable in ds.variables.items():
        entry = times.encoding_of(variable)
        if name in ds.coords and (variable.dtype.kind in "fmM" or _has_dates(variable)):
            entry["_FillValue"] = None
        if not zarr and variable.ndim and variable.size and variable.dtype.kind in "fiu":
            entry |= {"zlib": True, "complevel": 1, "shuffle": True}
            entry["chunksizes"] = chunk_sizes(variable.shape, variable.dtype.itemsize)
        if zarr and name in ds.dims and variable.size:
            entry["chunks"] = variable.shape
        entry |= _checked(name, variable, given.get(name, {}))
        if entry:
            found[name] = entry
    return found


def chunk_sizes(shape: tuple[int, ...], item_size: int) -> tuple[int, ...]:
    """Return HDF5 chunks of at most 1 MiB, cut along the first dimensions first (whole windows)."""
    sizes = list(shape)
    for axis in range(len(sizes)):
        rest = int(np.prod(sizes[axis + 1 :])) * item_size
        sizes[axis] = max(1, min(sizes[axis], CHUNK_BYTES // rest))
        if sizes[axis] > 1:
            break
    return tuple(sizes)


def _has_dates(variable: xr.Variable) -> bool:
    """Tell whether an array of objects holds dates of cftime."""
    if variable.dtype.kind != "O" or not variable.size:
        return False
    return isinstance(np.asarray(variable[(0,) * variable.ndim].values).item(), cftime.datetime)


def _checked(name: Hashable, variable: xr.Variable, given: Mapping[str, Any]) -> dict[str, Any]:
    entry = dict(given)
    _expect_packing(name, entry)
    if entry.get("contiguous"):
        entry |= {"chunksizes": None, "zlib": False, "shuffle": False}
    if entry.get("chunksizes") is not None:
        sizes = np.atleast_1d(entry["chunksizes"])
        if sizes.dtype.kind not in "iu" or (sizes < 1).any():
            raise InputError(
                f"the encoding of {name} has the chunksizes {entry['chunksizes']!r}, expected a "
                "positive whole number for each dimension"
            )
        if len(sizes) != variable.ndim:
            raise InputError(
                f"the encoding of {name} has {len(sizes)} chunksizes, but the variable has "
                f"{variable.ndim} dimensions; give as many"
            )
        entry["chunksizes"] = tuple(
            max(1, min(int(chunk), size)) for chunk, size in zip(sizes, variable.shape, strict=True)
        )
    if "dtype" not in entry:
        return entry
    try:
        dtype = np.dtype(entry["dtype"])
    except TypeError:
        raise InputError(
            f"the encoding of {name} has the dtype {entry['dtype']!r}, which is not a numeric or "
            "text type; give one such as float32"
        ) from None
    _expect_exact_times(name, variable, entry, dtype)
    if variable.dtype.kind in "fiu" and dtype.kind not in "fiuc":
        raise InputError(
            f"the encoding of {name} has the dtype {dtype}, which cannot hold its numbers; give "
            "one such as float32"
        )
    fill = entry.get("_FillValue")
    if variable.dtype.kind == "f" and dtype.kind in "iu":
        if fill is None:
            raise InputError(
                f"the encoding of {name} has the dtype {dtype}, which has no NaN; give a "
                "_FillValue, too, or a floating-point dtype"
            )
        if not np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
            raise InputError(
                f"the encoding of {name} has the _FillValue {fill}, which {dtype} cannot hold; "
                f"give one from {np.iinfo(dtype).min} to {np.iinfo(dtype).max}"
            )
    limits = _limits(variable, entry)
    if limits is not None and variable.chunks is None:
        _fitting(variable.values, name=name, limits=limits)
    return entry


def with_checked_values(ds: xr.Dataset, chosen: Encoding) -> xr.Dataset:
    """Return `ds` with lazy values that are checked against their encoding when they are computed.

    Computing a value that the encoding cannot hold then raises InputError, as `chosen` does for
    values in memory.
    """
    found = {}
    for name, variable in ds.variables.items():
        limits = _limits(variable, chosen.get(name, {}))
        if limits is not None and variable.chunks is not None:
            check = partial(_fitting, name=name, limits=limits)
            found[name] = elementwise(check, variable.dtype, variable)
            found[name].encoding = variable.encoding
    return ds.assign(found)


def _expect_exact_times(
    name: Hashable, variable: xr.Variable, entry: Mapping[str, Any], dtype: np.dtype
) -> None:
    """Refuse floating-point numbers that are too short for dates."""
    if not _is_date(variable) or dtype.kind != "f" or dtype.itemsize >= 8 or not variable.size:
        return
    coded = variable.copy(deep=False)
    known = {**variable.encoding, **entry}
    coded.attrs = {}
    coded.encoding = {key: known[key] for key in _OF_TIME if key in known}
    numbers = np.asarray(xr.coders.CFDatetimeCoder().encode(coded).values, np.float64).ravel()
    steps = np.abs(np.diff(np.sort(numbers[np.isfinite(numbers)])))
    least = float(steps[steps > 0].min(initial=np.inf))
    lost = float(np.nanmax(np.abs(numbers - numbers.astype(dtype)), initial=0.0))
    if lost > _ROUNDING * min(least, 1.0):
        unit = str(known.get("units", "units")).partition(" since ")[0]
        raise InputError(
            f"the encoding of {name} has the dtype {dtype}, which would move its dates by up to "
            f"{lost:.3g} {unit}; give float64, or units with a later date"
        )


class _Limits(NamedTuple):
    """The values that an encoding can hold."""

    least: float
    most: float
    dtype: np.dtype


def _limits(variable: xr.Variable, entry: Mapping[str, Any]) -> _Limits | None:
    """Return what can be stored of a variable; None where that is every value of its type."""
    if entry.get("dtype") is None or variable.dtype.kind not in "fiu":
        return None
    dtype = np.dtype(entry["dtype"])
    if dtype == variable.dtype or dtype.kind not in "fiu":
        return None
    scale = float(entry.get("scale_factor", 1.0))
    offset = float(entry.get("add_offset", 0.0))
    # Python's numbers: those of the type would overflow.
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    ends = sorted((float(info.min) * scale + offset, float(info.max) * scale + offset))
    rounding = abs(scale) / 2 if dtype.kind in "iu" and variable.dtype.kind == "f" else 0.0
    return _Limits(ends[0] - rounding, ends[1] + rounding, dtype)


def _fitting(values: np.ndarray, *, name: Hashable, limits: _Limits) -> np.ndarray:
    """Return the values; raise InputError where the encoding cannot hold one of them."""
    finite = values[np.isfinite(values)]
    if finite.size and (finite.min() < limits.least or finite.max() > limits.most):
        raise InputError(
            f"the encoding of {name} holds values from {limits.least:g} to {limits.most:g} as "
            f"{limits.dtype}, but there are some from {finite.min():g} to {finite.max():g}; give "
            "another scale_factor, add_offset or dtype"
        )
    return values


def _expect_packing(name: Hashable, given: Mapping[str, Any]) -> None:
    """Refuse levels of compression and linear packings that lose the values or the file."""
    level = given.get("complevel")
    if level is not None and (not isinstance(level, int | np.integer) or not 0 <= level <= 9):
        raise InputError(
            f"the encoding of {name} has the complevel {level!r}, expected a whole number from 0 "
            "to 9"
        )
    for key in ("scale_factor", "add_offset"):
        number = np.asarray(given.get(key, 1.0))
        bad = number.dtype.kind not in "fiu" or number.size != 1 or not np.isfinite(number).all()
        if bad or (key == "scale_factor" and not number.all()):
            raise InputError(
                f"the encoding of {name} has the {key} {given[key]!r}, expected a finite number"
                + (" other than 0" if key == "scale_factor" else "")
            )


def _has_time(ds: xr.Dataset, dims: tuple[Hashable, ...]) -> bool:
    """Tell whether no coordinate along these dimensions needs the standard name of times."""
    along = [c for c in ds.coords.values() if c.dims == dims]
    return len(dims) != 1 or any(c.attrs.get("standard_name") == "time" for c in along)


def _is_date(variable: xr.Variable) -> bool:
    if variable.dtype.kind == "M":
        return True
    return bool(variable.dtype.kind == "O" and variable.size and xr.Variable.notnull(variable).any()
                and hasattr(variable.values.flat[0], "calendar"))  # fmt: skip


def _encodes(variable: xr.Variable, units: Mapping[str, Any]) -> bool:
    """Tell whether these are units and a calendar that the dates can be written in."""
    first = variable[tuple(slice(0, 1) for _ in variable.dims)].copy(deep=False)
    first.encoding = dict(units)
    first.attrs = {}
    try:
        xr.coders.CFDatetimeCoder().encode(first)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return False
    return "units" in units


def _fill_value(variable: xr.Variable, value: Any) -> Any:
    """Return the attribute in the variable's own type, as netCDF demands, or None."""
    if variable.dtype.kind not in "fiu":
        return None
    try:
        cast = np.asarray(value).astype(variable.dtype)
    except (TypeError, ValueError, OverflowError):
        return None
    return cast[()] if cast.ndim == 0 and (cast == value or cast != cast) else None
