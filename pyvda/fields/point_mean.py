"""The mean of point data: a map from a file, and the average of what it leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.places import Places
from pyvda.io.cf import grids
from pyvda.io.cf.matching import by_name
from pyvda.io.cf.units import same
from pyvda.io.quality.bad_data import screened
from pyvda.io.quality.packing import unpacked
from pyvda.io.sources import sources
from pyvda.notices import notice
from pyvda.operators.sphere import EARTH_RADIUS

_AROUND = 100.0  # km, of the weights of a local variance
_LEAST_COSINE = 0.05  # of the latitude, for the width of a row
_LEAST = 1e-3  # of the weights, for a local variance
_KM_PER_DEGREE = EARTH_RADIUS * np.pi / 180


@dataclass(frozen=True)
class MeanMap:
    """A map over latitude and longitude, in increasing order; land has the nearest value at sea.

    Attributes
    ----------
    latitude, longitude : (Y,), (X,)
    values : (Y, X)
    deviation : (Y, X), optional
        Standard deviation of the maps around each point over the usual one.
    """

    latitude: Array
    longitude: Array
    values: Array
    deviation: Array | None = None

    def __call__(self, places: Places) -> Array:
        """Return the map at places, (P,), linear between its points.

        Raises
        ------
        InputError
            A place lies outside of it.
        """
        return self._at(places, self.values)

    def deviation_at(self, places: Places) -> Array:
        """Return the standard deviation around places over the usual one, (P,), likewise."""
        return np.ones(len(places)) if self.deviation is None else self._at(places, self.deviation)

    def _at(self, places: Places, values: Array) -> Array:
        if not places.on_sphere:
            raise InputError(
                "a map over latitude and longitude is given for places on a plane; give data with "
                "latitude and longitude, or leave the map out"
            )
        longitude = self.longitude[0] + np.mod(places.map[:, 0] - self.longitude[0], 360.0)
        latitude = places.map[:, 1]
        # Half a cell around the map belongs to it.
        spacing = [
            float(np.median(np.diff(axis))) if len(axis) > 1 else np.nan
            for axis in (self.latitude, self.longitude)
        ]
        known = next((one for one in spacing if one > 0), 0.0)  # of a single row, that of columns
        margins = [(one if one > 0 else known) / 2 for one in spacing]
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
        axes = (self.latitude, self.longitude)
        open_by = self.longitude[0] + 360 - self.longitude[-1]
        if 0 < open_by < 1.5 * spacing[1]:  # around the globe, the first column comes again
            axes = (self.latitude, np.append(self.longitude, self.longitude[0] + 360))
            values = np.concatenate([values, values[:, :1]], axis=1)
            longitude = np.mod(longitude - axes[1][0], 360.0) + axes[1][0]
        at = np.stack([
            np.clip(one, axis[0], axis[-1])
            for one, axis in zip((latitude, longitude), axes, strict=True)
        ], -1)  # fmt: skip
        return np.asarray(RegularGridInterpolator(axes, values)(at))


def read_map(
    given: Any, variable: str, units: str, *, varying: bool = False, what: str = "the mean"
) -> MeanMap:
    """Return the map of a file or Dataset, averaged over dimensions other than those of space.

    Parameters
    ----------
    given : path or Dataset
    variable : str
        Its variable, or the only one over latitude and longitude.
    units : str
        Those expected.
    varying : bool
        Whether the standard deviation around each point is wanted, too.
    what : str
        What messages call it.

    Raises
    ------
    InputError
        There is no such file or map, it has other units or infinite values, or only one map where
        several are needed.
    """
    if isinstance(given, str | os.PathLike) and not os.path.exists(given):
        raise InputError(
            f"{what} is {os.fspath(given)!r}, but there is no such file; give one with a map, or "
            "leave it out"
        )
    ds = unpacked(sources.as_dataset(given, what))
    found = grids.geographic(ds, tuple(map(str, ds.dims)))
    if found is None or any(one.ndim != 1 for one in found):
        raise InputError(
            f"the map of {what} has no latitude and longitude of one dimension each; put it on "
            "such a grid"
        )
    dims = tuple(one.dims[0] for one in found)
    maps = [str(n) for n, v in ds.data_vars.items() if set(dims) <= set(v.dims)]
    name = variable if variable in maps else by_name(ds, maps[0]) if len(maps) == 1 else None
    if name is None:
        raise InputError(
            f"{what} has the maps {', '.join(maps) or 'none'}, expected one called {variable}; "
            "rename it, or give a file with only one map"
        )
    theirs = str(ds[name].attrs.get("units", ""))
    if units and theirs and not same(units, theirs):
        raise InputError(f"{name} of {what} is in {theirs!r}, expected {units!r}; convert it")
    if bool(units) != bool(theirs):
        unsaid = f"the data {variable} have" if theirs else f"{name} of {what} has"
        notice(f"{unsaid} no unit, which is taken to be {units or theirs!r}")
    ds, _ = screened(ds, [name], None)
    infinite = int(np.isinf(ds[name]).sum())
    if infinite:
        raise InputError(f"{name} of {what} has {infinite} infinite values; mark them as missing")
    rest = [d for d in ds[name].dims if d not in dims]
    array = ds[name].mean(rest).transpose(*dims)
    latitude, longitude = (np.asarray(one.values, float) for one in found)
    longitude = np.unwrap(longitude, period=360.0)
    rows, columns = np.argsort(latitude), np.argsort(longitude)
    order = np.ix_(rows, columns)
    values = _filled(np.asarray(array.values, float)[order])
    axes = latitude[rows], longitude[columns]
    if not varying:
        return MeanMap(*axes, values)
    variance = ds[name].var(rest).transpose(*dims) if rest else xr.zeros_like(array)
    return MeanMap(*axes, values, _deviation(np.asarray(variance.values, float)[order], *axes))


def _deviation(variance: Array, latitude: Array, longitude: Array) -> Array:
    """Return roots of the local means of variances (Y, X) over that of their mean.

    The weights of a local mean are Gaussian, of `_AROUND` km in both directions.
    """
    known = np.isfinite(variance)
    usual = float(variance[known].mean())
    if not usual > 0:
        raise InputError(
            "the map of the mean does not vary in time, so that it tells no local variance; give "
            "maps over time (mean), or leave out local_variance"
        )
    total, count = np.where(known, variance, 0.0), known.astype(float)
    spacing = [float(np.median(np.diff(axis))) * _KM_PER_DEGREE for axis in (latitude, longitude)]
    for sums in (total, count):
        gaussian_filter1d(sums, _AROUND / spacing[0], 0, mode="constant", output=sums)
        for row, cosine in zip(sums, np.cos(np.radians(latitude)), strict=True):
            width = _AROUND / (spacing[1] * max(float(cosine), _LEAST_COSINE))
            gaussian_filter1d(row, width, mode="constant", output=row)
    near = count > _LEAST
    return _filled(np.sqrt(np.where(near, total / np.where(near, count, 1.0), np.nan) / usual))


def _filled(values: Array) -> Array:
    known = np.isfinite(values)
    if not known.any():
        raise InputError("the map of the mean has no value at all; give another one")
    index = np.argwhere(known)
    nearest = cKDTree(index).query(np.argwhere(~known))[1] if not known.all() else []
    found = values.copy()
    found[~known] = values[known][nearest]
    return found
