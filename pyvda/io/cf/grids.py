"""Fields on a grid: variables over time and two dimensions of space, and where their points lie."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import xarray as xr

from pyvda.io.cf.dimensions import axis, find_time
from pyvda.io.cf.units import same
from pyvda.io.quality.error_variables import is_error_of_another
from pyvda.io.quality.quality_flags import is_flag

_LATITUDES = ("lat", "latitude", "nav_lat", "xlat", "lat_rho")
_LONGITUDES = ("lon", "longitude", "nav_lon", "xlong", "lon_rho")
_BOUNDS = ("_bnds", "_bounds", "_bnd")


def is_measured(ds: xr.Dataset, name: Hashable) -> bool:
    """Tell whether a variable may hold observed values: real numbers that describe nothing else.

    Errors, flags, bounds, latitudes and longitudes describe another variable.
    """
    array = ds[name]
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in ds.variables.values()}
    if not (array.dtype.kind == "f" or (array.dtype.kind in "iu" and _packed(array))):
        return False
    if name in bounds or str(name).endswith(_BOUNDS) or is_flag(array):
        return False
    if _is_place(array, "latitude", _LATITUDES) or _is_place(array, "longitude", _LONGITUDES):
        return False
    return not is_error_of_another(ds, str(name))


def measured(ds: xr.Dataset) -> list[str]:
    """Return the variables that may hold observed values, those of most dimensions first."""
    found = [str(name) for name, v in ds.data_vars.items() if v.ndim and is_measured(ds, name)]
    return sorted(found, key=lambda name: -ds[name].ndim)


def fields(ds: xr.Dataset) -> list[str]:
    """Return the variables over time and two dimensions of space."""
    return [name for name in measured(ds) if space_of(ds, name) is not None]


def space_of(ds: xr.Dataset, name: Hashable) -> tuple[str, str] | None:
    """Return the dimensions (y, x) of a variable over time and space, None for other variables.

    Dimensions of size 1 besides them, such as the one depth of a surface, do not count.
    """
    time = find_time(ds, ds[name].dims)[0]
    rest = [str(dim) for dim in ds[name].dims if dim != time]
    if len(rest) > 2:
        rest = [dim for dim in rest if ds.sizes[dim] > 1 or axis(ds, dim) in ("X", "Y")]
    if time is None or len(rest) != 2:
        return None
    y, x = rest
    return (x, y) if axis(ds, y) == "X" and axis(ds, x) != "X" else (y, x)


def geographic(ds: xr.Dataset, space: Sequence[str]) -> tuple[xr.Variable, xr.Variable] | None:
    """Return latitude and longitude over dimensions of space, None where the file lacks either.

    Those that a model repeats at each time (WRF) are taken from the first; radians become degrees.
    """
    latitude = _coordinate(ds, space, "latitude", "degrees_north", _LATITUDES)
    longitude = _coordinate(ds, space, "longitude", "degrees_east", _LONGITUDES)
    if latitude is None or longitude is None:
        return None
    return _in_degrees(latitude, "degrees_north"), _in_degrees(longitude, "degrees_east")


def _in_degrees(variable: xr.Variable, units: str) -> xr.Variable:
    if not same(str(variable.attrs.get("units", "")), "radian"):
        return variable
    degrees = np.degrees(np.asarray(variable.values, float))
    return xr.Variable(variable.dims, degrees, variable.attrs | {"units": units})


def km_in(units: object) -> float | None:
    """Return the km in m or km, None for other units; lengths without unit ("1") stay as they are.

    >>> km_in("metre"), km_in("1"), km_in("degrees_east")
    (0.001, 1.0, None)
    """
    known = (("m", 1e-3), ("km", 1.0), ("1", 1.0))
    return next((factor for one, factor in known if units and same(str(units), one)), None)


def unit_of_length(units: Iterable[object]) -> str:
    """Return "km" where coordinates that `km_in` takes have a unit, "" where they have none ("1").

    >>> unit_of_length(["m", "km"]), unit_of_length(["1", "1"])
    ('km', '')
    """
    return "" if all(same(str(one), "1") for one in units) else "km"


def kilometres(ds: xr.Dataset, space: Sequence[str]) -> tuple[float, ...] | None:
    """Return the factors that turn the coordinates along dimensions into km, None without units."""
    found = [km_in(ds[d].attrs.get("units")) if d in ds.variables else None for d in space]
    return None if None in found else tuple(f for f in found if f is not None)


def has_places(ds: xr.Dataset, space: Sequence[str]) -> bool:
    """Tell whether a file says where the points of a grid lie."""
    return geographic(ds, space) is not None or kilometres(ds, space) is not None


def _packed(array: xr.DataArray) -> bool:
    return "scale_factor" in array.encoding or "scale_factor" in array.attrs


def _is_place(array: xr.DataArray, standard: str, known: Sequence[str]) -> bool:
    return array.attrs.get("standard_name") == standard or str(array.name).lower() in known


def _coordinate(
    ds: xr.Dataset, space: Sequence[str], standard: str, units: str, known: Sequence[str]
) -> xr.Variable | None:
    time = find_time(ds, ds.dims)[0]
    time = None if time in space else time  # of points
    within = {
        n: v for n, v in ds.variables.items()
        if 1 <= len(set(v.dims) - {time}) <= 2 and set(v.dims) <= {*space, time}
        and v.dtype.kind in "fiu"
    }  # fmt: skip

    def has_units(name: Hashable) -> bool:
        given = str(ds[name].attrs.get("units", ""))
        return same(given, units) and given.lower() == units

    for test in (
        lambda n: ds[n].attrs.get("standard_name") == standard,
        has_units,
        lambda n: str(n).lower() in known,
    ):
        found = [n for n in within if test(n)]
        if not found:
            continue
        # A direction in degrees_east is no longitude beside one that is called so.
        found = [n for n in found if n in ds.coords or str(n).lower() in known] or found
        variable = within[max(found, key=lambda n: ds[n].ndim)]
        if time not in variable.dims:
            return variable
        first = variable.isel({time: 0})
        if bool(np.array_equal(variable.values, first.set_dims(variable.sizes).transpose(
                *variable.dims).values, equal_nan=True)):  # fmt: skip
            return first
    return None
