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
        There is no such variable or file, or it is on another grid.
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
    if not (isinstance(given, str) and given in field.ds.variables):
        array = array.isel({dim: slice(None, None, -1) for dim in turned})
    return np.asarray(array.transpose(*wanted).values != 0)[:, field.sea]


def hidden_points(points: DataAtPoints, ds: xr.Dataset, given: Any) -> Array | None:
    """Return which data at points are withheld, (N,) of bool.

    Raises
    ------
    InputError
        There is no such variable, or it has another length.
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
    return np.asarray(found != 0)[points.row]
