"""A given flow that carries the field, so that its covariance moves with it.

The covariance of two data is that of where both are at the time of the estimate, each carried by
its own velocity: C(x + u(x) (t₀ - t), x' + u(x') (t₀ - t'), t - t').
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.places import Places
from pyvda.fields.point_mean import MeanMap, read_map
from pyvda.io.quality.packing import unpacked
from pyvda.io.sources import sources

_KM_A_DAY = 86.4  # in 1 m s-1
_EAST = ("eastward_sea_water_velocity", "surface_eastward_sea_water_velocity",
         "surface_geostrophic_eastward_sea_water_velocity", "eastward_wind", "x_wind",
         "sea_water_x_velocity")  # fmt: skip
_NAMES = {"east": ("u", "ugos", "uo", "ewct"), "north": ("v", "vgos", "vo", "nsct")}


@dataclass(frozen=True)
class Velocity:
    """Eastward and northward (or x and y) components in m s-1, everywhere the same or two maps."""

    east: float | MeanMap
    north: float | MeanMap

    def __call__(self, places: Places) -> Array:
        """Return the velocity at places in three dimensions, (P, 3), km a day."""
        u, v = (
            _KM_A_DAY * (one(places) if isinstance(one, MeanMap) else np.full(len(places), one))
            for one in (self.east, self.north)
        )
        east, north = places.directions()
        return np.asarray(u[:, None] * east + v[:, None] * north)


def read_velocity(given: Any) -> Velocity:
    """Return a velocity.

    Parameters
    ----------
    given : (float, float), str, path or Dataset
        Two numbers (or "0.1,-0.05"), or a file with both components over latitude and longitude,
        by CF standard_name or as u and v, averaged over its other dimensions.

    Raises
    ------
    InputError
        It is neither, or the components are not in m s-1.
    """
    if isinstance(given, str) and not os.path.exists(given):
        if given.endswith((".nc", ".nc4", ".zarr")):
            raise InputError(
                f"the velocity is {given!r}, but there is no such file; give one with both "
                "components, or two numbers in m s-1 (0.1,-0.05)"
            )
        given = given.split(",")
    if isinstance(given, list | tuple | np.ndarray):
        try:
            east, north = (float(one) for one in given)
        except (TypeError, ValueError):
            east = north = np.nan
        if not np.isfinite([east, north]).all():
            raise InputError(
                f"the velocity is {given!r}, expected two numbers in m s-1 (0.1,-0.05) or a file "
                "with both components"
            )
        return Velocity(east, north)
    ds = unpacked(sources.as_dataset(given, "the velocity"))
    names = [_component(ds, which) for which in ("east", "north")]
    maps = [read_map(ds[[name]], name, "m s-1", what="the velocity") for name in names]
    return Velocity(*maps)


def _component(ds: xr.Dataset, which: str) -> str:
    known = _EAST if which == "east" else tuple(
        one.replace("eastward", "northward").replace("x_", "y_") for one in _EAST
    )  # fmt: skip
    for name, variable in ds.data_vars.items():
        if variable.attrs.get("standard_name") in known:
            return str(name)
    for name in ds.data_vars:
        if str(name).lower() in _NAMES[which]:
            return str(name)
    raise InputError(
        f"the velocity has no {which}ward component, only {', '.join(map(str, ds.data_vars))}; "
        "give them a standard_name such as eastward_sea_water_velocity, or call them u and v"
    )
