"""Data at points of space and time: tracks of satellites, moorings, floats, tables of positions.

`read` finds variables, times and positions of each datum (latitude and longitude, or x and y in m
or km), and which data belong together: those of one pass, one mooring or one float. Several files,
such as those of several satellites, are concatenated; a pass never goes from one file to
the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import places
from pyvda.fields.field import unit_of_time
from pyvda.fields.places import Places
from pyvda.fields.transforms import Transform
from pyvda.io.cf import times
from pyvda.io.cf.dimensions import axis, find_time
from pyvda.io.cf.grids import geographic, km_in, measured, unit_of_length
from pyvda.io.cf.matching import by_name, wanted
from pyvda.io.quality.bad_data import INVALID, REJECTED, say, screened
from pyvda.io.quality.error_variables import with_errors
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import expect_none_infinite, expect_numbers
from pyvda.io.sources import sources
from pyvda.io.tables.columns import TIMES
from pyvda.io.tables.sampling_geometry import table
from pyvda.notices import notice

_ROLES = ("trajectory_id", "timeseries_id")
_PASSES = ("pass_id", "pass", "pass_number", "track", "track_number", "trajectory", "orbit",
           "cycle", "cycle_number", "satellite", "mission", "platform", "platform_number",
           "station", "station_id", "mooring", "buoy", "float", "wmo")  # fmt: skip
_CYCLES = ("cycle", "cycle_number")
_REVISITED = {"pass_id", "pass", "pass_number", "track", "track_number", "orbit", "satellite",
              "mission"}  # fmt: skip
_REVISIT = 0.5  # days: data of one pass are no farther apart
_GAP = 20.0  # median steps in time: what ends a pass that has no number
_REPEATED = 5  # data for each position, on average: those of moorings


@dataclass(frozen=True)
class PointValues:
    """One variable at the points, (N,) each.

    Attributes
    ----------
    values : (N,)
        Transformed; NaN where nothing was observed.
    variance : (N,), optional
        Variance of the errors that the file states.
    rejected : (N,) of bool
        What the file calls bad.
    """

    values: Array
    variance: Array | None
    rejected: Array


@dataclass(frozen=True)
class DataAtPoints:
    """Variables at points, a row a datum.

    Attributes
    ----------
    variables : tuple of str
    attrs : dict
        Attributes of each variable, as those of the first file.
    places : Places
    time : (N,)
        Dates (datetime64), or days where the files have numbers.
    track : (N,) of int
        Number of the pass, mooring or float.
    values : dict of PointValues
    row : (N,) of int
        Index of each datum among those of the files.
    rows : int
        Data of the files, those without time or position included.
    """

    variables: tuple[str, ...]
    attrs: dict[str, dict[str, Any]]
    places: Places
    time: Array
    track: Array
    values: dict[str, PointValues]
    row: Array
    rows: int

    @property
    def dated(self) -> bool:
        """Whether times are dates."""
        return self.time.dtype.kind == "M"

    def days(self, origin: Any) -> Array:
        """Return days since an origin, (N,): a date, or a number where times are numbers."""
        if self.dated:
            return np.asarray((self.time - np.datetime64(origin, "ns")) / np.timedelta64(1, "D"))
        return self.time - origin

    def without(self, hidden: Array) -> DataAtPoints:
        """Return the points with NaN in place of some values, (N,) of bool."""
        left = {
            name: replace(one, values=np.where(hidden, np.nan, one.values))
            for name, one in self.values.items()
        }
        return replace(self, values=left)


def are_points(ds: xr.Dataset, variable: str | Sequence[str] | None) -> bool:
    """Tell whether the variables of a Dataset lie at points, and not on a grid over time."""
    ds = table(ds)
    names = [n for n in wanted(variable, ds) or _candidates(ds) if n in ds.variables]
    return bool(names) and all(
        ds[n].ndim == 1 and _position(ds, ds[n].dims[0]) is not None for n in names
    )


def read(
    given: Any,
    variable: str | Sequence[str] | None = None,
    *,
    transform: str | None = None,
    good_flags: GoodFlags | None = None,
    group: str | None = None,
) -> DataAtPoints:
    """Return the points of a file, table or Dataset, or of several.

    Parameters
    ----------
    given : Dataset, path, DataFrame, ..., or a list of these
        Discrete sampling geometries of CF, or a row a datum with time, latitude and longitude.
    variable : str or sequence of str, optional
        Default: the only one along the data.
    transform : str, optional
        "log10" or "log".
    good_flags : optional
        See `quality_flags.rules`.
    group : str, optional

    Raises
    ------
    InputError
        No such variable, no positions or times, or values that cannot be used.
    """
    several = given if isinstance(given, list | tuple) else [given]
    found = []
    for one in several:
        what = os.fspath(one) if isinstance(one, str | os.PathLike) else "the point data"
        ds = sources.as_dataset(one, what, group=group)
        found.append(_of_one(ds, variable, transform, good_flags, what))
    return found[0] if len(found) == 1 else _joined(found)


def _of_one(
    ds: xr.Dataset,
    variable: str | Sequence[str] | None,
    transform: str | None,
    good_flags: GoodFlags | None,
    what: str,
) -> DataAtPoints:
    ds = table(ds)
    chosen = tuple(by_name(ds, one) for one in wanted(variable, ds) or _one_candidate(ds, what))
    dims = {ds[name].dims for name in chosen}
    if len(dims) != 1 or len(next(iter(dims))) != 1:
        raise InputError(
            f"the point data {', '.join(chosen)} of {what} have the dimensions "
            f"{', '.join(str(ds[n].dims) for n in chosen)}, expected the same single one; give a "
            "row for each datum, or a discrete sampling geometry of CF"
        )
    dim = ds[chosen[0]].dims[0]
    position = _position(ds, dim)
    if position is None:
        raise InputError(
            f"{chosen[0]} of {what} has no latitude and longitude along {dim!r}; add both "
            "(degrees_north, degrees_east), or y and x in m or km"
        )
    time = _times(ds, dim, what)
    where = [
        factor * np.asarray(v.values, float)
        for v, factor in zip(position.of, position.factors, strict=True)
    ]
    known = ~np.isnat(time) if time.dtype.kind == "M" else np.isfinite(time)
    known = known & np.isfinite(where[0]) & np.isfinite(where[1])
    if not known.all():
        notice(f"{int((~known).sum())} data of {what} have no time or position; they are not used")
        if not known.any():
            raise InputError(f"no datum of {what} has both time and position; give them")
    track = _tracks(ds, dim, time, where)
    _check_levels(ds, dim, what, known, [*where, _in_days(time)])
    values = {n: _values(ds, n, transform, good_flags, len(chosen) == 1, known) for n in chosen}
    if not any(np.isfinite(v.values).any() for v in values.values()):
        raise InputError(
            f"{', '.join(chosen)} of {what} has no observation at all, only missing or bad values; "
            "choose another variable"
        )
    return DataAtPoints(
        chosen, {n: dict(ds[n].attrs) for n in chosen},
        position.placed(where[0][known], where[1][known]), time[known], track[known], values,
        np.flatnonzero(known), len(known),
    )  # fmt: skip


def _values(
    ds: xr.Dataset,
    name: str,
    transform: str | None,
    good_flags: GoodFlags | None,
    alone: bool,
    known: Array,
) -> PointValues:
    if ds[name].chunks is None:
        ds[name].load()  # missing values that nothing states are looked for in memory
    clean, codes = screened(ds, [name], good_flags)
    clean, error = with_errors(clean, name, shared=alone)
    expect_numbers(clean[name], name)
    values = np.asarray(clean[name].values, float)[known]
    expect_none_infinite(name, np.isinf(values))
    code = np.asarray(codes[name].values)[known] if name in codes else np.zeros(values.shape)
    say(int((code == REJECTED).sum()), int((code == INVALID).sum()),
        codes[name].attrs["comment"] if name in codes else "")  # fmt: skip
    to = Transform(transform)
    variance = None
    if error is not None:
        deviation = np.broadcast_to(np.asarray(clean[error].values, float), known.shape)[known]
        bad = int((np.isfinite(values) & ~(deviation >= 0)).sum())
        if bad:
            raise InputError(
                f"the errors {error} are missing or negative at {bad} observations of {name}; give "
                f"every observation its error, or remove {error}"
            )
        variance = to.variance(values, deviation**2)
    return PointValues(to.forward(values, name), variance, code > 0)


def _times(ds: xr.Dataset, dim: Any, what: str) -> Array:
    """Return dates, or days where times are numbers, (N,)."""
    name = find_time(ds, [dim])[1]
    if name is None:
        lower = {str(n).lower(): n for n, v in ds.variables.items() if v.dims == (dim,)}
        name = next((lower[one] for one in TIMES if one in lower), None)
    if name is None:
        raise InputError(f"{what} has no times along {dim!r}; add a variable time")
    found = times.dates(ds[name])
    if found.dtype.kind == "M":
        return found.astype("datetime64[ns]")
    if found.dtype.kind == "O":
        raise InputError(
            f"the times {name} of {what} are of the calendar "
            f"{getattr(found[0], 'calendar', 'of another kind')}, expected dates of the standard "
            "one; convert them (Dataset.convert_calendar)"
        )
    return np.asarray(found.astype(float) * unit_of_time(ds[name]))


def _tracks(ds: xr.Dataset, dim: Any, time: Array, where: Sequence[Array]) -> Array:
    """Return the number of the pass, mooring or float of each datum.

    By CF's `cf_role`, or by variables with names such as `track` and `cycle`, taken together; else
    moorings are data at the same position, and a pass ends where time makes a jump. A satellite
    that comes back to a track makes another pass.
    """
    along = [n for n, v in ds.variables.items() if v.dims == (dim,)]
    found = [n for n in along if ds[n].attrs.get("cf_role") in _ROLES]
    found = found or [n for n in along if str(n).lower() in _PASSES]
    if found:
        columns = [np.unique(ds[n].values, return_inverse=True)[1] for n in found]
        number = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].ravel()
        named = {str(n).lower() for n in found}
        revisited = named & _REVISITED and not named & {*_CYCLES}
        roles = any(ds[n].attrs.get("cf_role") in _ROLES for n in found)
        return _visits(number, _in_days(time)) if revisited and not roles else number
    positions, at = np.unique(np.stack(where), axis=1, return_inverse=True)
    if positions.shape[1] * _REPEATED <= len(time):
        return at.ravel()
    step = np.diff(_in_days(time))
    return np.concatenate([[0], np.cumsum((step < 0) | (step > _GAP * _usual(step)))])


def _in_days(time: Array) -> Array:
    """Return times as days since the first, NaN where there is none."""
    return (
        np.asarray((time - np.fmin.reduce(time)) / np.timedelta64(1, "D"))
        if time.dtype.kind == "M"
        else time
    )


def _usual(step: Array) -> float:
    forward = step[step > 0]
    return float(np.median(forward)) if len(forward) else 0.0


def _visits(number: Array, days: Array) -> Array:
    """Return the number of each visit of a track, (N,), from those of tracks and times."""
    order = np.lexsort((days, number))
    step, other = np.diff(days[order]), np.diff(number[order]) != 0
    longest = max(_REVISIT, _GAP * _usual(step[~other]))
    found = np.empty(len(number), int)
    found[order] = np.concatenate([[0], np.cumsum(other | (step > longest))])
    return found


def _check_levels(
    ds: xr.Dataset, dim: Any, what: str, known: Array, where: Sequence[Array]
) -> None:
    """Raise InputError where data of one place and time differ in depth; say it if others do."""
    for name, v in ds.variables.items():
        standard = str(v.attrs.get("standard_name", "")).lower()
        vertical = axis(ds, name) == "Z" and not standard.startswith("sea_floor")
        if v.dims != (dim,) or v.dtype.kind not in "fiu" or not vertical:
            continue
        used = known & np.isfinite(np.asarray(v.values, float))
        levels = np.asarray(v.values, float)[used]
        if not len(levels) or levels.min() == levels.max():
            continue
        at = np.unique(np.stack([one[used] for one in where]), axis=1, return_inverse=True)[1]
        low, high = (np.full(at.max() + 1, one) for one in (np.inf, -np.inf))
        np.minimum.at(low, at.ravel(), levels)
        np.maximum.at(high, at.ravel(), levels)
        between = f"{name} from {levels.min():g} to {levels.max():g}"
        if (low < high).any():
            raise InputError(
                f"{what} has several data at one place and time, at {between}, but a map is of one "
                f"level; choose one, such as ds.where(abs({name} - {levels[0]:g}) < 1, drop=True)"
            )
        notice(f"the data of {what} lie at {between}; they are taken for one level")


def _candidates(ds: xr.Dataset) -> list[str]:
    """Return the variables that may have been observed: numbers along a dimension with positions.

    >>> rows = {n: ("obs", [1.5, 2.5]) for n in ("time", "lat", "lon", "sla", "track")}
    >>> _candidates(xr.Dataset(rows))
    ['sla']
    """
    found = []
    for name in measured(ds):
        v = ds.variables[name]
        position = _position(ds, v.dims[0]) if v.ndim == 1 else None
        if position is None or any(v is one for one in position.of):
            continue
        used = {*TIMES, *_PASSES, str(find_time(ds, v.dims)[1]).lower()}
        if name.lower() not in used and "axis" not in v.attrs:
            found.append(name)
    return found


def _one_candidate(ds: xr.Dataset, what: str) -> list[str]:
    found = _candidates(ds)
    if len(found) == 1:
        return found
    several = f"{', '.join(found)} are" if found else "none of the variables is"
    raise InputError(
        f"{several} observed at points with time, latitude and longitude in {what}; name one or "
        "several with variable (--variable sla)"
    )


class _Position(NamedTuple):
    """Latitude and longitude of data, or y and x, and the function that converts them to places."""

    of: tuple[xr.Variable, xr.Variable]
    factors: tuple[float, float]
    placed: Callable[[Array, Array], Places]


def _position(ds: xr.Dataset, dim: Any) -> _Position | None:
    found = geographic(ds, (dim,))
    if found is not None:
        return _Position(found, (1.0, 1.0), places.on_sphere)
    plane: dict[str, tuple[xr.Variable, float]] = {}
    for name, v in ds.variables.items():
        letter, factor = axis(ds, name), km_in(v.attrs.get("units"))
        if v.dims == (dim,) and factor is not None and letter in ("X", "Y"):
            plane.setdefault(letter, (v, factor))
    if len(plane) < 2:
        return None
    (y, of_y), (x, of_x) = plane["Y"], plane["X"]
    unit = unit_of_length(v.attrs.get("units") for v in (y, x))
    return _Position((y, x), (of_y, of_x), partial(places.on_plane, unit=unit))


def _joined(parts: Sequence[DataAtPoints]) -> DataAtPoints:
    """Return the points of several files."""
    first = parts[0]
    for other in parts[1:]:
        if other.variables != first.variables or other.dated != first.dated:
            raise InputError(
                f"the files of point data have the variables {', '.join(first.variables)} and "
                f"{', '.join(other.variables)}, expected the same with times alike; choose them by "
                "variable"
            )
        check_units(other.attrs, first.attrs, "one file of point data", "another")
    starts = np.cumsum([0, *(p.track.max() + 1 for p in parts)])
    before = np.cumsum([0, *(p.rows for p in parts)])
    values = {}
    for name in first.variables:
        rows = [p.values[name] for p in parts]
        stated = [r.variance for r in rows if r.variance is not None]
        if 0 < len(stated) < len(rows):
            raise InputError(
                f"some files of point data state errors of {name} and others do not; give all or "
                "none of them"
            )
        values[name] = PointValues(
            np.concatenate([r.values for r in rows]),
            np.concatenate(stated) if stated else None,
            np.concatenate([r.rejected for r in rows]),
        )
    where = first.places
    for other in parts[1:]:
        where = places.joined(where, other.places)
    return DataAtPoints(
        first.variables, first.attrs, where, np.concatenate([p.time for p in parts]),
        np.concatenate([p.track + s for p, s in zip(parts, starts, strict=False)]), values,
        np.concatenate([p.row + b for p, b in zip(parts, before, strict=False)]), int(before[-1]),
    )  # fmt: skip


def check_units(
    ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]], what: str, other: str
) -> None:
    """Raise InputError where a variable has different units in two sources.

    Where only one of them says its unit, a notice says that it is taken for that of both.
    """
    from pyvda.io.cf.units import same

    for name in set(ours) & set(theirs):
        units = [str(attrs[name].get("units", "")) for attrs in (ours, theirs)]
        if all(units) and not same(*units):
            raise InputError(
                f"{name} is in {units[0]!r} in {what}, but in {units[1]!r} in {other}; convert one "
                "of them"
            )
        if any(units) and not all(units):
            unsaid = what if units[1] else other
            notice(f"{name} has no unit in {unsaid}; it is taken to be in {max(units)!r}")
