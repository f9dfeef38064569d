"""Data that an estimate must not use: which they are, from a variable, a file or an array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.field import Field
from pyvda.fields.points import DataAtPoints
from pyvda.io.cf import times
from pyvda.io.sources.open import open_dataset

WITHHELD = "withheld"


def withheld_of(field: Field, given: Any, turned: Sequence[str] = ()) -> Array | None:
    """Return which data are withheld, (T, P) of bool.

    Parameters
    ----------
    field : Field
    given : str, path or array, optional
    turned : sequence of str
        Dimensions that the field has in the other direction than the file.

    Raises
    ------
    InputError
        There is no such variable or file, it is at other places or times, or has other values
        than numbers.
    """
    if given is None:
        return None
    if isinstance(given, str) and given in field.ds.variables:
        array = field.ds[given]
    elif isinstance(given, str | os.PathLike):
        if not os.path.exists(given):
            raise InputError(
                f"withhold is {os.fspath(given)!r}, which is neither a variable of the file nor "
                "another file; give either, or an array"
            )
        other = open_dataset(given)
        if WITHHELD not in other:
            raise InputError(
                f"{os.fspath(given)} has no variable {WITHHELD}; name it so, nonzero where a "
                "value is not to be used"
            )
        array = other[WITHHELD]
    elif isinstance(given, xr.DataArray):
        array = given
    else:
        array = xr.DataArray(np.asarray(given), dims=(field.time, *field.space))
    wanted = (field.time, *field.space)
    shape = (len(field.days), *field.sea.shape)
    if set(array.dims) != set(wanted) or array.transpose(*wanted).shape != shape:
        raise InputError(
            f"what is withheld has the dimensions {dict(array.sizes)}, expected "
            f"{dict(zip(wanted, shape, strict=True))}; put it on the grid of the field"
        )
    array = array.transpose(*wanted)
    if not (isinstance(given, str) and given in field.ds.variables):
        array = _in_order(array, field, turned)
    return _chosen(array.values[:, field.sea])


def _chosen(values: Array) -> Array:
    """Return where numbers are not 0."""
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"what is withheld has values of type {values.dtype}, expected numbers or booleans; "
            "make it 1 where a value is not to be used and 0 elsewhere"
        )
    missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    if missing:
        raise InputError(
            f"what is withheld is missing {missing} times, expected 0 or 1 everywhere; fill it "
            "(fillna(0), where these are to be used)"
        )
    return np.asarray(values != 0)


def _in_order(array: xr.DataArray, field: Field, turned: Sequence[str]) -> xr.DataArray:
    """Return an array (time, y, x) in the order of the field, by coordinates where it has them.

    Without a coordinate, a dimension is that of the file, which the field may have sorted or
    turned.
    """
    indices: dict[str, Any] = {}
    for dim in map(str, array.dims):
        if dim in array.coords and dim in field.ds.coords:
            indices[dim] = _matching(array[dim], field.ds[dim], dim == field.time)
        elif dim == field.time and field.order is not None:
            indices[dim] = field.order
        elif dim in turned:
            indices[dim] = slice(None, None, -1)
    array = array.isel(indices)
    for name, ours in field.ds.coords.items():
        theirs = array.coords.get(name)
        if theirs is None or ours.ndim != 2 or set(ours.dims) != set(field.space):
            continue
        if set(theirs.dims) != set(ours.dims) or ours.dtype.kind not in "fiu":
            continue
        if not np.allclose(theirs.transpose(*ours.dims), ours, rtol=0, atol=1e-3, equal_nan=True):
            raise _elsewhere(str(name), theirs, ours)
    return array


def _matching(theirs: xr.DataArray, ours: xr.DataArray, time: bool) -> Array:
    """Return the index of each of our labels among theirs."""
    one, other = (times.dates(c) if time else np.asarray(c.values) for c in (theirs, ours))
    if (one.dtype.kind in "fiu") != (other.dtype.kind in "fiu"):
        raise _elsewhere(str(ours.name), theirs, ours)
    if one.dtype.kind not in "fiu":
        one, other = (np.unique(np.concatenate([one, other]), return_inverse=True)[1][part]
                      for part in (slice(len(one)), slice(len(one), None)))  # fmt: skip
    spacing = float(np.median(np.abs(np.diff(other)))) if len(other) > 1 else 1.0
    for turn in (False, True):  # longitudes of another turn come second
        a, b = (np.mod(c, 360.0) if turn else c for c in (one, other))
        found = np.empty(len(b), int)
        found[np.argsort(b, kind="stable")] = np.argsort(a, kind="stable")
        if np.allclose(a[found].astype(float), b.astype(float), rtol=0, atol=1e-2 * spacing):
            return found
        if time:
            break
    raise _elsewhere(str(ours.name), theirs, ours)


def _elsewhere(name: str, theirs: xr.DataArray, ours: xr.DataArray) -> InputError:
    ends = [f"{c.values.flat[0]} ... {c.values.flat[-1]}" for c in (theirs, ours)]
    return InputError(
        f"what is withheld lies at other {name}: {ends[0]}, expected {ends[1]} of the field; put "
        "it on the grid and times of the field"
    )


def hidden_points(points: DataAtPoints, ds: xr.Dataset, given: Any) -> Array | None:
    """Return which data at points are withheld, (N,) of bool.

    Raises
    ------
    InputError
        There is no such variable, or it has another length, or other values than numbers.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given not in ds.variables:
            raise InputError(
                f"withhold is {given!r}, which is no variable of the file; give one that is "
                "nonzero where a datum is not to be used, or an array"
            )
        given = ds[given].values
    found = np.asarray(given)
    if found.shape != points.row.shape and found.shape != (points.rows,):
        raise InputError(
            f"what is withheld has the shape {found.shape}, expected {(points.rows,)}, a number "
            "for each datum"
        )
    return _chosen(found)[points.row]
