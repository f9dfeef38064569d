"""A file on the grid of a training: its land, and axes in the training's direction."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import xarray as xr

from pyvda.engine.data import Array
from pyvda.fields.field import Field
from pyvda.fields.learned.description import FieldDescription


def aligned(
    ds: xr.Dataset,
    about: FieldDescription,
    sea: Array,
    open_field: Callable[[xr.Dataset, Array | None], Field],
) -> tuple[Field, tuple[str, ...]]:
    """Return the field of a file, and the dimensions that were turned for it.

    Where the file has the points of the training, perhaps in another direction along an axis, the
    field has them in the training's, and the training's land unless a variable of the file tells
    its own. Else it is as the file has it.

    Parameters
    ----------
    ds : Dataset
    about : FieldDescription
    sea : (Y, X) of bool
        The sea of the training.
    open_field : callable(Dataset, sea)
    """
    own = open_field(ds, None)
    if own.sea.shape != about.grid.shape:
        return own, ()
    for count in range(3):
        for turned in itertools.combinations(own.space, count):
            other = ds.isel({dim: slice(None, None, -1) for dim in turned})
            field = open_field(other, sea)
            if about.same_grid(field):
                return field, turned
    return own, ()
