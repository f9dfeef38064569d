"""The order of points along the dimensions of a file, put into that of the model.

A model's points increase. Files have latitudes from north to south, longitudes from 180°W or from
Greenwich, and points in the order in which somebody selected them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf.dimensions import axis
from pyvda.notices import notice
from pyvda.state.space import StateSpace

_TURN = 360.0
_NEAR = 1e-2  # of a spacing: as close as single precision has the coordinates of a fine grid


def in_model_order(ds: xr.Dataset, dims: Mapping[Hashable, str], space: StateSpace) -> xr.Dataset:
    """Return `ds` with the points of each dimension of the state in the model's order, unread.

    Points with the model's coordinates are put where the model has them, longitudes modulo 360°.
    Decreasing coordinates are turned round where the model gives increasing ones along the
    dimension. Both is said, and where coordinates are not the model's. A model that has but a
    number of points has those of the file, unless the file counts them 0, 1, 2, ... in another
    order.

    Parameters
    ----------
    ds : Dataset
        The file's.
    dims : mapping
        {dimension in the file: dimension of the model}.
    space : StateSpace
        The model's.

    Raises
    ------
    InputError
        Coordinates neither increase nor decrease, and are not the model's.
    """
    for dim, to in dims.items():
        order = order_in_model(ds, dim, to, space)
        if order is not None:
            notice(
                f"the coordinate {dim} has another order than that of the model, in which it "
                "increases; the data are put into the order of the model"
            )
            ds = ds.isel({dim: order})
        own = dict(space.coordinates).get(to)
        at = None if own is None else differing(ds, dim, np.asarray(own))
        if own is not None and at is not None:
            notice(
                f"the coordinate {dim} is {ds[dim].values[at]:g} at the point {at} from 0, where "
                f"the model has {own[at]:g}; its points are taken for the model's in their order"
            )
    return ds


def order_in_model(ds: xr.Dataset, dim: Hashable, to: str, space: StateSpace) -> np.ndarray | None:
    """Return the indices along a dimension in the order of the model's points; None: as it is."""
    if dim not in ds.variables or ds[dim].dims != (dim,) or ds[dim].dtype.kind not in "fiu":
        return None
    points, own = np.asarray(ds[dim].values, float), space.coordinate(to)
    if len(points) < 2 or not np.isfinite(points).all():
        return None
    for one in _alike(ds, dim, own):
        order = np.argsort(one, kind="stable")
        if np.allclose(one[order], own, rtol=0, atol=1e-3 * np.diff(own).min()):
            return None if (order == np.arange(len(order))).all() else order
    if to not in dict(space.coordinates) or (np.diff(points) > 0).all():
        return None
    letter = axis(ds, dim)
    if (np.diff(points) < 0).all():
        return np.arange(len(points))[::-1] if str(dim) == to or letter in ("X", "Y") else None
    if letter == "X":  # longitudes of a region across the meridian at which they jump
        return None
    raise InputError(
        f"the coordinate {dim!r} neither increases nor decreases, and its values are not those of "
        f"the model along {to!r}; sort the file by it (ds.sortby({str(dim)!r}))"
    )


def differing(ds: xr.Dataset, dim: Hashable, own: np.ndarray) -> int | None:
    """Return the first point at which a coordinate of `ds` is not the model's (n,); None: none.

    Longitudes are compared modulo 360°, and coordinates in another unit, larger or smaller by a
    power of ten, up to that. Points counted 0, 1, 2, ... in no unit say nothing of where they lie,
    unless the model's are 1 apart, too.
    """
    if dim not in ds.variables or ds[dim].dims != (dim,) or ds[dim].dtype.kind not in "fiu":
        return None
    points, alike = np.asarray(ds[dim].values, float), _alike(ds, dim, own)
    number = np.arange(len(points))
    counted = "units" not in ds[dim].attrs and (points == number).all()
    counted = counted and not np.allclose(own - own[0], np.arange(len(own)), rtol=0, atol=_NEAR)
    if len(points) != len(own) or counted:
        return None
    near, extent, own_extent = 1e-6 * abs(own[0]), np.ptp(points), np.ptp(own)
    if own_extent > 0:
        near = _NEAR * np.abs(np.diff(own)).min()
    if own_extent > 0 and 0 < extent < np.inf:
        power = np.log10(extent / own_extent)
        if abs(power - round(power)) < _NEAR / len(own):
            alike.append(points / 10.0 ** round(power))
    apart = [~(np.abs(one - own) <= near) for one in alike]
    return None if any(not far.any() for far in apart) else int(np.argmax(apart[0]))


def _alike(ds: xr.Dataset, dim: Hashable, own: np.ndarray) -> list[np.ndarray]:
    """Return the points along a dimension, and longitudes also as those of the model wrap round."""
    points = np.asarray(ds[dim].values, float)
    alike = [points]
    if axis(ds, dim) == "X" and str(ds[dim].attrs.get("units", "")).startswith("degree"):
        alike.append((points - own[0] + 1e-6) % _TURN + own[0] - 1e-6)
    return alike
