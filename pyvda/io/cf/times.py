"""Time axes as people have them: dates, text, time zones, numbers with units, in any order.

`CODER` is how files are opened: it decodes what can be encoded again, and leaves other times, such
as "months since", as the numbers that they are. `recognised` makes dates of other spellings,
`in_order` sorts, and `encodable` is the way back to a file.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import date, timedelta
from typing import Any

import cftime
import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.io.quality.packing import without_default_fill
from pyvda.notices import notice

# Units that xarray writes. It also reads those of cftime, but cannot write them again.
_UNITS = re.compile(r"\s*(nano|micro|milli)?(second|minute|hour|day)s?\s+since\s", re.IGNORECASE)
_TEXT_NAMES = ("time", "times", "t", "date", "dates", "datetime", "timestamp", "valid_time")
_ZONE = re.compile(r"(Z|[+-]\d{2}(:?\d{2})?)$")
_CALENDAR_UNITS = re.compile(r"\s*((common_)?year|month|decade)s?\s+since\s", re.IGNORECASE)
# What people write as the units of model time.
_NO_UNIT = re.compile(r"(1|-|none|unitless|dimensionless|(non[- ]?)?dim.*|(model|time)\b.*)?", re.I)
_AS_DIGITS = re.compile(r"\s*days?\s+as\s+%Y%m%d(\.%f)?\s*", re.IGNORECASE)  # of CDO and ECHAM
# Units that CF takes from UDUNITS and cftime does not know, or in one calendar only; in days.
_LONG_UNITS = {"week": 7.0, "fortnight": 14.0, "month": 1 / 12, "year": 1.0, "common_year": 365.0,
               "decade": 10.0}  # fmt: skip
_IN_YEARS = ("month", "year", "decade")
_YEAR = 365.242198781  # days, of UDUNITS and so of CF
_YEARS_OF_CALENDARS = {"noleap": 365.0, "365_day": 365.0, "all_leap": 366.0, "366_day": 366.0,
                       "360_day": 360.0}  # fmt: skip


# Other spellings of "since" that UDUNITS knows, and words for UTC.
_SINCE = re.compile(
    r"\s*(?P<unit>\w+)\s+(since|after|from|ref)\s+(?P<date>\S.*?)\s*(UTC|GMT)?\s*", re.IGNORECASE
)


def plain_units(units: object) -> str:
    """Return units of times as xarray and cftime read them.

    >>> plain_units("Hours Since 2000-1-1 0:0:0 UTC"), plain_units("K")
    ('hours since 2000-1-1 0:0:0', 'K')
    """
    text = str(units)
    found = _SINCE.fullmatch(text)
    return text if found is None else f"{found['unit'].lower()} since {found['date']}"


def _with_plain_units(variable: xr.Variable) -> xr.Variable:
    units = variable.attrs.get("units")
    if not isinstance(units, str) or plain_units(units) == units:
        return variable
    found = variable.copy(deep=False)
    found.attrs = {**variable.attrs, "units": plain_units(units)}
    return found


class _Coder(xr.coders.CFDatetimeCoder):
    """xarray's decoding of times, where it can also encode them."""

    def decode(self, variable: xr.Variable, name: Hashable | None = None) -> xr.Variable:
        variable = _with_plain_units(variable)
        if not _UNITS.match(str(variable.attrs.get("units", ""))):
            return variable
        if variable.dtype.kind == "f":
            variable = without_default_fill(variable)
        try:
            return super().decode(variable, name)
        except (ValueError, OverflowError):  # dates that neither NumPy nor cftime can hold
            return variable


CODER = _Coder()


