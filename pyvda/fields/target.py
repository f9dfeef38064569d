"""The grid on which point data are estimated: a file's, or one of even spacing; and its times.

--grid grid.nc                              latitude, longitude, land and, if it has them, times
--grid -6:36.5:0.125,30:46:0.125            longitudes, latitudes: first, last, spacing
--times 2014-05-20/2014-06-01/1d            first, last, spacing
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.field import Field, places_of, unit_of_time, with_days
from pyvda.fields.land_mask import is_sea, mask_of
from pyvda.fields.places import Places
from pyvda.fields.points import DataAtPoints
from pyvda.fields.transforms import Transform
from pyvda.io.cf import grids
from pyvda.io.cf.dimensions import axis, find_time
from pyvda.io.cf.times import dates
from pyvda.io.quality.packing import unpacked
from pyvda.io.sources import sources
from pyvda.io.sources.open import open_dataset
from pyvda.notices import notice

_LAT = {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}
_LON = {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}
_PARTS = 30  # of a span of times without a unit of their own
_MOST = 10**9  # points of the grid, and times


def on_grid(
    points: DataAtPoints,
    grid: Any,
    times: str | None = None,
    *,
    mask: str | None = None,
    transform: str | None = None,
) -> Field:
    """Return the field of the points' variables on a grid, without values.

    Parameters
    ----------
    points : DataAtPoints
    grid : str, path or Dataset
        A file with latitude and longitude, of one dimension each or both over two, or y and x in m
        or km; perhaps with a land mask, times, and variables whose points that are always missing
        are land. Or `lon0:lon1:step,lat0:lat1:step`, of points on a plane in km.
    times : str, optional
        `first/last/step`. Default: the grid's, else every noon of the days with data.
    mask : str, optional
        Variable of the grid that tells land from sea.
    transform : str, optional

    Raises
    ------
    InputError
        The grid or the times cannot be understood, or hold no point of the sea.
    """
    ds, sea, masked = _grid(grid, mask, points.places)
    space = (str(ds.attrs.pop("y")), str(ds.attrs.pop("x")))
    when = _times(points, ds, times)
    ds = ds.drop_dims([d for d in ds.dims if d not in space])
    shape = (len(when), *sea.shape)
    empty = {
        name: (("time", *space), np.broadcast_to(np.float64(np.nan), shape), points.attrs[name])
        for name in points.variables
    }
    attrs = {"standard_name": "time", "axis": "T"} | ({} if points.dated else {"units": "days"})
    ds = ds.drop_vars("time", errors="ignore").assign_coords(time=("time", when, attrs))
    ds, days, dated = with_days(ds.assign(empty), "time")
    return Field(
        ds, points.variables, "time", space, sea, np.zeros(sea.shape, bool), masked,
        places_of(ds, points.variables[0], space, sea), days, dated, Transform(transform), None,
    )  # fmt: skip


def around(points: DataAtPoints, transform: str | None = None) -> Field:
    """Return a grid of one point, at the first datum, where only the data's own places matter.

    Its two times are a day apart, or a part of the span of times that are numbers.
    """
    longitude, latitude = points.places.map[0].tolist()
    if points.dated:
        first = points.time.min()
        times = f"{first}/{first + np.timedelta64(1, 'D')}/1d"
    else:
        start, step = float(points.time.min()), float(np.ptp(points.time)) / _PARTS or 1.0
        times = f"{start!r}/{start + step!r}/{step!r}"
    grid = f"{longitude!r}:{longitude!r}:1,{latitude!r}:{latitude!r}:1"
    return on_grid(points, grid, times, transform=transform)


def origin(field: Field) -> Any:
    """Return the origin of the days of a field: a date, or the first of times in numbers."""
    label = find_time(field.ds, [field.time])[1]
    first = None if label is None else dates(field.ds[label])[0]
    if not field.dated:
        return 0.0 if first is None else float(first) * unit_of_time(field.ds[label])
    if not isinstance(first, np.datetime64):
        raise InputError(
            "point data beside a field need dates of the standard calendar; convert the field "
            "(Dataset.convert_calendar)"
        )
    return first.astype("datetime64[Y]")


def _grid(given: Any, mask: str | None, places: Places) -> tuple[xr.Dataset, Array, str | None]:
    """Return the grid (with attributes y and x), the sea mask, and the name of the land mask."""
    if isinstance(given, str) and not os.path.exists(given) and ":" in given:
        if mask is not None:
            raise InputError(
                f"mask is {mask!r}, but the grid {given} has no variables; leave it out"
            )
        ds = _even(given, places)
        return ds, np.ones(list(ds.sizes.values()), bool), None
    if isinstance(given, str | os.PathLike):
        if not os.path.exists(given):
            raise InputError(
                f"the grid is {os.fspath(given)!r}, but there is no such file; give one, or "
                "lon0:lon1:step,lat0:lat1:step"
            )
        ds = open_dataset(given)
    else:
        ds = sources.as_dataset(given, "the grid")
    ds = unpacked(ds)
    space = _dimensions(ds, places.on_sphere)
    if mask is not None and mask not in ds.variables:
        raise InputError(
            f"the land mask {mask!r} is no variable of the grid; choose one of "
            f"{', '.join(map(str, ds.variables))}"
        )
    name = mask or mask_of(ds, space)
    coords = {n: v for n, v in ds.variables.items() if set(v.dims) <= set(space) and n in ds.coords}
    time = find_time(ds, ds.dims)[1]
    found = xr.Dataset(coords=coords).assign_attrs(y=space[0], x=space[1])
    where = grids.geographic(ds, space) if places.on_sphere else None
    for standard, variable in zip(("latitude", "longitude"), where or (), strict=False):
        label = next((n for n, v in ds.variables.items() if v is variable), standard)
        found = found.assign_coords({label: variable})
    found = found.drop_vars("time", errors="ignore")  # of one time, which is no dimension
    if time is not None:
        found = found.assign_coords(time=("time", ds[time].values, ds[time].attrs))
    if name is not None:
        sea = is_sea(ds[name], space)
        if not sea.any():
            raise InputError(
                f"all points of the grid are land by {name!r}; name another land mask (mask), "
                "nonzero at sea"
            )
        return found, sea, name
    known = [n for n, v in ds.data_vars.items()
             if v.dtype.kind == "f" and set(space) <= set(v.dims)]  # fmt: skip
    if not known:
        return found, np.ones([ds.sizes[d] for d in space], bool), None
    rest = [d for d in ds[known[0]].dims if d not in space]
    sea = ds[known[0]].notnull().any(rest).transpose(*space).values
    land = int((~sea).sum())
    if land:
        notice(f"no variable of the grid tells land: the {land} of {sea.size} points where "
               f"{known[0]} is always missing are taken for land")  # fmt: skip
    if not sea.any():
        raise InputError(f"{known[0]} of the grid has no value at all; name a land mask (mask)")
    return found, sea, str(known[0])


def _dimensions(ds: xr.Dataset, sphere: bool) -> tuple[str, str]:
    """Return the dimensions (y, x) of latitude and longitude, or of y and x in m or km."""
    if not sphere:
        axes = {axis(ds, d): str(d) for d in ds.dims if grids.kilometres(ds, (str(d),))}
        if not {"X", "Y"} <= axes.keys():
            raise InputError(
                "the data lie at x and y in km, but the grid has no such dimensions; give a file "
                "with both, or x0:x1:step,y0:y1:step"
            )
        return axes["Y"], axes["X"]
    found = grids.geographic(ds, tuple(map(str, ds.dims)))
    dims = list(dict.fromkeys(str(d) for one in found or () for d in one.dims))
    if len(dims) != 2:
        raise InputError(
            "the grid has no latitude and longitude over two dimensions; give a file with both "
            "(degrees_north, degrees_east), or lon0:lon1:step,lat0:lat1:step"
        )
    return dims[0], dims[1]


def _even(text: str, places: Places) -> xr.Dataset:
    """Return the grid of a text such as -6:36:0.125,30:46:0.125, in the units of some places.

    >>> from pyvda.fields.places import on_sphere
    >>> some = on_sphere(np.zeros(1), np.zeros(1))
    >>> dict(_even("0:1:0.5,40:41:0.25", some).sizes)
    {'lat': 5, 'lon': 3}
    """
    parts = text.split(",")
    try:
        ranges = [tuple(float(number) for number in part.split(":")) for part in parts]
    except ValueError:
        ranges = []
    if len(ranges) != 2 or any(len(one) != 3 for one in ranges):
        raise InputError(
            f"the grid is {text!r}, which is no file; expected lon0:lon1:step,lat0:lat1:step, such "
            "as -6:36:0.25,30:46:0.25"
        )
    axes = []
    for first, last, step in ranges:
        if not (step > 0 and last >= first) or (last - first) / step > _MOST:
            raise InputError(
                f"the grid {text!r} has {first:g}:{last:g}:{step:g}, expected first <= last and a "
                "positive step"
            )
        axes.append(first + step * np.arange(int(np.floor((last - first) / step + 1e-6)) + 1))
    if len(axes[0]) * len(axes[1]) > _MOST:
        raise InputError(
            f"the grid {text!r} has {len(axes[1])} × {len(axes[0])} points, expected at most "
            f"{_MOST:.0e}; give larger steps or a smaller area"
        )
    if places.on_sphere and axes[0][-1] - axes[0][0] > 360:
        raise InputError(
            f"the grid {text!r} goes around the globe more than once; give longitudes over at most "
            "360 degrees"
        )
    if places.on_sphere:
        y, x, of_y, of_x = "lat", "lon", _LAT, _LON
    else:
        unit = {"units": places.unit or "1"}
        y, x, of_y, of_x = "y", "x", unit | {"axis": "Y"}, unit | {"axis": "X"}
    return xr.Dataset(coords={y: (y, axes[1], of_y), x: (x, axes[0], of_x)}, attrs={"y": y, "x": x})


def _times(points: DataAtPoints, ds: xr.Dataset, text: str | None) -> Array:
    if text is None and "time" in ds.variables:
        found = dates(ds["time"])
        if (found.dtype.kind == "M") != points.dated:
            raise InputError(
                "the times of the grid and those of the data are not both dates; give times "
                "(--times first/last/step)"
            )
        return found if points.dated else found * unit_of_time(ds["time"])
    if text is None:
        if points.dated:
            days = np.unique(points.time.astype("datetime64[D]"))
            every = np.arange(days[0], days[-1] + 1)
            return every.astype("datetime64[ns]") + np.timedelta64(12, "h")
        return np.arange(np.floor(points.time.min()), np.ceil(points.time.max())) + 0.5
    parts = str(text).split("/")
    try:
        if len(parts) != 3:
            raise ValueError
        if not points.dated:
            first, last, step = (float(part) for part in parts)
            if not step > 0 or not 0 <= (last - first) / step < _MOST:
                raise ValueError
            return first + step * np.arange(int(np.floor((last - first) / step + 1e-6)) + 1)
        if not all(re.match(r"\s*\d{4}(\D|$)", part) for part in parts[:2]):
            raise ValueError  # 01-03-2020 is of two months
        first, last = (pd.Timestamp(part) for part in parts[:2])
        first, last = (one.tz_convert(None) if one.tz else one for one in (first, last))
        first, last = first.as_unit("ns"), last.as_unit("ns")
        step = _step(parts[2])
        if not step or not abs((last - first) / step) < _MOST:
            raise ValueError
        found = pd.date_range(first, last, freq=step)
    except (ValueError, OverflowError):
        kind = "2014-05-20/2014-06-01/1d" if points.dated else "0/10/1"
        raise InputError(f"times is {text!r}, expected first/last/step, such as {kind}") from None
    if not len(found):
        raise InputError(f"times is {text!r}, which holds no time; expected first <= last")
    return np.asarray(found.values.astype("datetime64[ns]"))


def _step(text: str) -> pd.Timedelta:
    """Return a step such as 6h or 1d, of which pandas wants the letter of days to be D.

    >>> _step("6h"), _step("1d") == _step("P1D")
    (Timedelta('0 days 06:00:00'), True)
    """
    step = pd.Timedelta(text.strip()[:-1] + "D" if text.strip().endswith("d") else text)
    if pd.isna(step) or text.strip().replace(".", "").isdecimal():
        raise ValueError(f"{text} is no step with a unit")
    return step
