"""A file's variables over (time, y, x), as values on the points of the sea.

`opened` finds variables, time, coordinates and land; values are read one variable at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import places
from pyvda.fields.land_mask import is_sea, mask_of
from pyvda.fields.places import Places
from pyvda.fields.transforms import Transform
from pyvda.io.cf import grids, times, unsuitable
from pyvda.io.cf.dimensions import find_time
from pyvda.io.cf.matching import by_name, wanted
from pyvda.io.quality.bad_data import INVALID, REJECTED, say, screened
from pyvda.io.quality.error_variables import with_errors
from pyvda.io.quality.missing_codes import Ends, states_range
from pyvda.io.quality.missing_codes import say as say_missing
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import elapsed, expect_none_infinite, expect_numbers
from pyvda.notices import notice

_DAY = 86400.0
_ORDER = "order of the times"
_AT_ONCE = 10_000_000  # values that are looked through
_UNITS_OF_TIME = {"days": 1.0, "day": 1.0, "d": 1.0, "hours": 1 / 24, "hour": 1 / 24, "h": 1 / 24,
                  "minutes": 1 / 1440, "seconds": 1 / _DAY, "s": 1 / _DAY,
                  "1": 1.0}  # fmt: skip


@dataclass(frozen=True)
class Values:
    """One variable on the points of the sea.

    Attributes
    ----------
    values : (T, P)
        NaN where nothing was observed.
    variance : (T, P), optional
        Variance of the errors that the file states.
    rejected : (T, P) of bool
        What the file calls bad.
    """

    values: Array
    variance: Array | None
    rejected: Array


@dataclass(frozen=True)
class Field:
    """Variables of a file over time and two dimensions of space.

    Attributes
    ----------
    ds : Dataset
        Sorted by time.
    variables : tuple of str
    time : str
        Dimension.
    space : pair of str
        Dimensions, in the order of the file.
    sea : (Y, X) of bool
        Points that are estimated.
    seen : (Y, X) of bool
        Points with at least one observation of a variable.
    masked : str or None
        The land mask variable; None where points without data are taken for land.
    places : Places
        Places of the points of the sea.
    days : (T,)
        Days since the first of January of the first year, or since the first time if times are
        numbers.
    dated : bool
    transform : Transform
    good_flags : optional
    order : (T,) of int, optional
        Index of each time in the file. None: they are in order there.
    codes : tuple of (str, float)
        Missing values that nothing states, with their variables, see `missing_codes`.
    """

    ds: xr.Dataset
    variables: tuple[str, ...]
    time: str
    space: tuple[str, str]
    sea: Array
    seen: Array
    masked: str | None
    places: Places
    days: Array
    dated: bool
    transform: Transform
    good_flags: GoodFlags | None
    order: Array | None = None
    codes: tuple[tuple[str, float], ...] = ()

    def read(self, name: str) -> Values:
        """Return the values of a variable on the sea, transformed.

        Raises
        ------
        InputError
            Infinite values, or values that the transform is not defined for.
        """
        clean, codes = screened(self.ds, [name], self.good_flags, unstated=False)
        clean, error = with_errors(clean, name, shared=len(self.variables) == 1)
        order = (self.time, *self.space)
        values = _array(clean[name], order)[:, self.sea]
        missing = [number for one, number in self.codes if one == name]
        if missing:
            values[np.isin(values, missing)] = np.nan
        expect_none_infinite(name, np.isinf(values))
        code = _array(codes[name], order)[:, self.sea] if name in codes else np.zeros(values.shape)
        say(int((code == REJECTED).sum()), int((code == INVALID).sum()),
            codes[name].attrs["comment"] if name in codes else "")  # fmt: skip
        variance = None
        if error is not None:
            found = clean[error].broadcast_like(clean[name])
            deviation = _array(found, order)[:, self.sea]
            there = np.isfinite(values)
            bad = int((there & ~(deviation >= 0)).sum())
            if bad:
                raise InputError(
                    f"the errors {error} are missing or negative at {bad} observations of {name}; "
                    f"give every observation its error, or remove {error}"
                )
            variance = self.transform.variance(values, deviation**2)
        return Values(self.transform.forward(values, name), variance, code > 0)

    def between(self, start: int, stop: int) -> Field:
        """Return the field at some of its times, by index."""
        return replace(
            self, ds=self.ds.isel({self.time: slice(start, stop)}), days=self.days[start:stop],
            order=None if self.order is None else self.order[start:stop],
        )  # fmt: skip

    def on_grid(self, values: Array, fill: Any = np.nan) -> Array:
        """Return numbers on the sea, (..., P), on the grid, (..., Y, X)."""
        found = np.full((*values.shape[:-1], *self.sea.shape), fill, values.dtype)
        found[..., self.sea] = values
        return found

    @property
    def never_seen(self) -> Array:
        """Which points of the sea were never observed, (P,)."""
        return np.asarray(~self.seen[self.sea])


def opened(
    ds: xr.Dataset,
    variable: str | Sequence[str] | None = None,
    *,
    mask: str | None = None,
    transform: str | None = None,
    good_flags: GoodFlags | None = None,
    sea: Array | None = None,
) -> Field:
    """Return the fields of a Dataset.

    Parameters
    ----------
    ds : Dataset
    variable : str or sequence of str, optional
        Default: the only one over time and two dimensions of space.
    mask : str, optional
        Variable that tells land from sea. Default: one that says so by its attributes or name;
        else a point that was never observed is taken for land.
    transform : str, optional
        "log10" or "log".
    good_flags : optional
        See `quality_flags.rules`.
    sea : (Y, X) of bool, optional
        Points of the sea, where no variable tells them and the shape is that of the file.

    Raises
    ------
    InputError
        No such variable; no time; no coordinates; nothing but land; nothing observed.
    """
    chosen = tuple(by_name(ds, one) for one in wanted(variable, ds) or _candidates(ds))
    time, space = _dimensions(ds, chosen[0])
    single = [dim for dim in ds[chosen[0]].dims if dim not in (time, *space)]
    ds = ds.isel({dim: 0 for dim in single})
    for other in chosen[1:]:
        if set(ds[other].dims) != {time, *space}:
            raise InputError(
                f"{other} has the dimensions {ds[other].dims}, expected those of {chosen[0]}, "
                f"{ds[chosen[0]].dims}; leave it out, or put it on the same grid"
            )
    numbered = ds.assign_coords({_ORDER: (time, np.arange(ds.sizes[time]))})
    numbered, days, dated = with_days(numbered, time)
    order, ds = numbered[_ORDER].values, numbered.drop_vars(_ORDER)
    field = Field(
        ds, chosen, time, space, np.ones([ds.sizes[d] for d in space], bool),
        np.ones([ds.sizes[d] for d in space], bool), None,
        Places(np.zeros((0, 3)), np.zeros((0, 2)), places.Scale(1.0, 1.0, 0.0)), days, dated,
        Transform(transform), good_flags, None if (np.diff(order) == 1).all() else order,
    )  # fmt: skip
    seen, codes = _seen(field)
    if not seen.any():
        raise InputError(
            f"{', '.join(chosen)} has no observation at all, only missing or bad values; give data "
            "at some points"
        )
    sea, masked = _sea(ds, mask, space, seen, sea)
    located = places_of(ds, chosen[0], space, sea)
    return replace(field, sea=sea, seen=seen & sea, masked=masked, places=located, codes=codes)


def _candidates(ds: xr.Dataset) -> list[str]:
    found = grids.fields(ds)
    if len(found) == 1:
        return found
    if not found:
        raise unsuitable.no_field(ds)
    name = unsuitable.likeliest(found)
    raise InputError(
        f"{', '.join(found)} are over time and two dimensions of space; name one or several with "
        f"variable (--variable {name}, or --variable {','.join(found[:2])})"
    )


def _dimensions(ds: xr.Dataset, name: str) -> tuple[str, tuple[str, str]]:
    time, space = find_time(ds, ds[name].dims)[0], grids.space_of(ds, name)
    if time is None or space is None:
        raise InputError(
            f"{name} has the dimensions {tuple(map(str, ds[name].dims))}, expected time and two of "
            f"space, such as (time, lat, lon); {unsuitable.not_a_field(ds, name)}"
        )
    return str(time), space


def with_days(ds: xr.Dataset, time: str) -> tuple[xr.Dataset, Array, bool]:
    """Return the Dataset sorted by time, its days, and whether they are of a calendar."""
    label = find_time(ds, [time])[1]
    if label is None:
        if ds.sizes[time] > 1:
            raise InputError(
                f"the dimension {time} has no coordinate; give it times, such as days since a date"
            )
        return ds, np.zeros(1), False
    coordinate = ds[label]
    dated = times.dates(coordinate)
    is_dated = dated.dtype.kind == "M" or dated.dtype.kind == "O"
    seconds = elapsed(dated)
    if not np.isfinite(seconds).all():
        raise InputError(f"the coordinate {label} has missing times; give every step its time")
    order = np.argsort(seconds, kind="stable")
    if (np.diff(seconds[order]) == 0).any():
        twice = int(np.flatnonzero(np.diff(seconds[order]) == 0)[0])
        raise InputError(
            f"the time {coordinate.values[order[twice]]} occurs twice; keep one of them "
            f"(ds.drop_duplicates({time!r}))"
        )
    if (order != np.arange(len(order))).any():
        notice("the times are not in order; the field is sorted by time")
        ds, seconds, dated = (
            ds.isel({time: order}),
            seconds[order] - seconds[order[0]],
            dated[order],
        )
    if not is_dated:
        return ds, seconds * unit_of_time(coordinate), False
    first = dated[0]
    if dated.dtype.kind == "M":
        start = (first - first.astype("datetime64[Y]")) / np.timedelta64(1, "s")
    else:
        start = (first.dayofyr - 1) * _DAY + first.hour * 3600 + first.minute * 60 + first.second
    return ds, (seconds + float(start)) / _DAY, True


def unit_of_time(coordinate: xr.DataArray) -> float:
    """Return the length of the unit of numeric times, in days.

    Raises
    ------
    InputError
        It is not a unit of physical time.
    """
    unit = str(coordinate.attrs.get("units", "days")).strip().lower()
    days = _UNITS_OF_TIME.get(unit) or times.days_of(unit)
    if days is None:
        raise InputError(
            f"the times {coordinate.name} are numbers in {unit!r}, expected dates, or days, hours "
            "or seconds; give the coordinate such units"
        )
    return days


def _seen(field: Field) -> tuple[Array, tuple[tuple[str, float], ...]]:
    """Return which points have an observation, (Y, X), and the missing values that nothing states.

    One variable is read after the other, in parts.
    """
    found = np.zeros([field.ds.sizes[d] for d in field.space], bool)
    codes: list[tuple[str, float]] = []
    length = max(1, _AT_ONCE // max(1, found.size))
    for name in field.variables:
        ends, with_code = Ends(), dict[float, Array]()
        stated = states_range(field.ds[name].attrs)
        for start in range(0, len(field.days), length):
            part = field.between(start, start + length)
            clean, _ = screened(part.ds, [name], field.good_flags, unstated=False)
            expect_numbers(clean[name], name)
            values = _array(clean[name], (field.time, *field.space))
            for code in () if stated else ends.add(values):
                here = values == code
                with_code[code] = with_code.get(code, False) | here.any(0)
                values = np.where(here, np.nan, values)
            found |= (~np.isnan(values)).any(0)
        missing = ends.missing()
        say_missing(name, missing)
        codes += [(name, code) for code in missing]
        for code in with_code.keys() - missing.keys():
            found |= with_code[code]
    return found, tuple(codes)


def _sea(
    ds: xr.Dataset, mask: str | None, space: tuple[str, str], seen: Array, given: Array | None
) -> tuple[Array, str | None]:
    if mask is not None and mask not in ds.variables:
        raise InputError(
            f"the land mask {mask!r} is not a variable of the file; choose one of "
            f"{', '.join(map(str, ds.variables))}"
        )
    name = mask or mask_of(ds, space)
    if name is None and given is not None and given.shape == seen.shape and (seen & given).any():
        return given, "the land of the training"
    if name is None:
        land = int((~seen).sum())
        if land:
            notice(
                f"no variable tells land: the {land} of {seen.size} points that were never "
                "observed are taken for land (mask names a variable that is 0 there)"
            )
        return seen, None
    sea = is_sea(ds[name], space, seen)
    if not sea.any():
        raise InputError(
            f"all points are land by {name!r}; name another land mask (mask), nonzero at sea"
        )
    ashore = int((seen & ~sea).sum())
    if ashore:
        notice(f"{ashore} points with observations are land by {name}; their data are not used")
    if not (seen & sea).any():
        raise InputError(
            f"all observations are on land by {name!r}; name another land mask (mask), nonzero at "
            "sea"
        )
    return sea, name


def places_of(ds: xr.Dataset, name: str, space: tuple[str, str], sea: Array) -> Places:
    """Return the places of the points of the sea."""
    found = grids.geographic(ds, space)
    if found is not None:
        return places.on_sphere(*(_on(ds, variable, space)[sea] for variable in found))
    km = grids.kilometres(ds, space)
    if km is None:
        y, x = space
        raise InputError(
            f"{name} over {space} has no coordinates that say where its points are; add latitude "
            f"and longitude (degrees_north, degrees_east), one for each dimension or both over "
            f"{space}, or {y} and {x} in m or km"
        )
    plane = [
        factor * _on(ds, ds.variables[d], space)[sea] for d, factor in zip(space, km, strict=True)
    ]
    unit = grids.unit_of_length(ds[d].attrs.get("units") for d in space)
    return places.on_plane(plane[0], plane[1], unit)


def _on(ds: xr.Dataset, coordinate: xr.Variable, space: tuple[str, str]) -> Array:
    """Return a coordinate on the grid, (Y, X)."""
    variable = coordinate.to_base_variable().set_dims({d: ds.sizes[d] for d in space})
    return np.asarray(variable.transpose(*space).values, float)


def _array(array: xr.DataArray | xr.Variable, order: Sequence[str]) -> Array:
    found = np.asarray(array.transpose(*order).values)
    return found if found.dtype == np.int8 else found.astype(np.float64, copy=False)