def recognised(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with its times as dates without a zone (UTC), or as the numbers that they are.

    Text in ISO format (also that of WRF, 2000-01-24_12:00:00), periods (their starts), numbers
    whose digits are a date ("day as %Y%m%d.%f") and dates with a time zone become dates; `units`
    and `calendar` beside dates become their encoding. A conversion to UTC is said.
    """
    changed: dict[Hashable, xr.Variable] = {}
    for name, variable in ds.variables.items():
        if variable.ndim > 1:
            continue
        made = _recognised(variable, name)
        if made is not None:
            changed[name] = made
    if not changed:
        return ds
    coords = {name: one for name, one in changed.items() if name in ds.coords}
    return ds.assign_coords(coords).assign(
        {name: one for name, one in changed.items() if name not in coords}
    )


def _recognised(variable: xr.Variable, name: Hashable) -> xr.Variable | None:
    """Return a variable as dates, or None if it needs no change or does not hold dates."""
    if variable.dtype.kind in "fiu" and _AS_DIGITS.fullmatch(str(variable.attrs.get("units"))):
        return _from_digits(variable)
    if variable.dtype.kind in "fiu":
        plain = _with_plain_units(variable)
        return None if plain is variable else plain
    values: Any = None
    zoned = getattr(variable.dtype, "tz", None) is not None
    if zoned:
        values = pd.DatetimeIndex(variable.to_index())
    elif variable.dtype.kind in "OSUT" and variable.size and variable.ndim == 1:
        values, zoned = _parsed(variable, name)
    if values is not None:
        if zoned:
            values = values.tz_convert("UTC").tz_localize(None)
            notice(f"the times {name} have a time zone; they are converted to UTC")
        attrs = {"standard_name": "time", **variable.attrs}
        return xr.Variable(variable.dims, values, attrs)
    dated = variable.dtype.kind == "M" or is_cftime(variable)
    said = {key for key in ("units", "calendar") if key in variable.attrs}
    if not dated or not said:
        return None
    moved = variable.copy(deep=False)
    given = {key: moved.attrs.pop(key) for key in said}
    if " since " in str(given.get("units", "")):
        moved.encoding = {**given, **moved.encoding}
    return moved


def _from_digits(variable: xr.Variable) -> xr.Variable | None:
    """Return the dates whose digits are numbers such as 20000131.25; None where one is no date."""
    numbers = variable.values.astype(np.float64)
    calendar = str(variable.attrs.get("calendar", "standard"))
    if not np.isfinite(numbers).all():
        return None
    days = np.floor(numbers).astype(np.int64)
    seconds = np.round((numbers - days) * 86400).tolist()
    try:
        found = [
            cftime.datetime(day // 10000, day // 100 % 100, day % 100, calendar=calendar)
            + timedelta(seconds=part)
            for day, part in zip(days.tolist(), seconds, strict=True)
        ]
    except (ValueError, OverflowError):
        return None
    attrs = {k: v for k, v in variable.attrs.items() if k not in ("units", "calendar")}
    values: Any = np.array(found, dtype=object)
    if calendar in ("standard", "gregorian", "proleptic_gregorian") and days.min() > 15830000:
        values = np.array([one.isoformat() for one in found], dtype="M8[s]")
    return xr.Variable(variable.dims, values, {"standard_name": "time", **attrs})


def _parsed(variable: xr.Variable, name: Hashable) -> tuple[pd.DatetimeIndex | None, bool]:
    """Return the dates of text or of objects with time zones, and whether they had zones."""
    declared = variable.attrs.get("standard_name") == "time" or variable.attrs.get("axis") == "T"
    called = str(name).lower() in _TEXT_NAMES or (
        name in variable.dims and str(name).lower() not in names.DIMENSIONS
    )
    if not declared and not called:
        return None, False
    found = variable.values
    if variable.dtype.kind == "O" and getattr(found[0], "tzinfo", None) is not None:
        return pd.DatetimeIndex(pd.to_datetime(found, utc=True)), True
    if variable.dtype.kind == "O" and isinstance(found[0], pd.Period):
        return pd.PeriodIndex(found).to_timestamp(), False
    if variable.dtype.kind == "O" and not isinstance(found[0], str | bytes | date):
        return None, False
    texts = [
        one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in found
    ]
    texts = [text.strip().replace("_", "T") for text in texts]
    try:
        dates = pd.to_datetime(texts, utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        return None, False
    if not any(_ZONE.search(text[10:]) for text in texts):
        return pd.DatetimeIndex(dates.tz_localize(None)), False
    if all(text.endswith("Z") for text in texts):
        return pd.DatetimeIndex(dates.tz_localize(None)), False  # UTC already
    return pd.DatetimeIndex(dates), True


def in_order(ds: xr.Dataset) -> xr.Dataset:
    """Return normalised observations in the order of their times, which is said if it is another.

    Times that repeat or are missing stay, to be refused.
    """
    if names.TIME not in ds.coords or ds.sizes[names.TIME] < 2:
        return ds
    time = ds[names.TIME].values
    if time.dtype.kind not in "fiuMm" and not is_cftime(ds[names.TIME].variable):
        return ds
    missing = pd.isnull(time)
    ordered = not missing.any() and bool(np.all(time[1:] >= time[:-1]))
    if ordered or missing.any():
        return ds
    if np.all(time[1:] <= time[:-1]):
        notice("time decreases along the file; the observations are sorted by time")
        return ds.isel({names.TIME: slice(None, None, -1)})
    notice("the times are not in order; the observations are sorted by time")
    return ds.isel({names.TIME: np.argsort(time, kind="stable")})


def encodable(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with dates that xarray can write.

    Those that were decoded from units such as "months since", which xarray cannot write, become
    these numbers again.
    """
    changed = {
        name: _encodable(variable)
        for name, variable in ds.variables.items()
        if variable.dtype.kind == "M" or is_cftime(variable)
    }
    coords = {name: one for name, one in changed.items() if name in ds.coords}
    data = {name: one for name, one in changed.items() if name not in coords}
    return ds.assign_coords(coords).assign(data) if changed else ds


def _encodable(variable: xr.Variable) -> xr.Variable:
    units = variable.encoding.get("units")
    if units is None or _UNITS.match(str(units)):
        return variable
    plain = variable.to_base_variable().copy(deep=False)
    plain.encoding = {k: v for k, v in plain.encoding.items() if k not in ("units", "calendar")}
    calendar = str(variable.encoding.get("calendar", "standard"))
    numbers = _numbers(variable, str(units), calendar)
    if numbers is None:
        return plain
    attrs = {**variable.attrs, "units": units, "calendar": calendar}
    return xr.Variable(variable.dims, numbers, attrs)


def _numbers(variable: xr.Variable, units: str, calendar: str) -> np.ndarray | None:
    values = variable.values
    if values.dtype.kind == "M":
        values = values.astype("M8[us]").astype(object)
    try:
        return np.asarray(cftime.date2num(values, units, calendar), np.float64)
    except (ValueError, TypeError):
        return None


def dates(time: xr.Variable | xr.DataArray) -> np.ndarray:
    """Return times as dates where their units say which, else the numbers themselves, (T,).

    Months and years since a date have the mean length, see `days_of`.
    """
    values = time.values
    units = str(time.attrs.get("units", ""))
    if values.dtype.kind not in "fiu" or " since " not in units or not np.isfinite(values).all():
        return np.asarray(values)
    calendar = str(time.attrs.get("calendar", "standard"))
    unit, since = units.split(" since ", 1)
    days = days_of(unit, calendar)
    if days is not None:
        values, units = values * days, f"days since {since}"
    try:
        found = np.asarray(cftime.num2date(values, units, calendar, False))
    except (ValueError, OverflowError):
        return np.asarray(time.values)
    real = not isinstance(found.flat[0], cftime.datetime)
    return found.astype("M8[us]") if real else found


def days_of(unit: str, calendar: str = "standard") -> float | None:
    """Return the length of a week, month, year or decade in days; None for other units.

    Those of UDUNITS, which CF refers to (section 4.4): a month is a twelfth of a year, and a year
    has 365.242198781 days, or as many as each year of the calendar.

    >>> days_of("months", "360_day"), days_of("weeks"), days_of("hours")
    (30.0, 7.0, None)
    """
    name = unit.strip().lower().removesuffix("s")
    if name not in _LONG_UNITS:
        return None
    year = _YEARS_OF_CALENDARS.get(calendar.lower(), _YEAR) if name in _IN_YEARS else 1.0
    return _LONG_UNITS[name] * year


def encoding_of(variable: xr.Variable) -> dict[str, Any]:
    """Return what is kept of the encoding of a variable that was read: the units of its times.

    And that they were floating-point numbers, without which xarray tries integers.
    """
    kept = {k: v for k, v in variable.encoding.items() if k in ("units", "calendar")}
    if kept and np.dtype(variable.encoding.get("dtype", "O")).kind == "f":
        kept["dtype"] = variable.encoding["dtype"]
    return kept


def are_dates(time: xr.Variable | xr.DataArray) -> bool:
    """Tell whether times are dates or durations, or numbers with units that make them dates."""
    number = time.dtype.kind in "fiu"
    return not number or " since " in str(time.attrs.get("units", ""))


def physical_unit(time: xr.Variable | xr.DataArray) -> str | None:
    """Return the unit of times that are plain numbers, None of model time, which has none."""
    units = str(time.attrs.get("units", "")).strip()
    return None if _NO_UNIT.fullmatch(units) else units


def counts_months(time: xr.Variable | xr.DataArray) -> bool:
    """Tell whether times are numbers of months, years or decades since a date."""
    units = time.attrs.get("units") or time.encoding.get("units", "")
    return bool(_CALENDAR_UNITS.match(str(units)))


def rounding(time: xr.DataArray) -> float:
    """Return how far dates may be from those that were meant, in seconds.

    A file has them as numbers since a date: as float32, hours since 1970 are rounded to minutes. 0
    for dates that were no floating-point numbers.
    """
    encoding = time.encoding
    stored = np.dtype(encoding.get("dtype", "O"))
    dated = time.dtype.kind == "M" or is_cftime(time.variable)
    if stored.kind != "f" or not dated or "units" not in encoding:
        return 0.0
    calendar = str(encoding.get("calendar", "standard"))
    numbers = _numbers(time.variable, str(encoding["units"]), calendar)
    if numbers is None or not np.isfinite(numbers).all() or numbers[0] == numbers[-1]:
        return 0.0
    between = time.values[-1] - time.values[0]
    seconds = between / np.timedelta64(1, "s") if time.dtype.kind == "M" else (
        between.total_seconds()
    )  # fmt: skip
    unit = abs(float(seconds) / (numbers[-1] - numbers[0]))
    return float(np.spacing(np.abs(numbers).max().astype(stored))) * unit


def months_between(dated: np.ndarray) -> int | None:
    """Return k where dates lie k calendar months apart (12: years), None for others.

    They need not be the same day of each month: the middles of months count too.
    """
    if dated.dtype.kind == "M":
        months = dated.astype("M8[M]").astype(int)
        days = np.diff(dated) / np.timedelta64(1, "D")
    elif dated.dtype.kind == "O" and hasattr(dated[0], "calendar"):
        months = np.array([12 * one.year + one.month for one in dated])
        days = np.array([one.total_seconds() / 86400 for one in np.diff(dated)])
    else:
        return None
    apart = np.diff(months)
    k = int(apart[0]) if apart.size else 0
    regular = k >= 1 and np.all(apart == k)
    return k if regular and np.all((days >= 28 * k) & (days <= 31 * k)) else None


def later(time: xr.DataArray, steps: int) -> np.ndarray:
    """Return the times of the steps after the last one of an axis: months later, where it has them.

    The day of the month is that of the last time, or the last day of a shorter month.
    """
    values = time.values
    number = np.arange(1, steps + 1)
    months = None if values.dtype.kind in "fiu" else months_between(values)
    if months is None:
        return np.asarray(values[-1] + (values[-1] - values[-2]) * number)
    if values.dtype.kind == "M":
        first = pd.Timestamp(values[-1])
        found = [first + pd.DateOffset(months=months * int(n)) for n in number]
        return np.array([one.to_datetime64() for one in found]).astype(values.dtype)
    return np.array([_months_later(values[-1], months * int(n)) for n in number])


def _months_later(date: cftime.datetime, months: int) -> cftime.datetime:
    count = date.month - 1 + months
    first = date.replace(day=1, month=count % 12 + 1, year=date.year + count // 12)
    return first.replace(day=min(date.day, first.daysinmonth))


def steps_until(ended: np.ndarray, begin: np.ndarray) -> float:
    """Return the steps from the end of one axis to the beginning of another; of months, months."""
    months = months_between(begin)
    if months is not None and len(ended):
        apart = months_between(np.array([ended[-1], begin[0]], dtype=begin.dtype))
        if apart is not None:
            return apart / months
    return float((begin[0] - ended[-1]) / (begin[1] - begin[0]))


def is_cftime(variable: xr.Variable) -> bool:
    """Tell whether a variable holds cftime's dates."""
    if variable.dtype.kind != "O" or not variable.size or variable.chunks is not None:
        return False
    first = variable.values.flat[0] if variable.ndim else variable.values.item()
    return isinstance(first, cftime.datetime)
