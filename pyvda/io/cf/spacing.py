"""Distances between neighbouring points of a grid (y, x), from its coordinates."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from pyvda.operators.covariance import Array
from pyvda.operators.sphere import EARTH_RADIUS

SPACINGS = "grid spacings"
_DEGREES = ("degree", "degrees")


class Spacing(NamedTuple):
    """Distances between neighbours along y and x, (Y, X) each, and their unit."""

    along_y: Array
    along_x: Array
    unit: str

    @property
    def mean(self) -> tuple[float, float]:
        """Mean distance along y and x."""
        return float(self.along_y.mean()), float(self.along_x.mean())


def spacing_of(ds: xr.Dataset, dims: Sequence[Hashable]) -> Spacing:
    """Return the distances on the grid with the dimensions (y, x).

    In km for coordinates in degrees; in the coordinates' unit where both have the same; otherwise
    in grid spacings.
    """
    shape = tuple(ds.sizes[d] for d in dims)
    ones = np.ones(shape)
    if any(d not in ds.coords or ds[d].dtype.kind not in "fiu" or ds.sizes[d] < 2 for d in dims):
        return Spacing(ones, ones, SPACINGS)
    y, x = (np.asarray(ds[d].values, float) for d in dims)
    dy, dx = np.abs(np.gradient(y)), np.abs(np.gradient(x))
    usable = all(np.isfinite(d).all() and (d > 0).all() for d in (dy, dx))
    units = [str(ds[d].attrs.get("units", "")) for d in dims]
    if not usable:
        return Spacing(ones, ones, SPACINGS)
    if all(unit.startswith(_DEGREES) for unit in units):
        radians = np.pi / 180 * EARTH_RADIUS
        cosine = np.maximum(np.cos(np.pi / 180 * y), 1e-3)
        return Spacing(ones * radians * dy[:, None], radians * cosine[:, None] * dx, "km")
    if units[0] == units[1] and units[0] not in ("", "1"):
        return Spacing(ones * dy[:, None], ones * dx, units[0])
    return Spacing(ones, ones, SPACINGS)
