"""The mean of point data: a map from a file, and the average of what it leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.places import Places
from pyvda.io.cf import grids
from pyvda.io.cf.matching import by_name
from pyvda.io.cf.units import same
from pyvda.io.sources import sources


@dataclass(frozen=True)
class MeanMap:
    """A map over latitude and longitude, in increasing order; land has the nearest value at sea."""

    latitude: Array
    longitude: Array
    values: Array

    def __call__(self, places: Places) -> Array:
        """Return the map at places, (P,), linear between its points.

        Raises
        ------
        InputError
            A place lies outside of it.
        """
        if not places.on_sphere:
            raise InputError(
                "a map over latitude and longitude is given for places on a plane; give data with "
                "latitude and longitude, or leave the map out"
            )
        longitude = self.longitude[0] + np.mod(places.map[:, 0] - self.longitude[0], 360.0)
        latitude = places.map[:, 1]
        # Half a cell around the map belongs to it.
        margins = [np.median(np.diff(axis)) / 2 for axis in (self.latitude, self.longitude)]
        longitude = np.where(longitude > 360 + self.longitude[0] - margins[1], longitude - 360,
                             longitude)  # fmt: skip
        outside = (
            (latitude < self.latitude[0] - margins[0]) | (latitude > self.latitude[-1] + margins[0])
            | (longitude > self.longitude[-1] + margins[1])
        )  # fmt: skip
        if outside.any():
            raise InputError(
                f"the map of the mean does not cover {int(outside.sum())} of {len(places)} places, "
                f"such as latitude {latitude[outside][0]:g}, longitude {longitude[outside][0]:g}; "
                "give one that covers the data and the grid"
            )
        at = np.stack([
            np.clip(latitude, self.latitude[0], self.latitude[-1]),
            np.clip(longitude, self.longitude[0], self.longitude[-1]),
        ], -1)  # fmt: skip
        axes = (self.latitude, self.longitude)
        return np.asarray(RegularGridInterpolator(axes, self.values)(at))


def read_map(given: Any, variable: str, units: str) -> MeanMap:
    """Return the map of a file or Dataset, averaged over dimensions other than those of space.

    Parameters
    ----------
    given : path or Dataset
    variable : str
        Its variable, or the only one over latitude and longitude.
    units : str
        Those expected.

    Raises
    ------
    InputError
        There is no such file or map, or it has other units.
    """
    if isinstance(given, str | os.PathLike) and not os.path.exists(given):
        raise InputError(
            f"the mean is {os.fspath(given)!r}, but there is no such file; give one with a map, or "
            "leave it out"
        )
    ds = sources.as_dataset(given, "the mean")
    found = grids.geographic(ds, tuple(map(str, ds.dims)))
    if found is None or any(one.ndim != 1 for one in found):
        raise InputError(
            "the map of the mean has no latitude and longitude of one dimension each; put it on "
            "such a grid"
        )
    dims = tuple(one.dims[0] for one in found)
    maps = [str(n) for n, v in ds.data_vars.items() if set(dims) <= set(v.dims)]
    name = variable if variable in maps else by_name(ds, maps[0]) if len(maps) == 1 else None
    if name is None:
        raise InputError(
            f"the mean has the maps {', '.join(maps) or 'none'}, expected one called {variable}; "
            "rename it, or give a file with only one map"
        )
    theirs = str(ds[name].attrs.get("units", ""))
    if units and theirs and not same(units, theirs):
        raise InputError(
            f"the mean {name} is in {theirs!r}, but {variable} is in {units!r}; convert it"
        )
    array = ds[name].mean([d for d in ds[name].dims if d not in dims]).transpose(*dims)
    latitude, longitude = (np.asarray(one.values, float) for one in found)
    longitude = np.unwrap(longitude, period=360.0)
    rows, columns = np.argsort(latitude), np.argsort(longitude)
    values = np.asarray(array.values, float)[np.ix_(rows, columns)]
    return MeanMap(latitude[rows], longitude[columns], _filled(values))


def _filled(values: Array) -> Array:
    known = np.isfinite(values)
    if not known.any():
        raise InputError("the map of the mean has no value at all; give another one")
    index = np.argwhere(known)
    nearest = cKDTree(index).query(np.argwhere(~known))[1] if not known.all() else []
    found = values.copy()
    found[~known] = values[known][nearest]
    return found
