"""A table of pandas as a Dataset.

Columns stay variables. A table with a column for each component and unique times is a series along
`time` (and `window`, if there is such a column); any other has a row for each datum, along `datum`.
Time zones are converted to UTC, the only zone that CF knows.
"""

from __future__ import annotations

import itertools
import re
from datetime import time as clock
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.tables.columns import LABELS, MISSING, TIMES, VALUES
from pyvda.notices import notice

_NUMBER = int | float | np.integer | np.floating | Decimal
_NOT_A_NUMBER = ("nan", "NaN", *MISSING)
# A name such as "Time (s)" or "time_utc": what of it may be one of TIMES.
_BARE = re.compile(r"(?P<name>.+?)[ _]?(\(.*\)|\[.*\]|utc|gmt)?")
_DATE = {"year": ("year", "yyyy", "yy", "yr"), "month": ("month", "mon", "mo"),
         "day": ("day", "dd", "dy")}  # fmt: skip
_CLOCK = {"hour": ("hour", "hr", "hh"), "minute": ("minute", "min"), "second": ("second", "sec")}
_DIGITS = (18000101, 21991231)  # dates as whole numbers


def dataset(frame: pd.DataFrame | pd.Series, what: str) -> xr.Dataset:
    """Return a DataFrame or Series as a Dataset.

    Parameters
    ----------
    frame : DataFrame or Series
        Times in the index or in a column; see `pyvda.on_grid` for the columns.
    what : str
        What messages call it.

    Raises
    ------
    InputError
        Names of columns or levels of the index are missing or used twice.
    """
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(names.OBSERVATION if frame.name is None else frame.name)
    attrs = {str(name): value for name, value in frame.attrs.items()}
    frame = _with_plain_columns(frame, what)
    if not len(frame):
        raise InputError(f"{what} has no rows; expected at least two times")
    matrix = all(isinstance(name, int | np.integer) for name in frame.columns)
    frame = _index_as_columns(frame, what)
    frame.columns = _plain_names([str(name) for name in frame.columns])
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{what} has two columns called {twice!r}; rename one of them")
    frame = _with_whole_times(frame)
    time, unit = _time_of(frame), ""
    if time is not None and time.lower() not in TIMES and names.TIME not in frame.columns:
        unit = _unit(time)
        frame, time = frame.rename(columns={time: names.TIME}), names.TIME
    frame = frame.assign(
        **{n: _numbers(frame[n], what) for n in frame.columns if n != time and n not in LABELS}
    )
    columns = {name: array_of(frame[name], name == time) for name in frame.columns}
    if matrix:
        return _of_matrix(columns, time, attrs)
    leading = [name for name in (names.WINDOW, time) if name in columns]
    long = any(name in columns for name in LABELS)
    if time is None or long or frame.duplicated(leading).any():
        rows = xr.Dataset({n: (names.DATUM, v) for n, v in columns.items()}, attrs=attrs)
        return rows if not unit else rows.assign({time: rows[time].assign_attrs(units=unit)})
    if len(leading) == 2:
        dense = pd.DataFrame(columns).set_index(leading).to_xarray()
        return dense.assign_attrs(attrs)
    coords = {time: (time, columns.pop(time), {"units": unit} if unit else {})}
    return xr.Dataset({n: (time, v) for n, v in columns.items()}, coords, attrs)


def _time_of(frame: pd.DataFrame) -> str | None:
    """Return the column of times, by its name."""
    lower = {name.lower(): name for name in reversed(list(frame.columns))}
    bare = {_bare(name): name for name in reversed(list(frame.columns))}
    bare.pop("t", None)  # T (K) is a temperature
    return next((known[name] for known in (lower, bare) for name in TIMES if name in known), None)


def _bare(name: str) -> str:
    """Return a name without its unit or zone, in lower case."""
    found = _BARE.fullmatch(name.strip().lower())
    return name.lower() if found is None else found["name"]


def _unit(name: str) -> str:
    """Return the unit in a name such as "Time (s)"; "" where it has none, or a zone."""
    found = re.search(r"[(\[](.*)[)\]]$", name.strip())
    unit = "" if found is None else found[1].strip()
    return "" if unit.lower() in ("utc", "gmt", "z") else unit


def _with_whole_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one column of times in place of several that make them.

    Those are a date and a time of the day, or year, month and day with perhaps hours, minutes and
    seconds (also "YY MM DD hh mm"), which is said.
    """
    known = {_bare(name): name for name in reversed(list(frame.columns))}
    if {"date", "time"} <= set(known) and _is_clock(frame[known["time"]]):
        parts = [known["date"], known["time"]]
        days = pd.to_datetime(frame[parts[0]].astype(str), errors="coerce", format="ISO8601")
        hours = pd.to_timedelta(frame[parts[1]].astype(str).map(_with_seconds), errors="coerce")
        return _replaced(frame, parts, days + hours)
    chosen = {
        unit: next((known[name] for name in names_of if name in known), None)
        for unit, names_of in (_DATE | _CLOCK).items()
    }
    # In the files of buoys MM are months, and mm beside hh minutes.
    chosen["month"] = "MM" if "MM" in frame.columns else chosen["month"]
    if {"hh", "mm"} <= set(frame.columns):
        chosen["minute"] = "mm"
    clock = itertools.takewhile(lambda unit: _counts(frame, chosen[unit], unit), _CLOCK)
    columns = {unit: name for unit in (*_DATE, *clock) if (name := chosen[unit]) is not None}
    if not set(_DATE) <= set(columns) or _time_of(frame) is not None:
        return frame
    numbers = {unit: pd.to_numeric(frame[name], errors="coerce") for unit, name in columns.items()}
    year = numbers["year"]  # of two digits: from 1969 to 2068, as in POSIX
    numbers["year"] = year.where(year > 99, year + np.where(year < 69, 2000, 1900))
    return _replaced(frame, list(columns.values()), pd.to_datetime(numbers, errors="coerce"))


def _counts(frame: pd.DataFrame, name: str | None, unit: str) -> bool:
    """Tell whether a column may count hours, minutes or seconds: a "min" may be the least value."""
    if name is None:
        return False
    numbers = pd.to_numeric(frame[name], errors="coerce").dropna()
    whole = unit != "minute" or bool((numbers % 1 == 0).all())
    return whole and bool(numbers.between(0, 60).all())


def _replaced(frame: pd.DataFrame, parts: list[str], times: Any) -> pd.DataFrame:
    times = pd.Series(times, frame.index)
    if times.isna().all():
        return frame
    first = times.dropna().iloc[0]
    notice(f"the times are made of the columns {', '.join(parts)}; the first is {first}")
    frame = frame.drop(columns=parts)
    frame.insert(0, names.TIME, times)
    return frame


def _is_clock(column: pd.Series) -> bool:
    """Tell whether a column holds times of the day, such as 06:00 or 06:00:00."""
    there = column.dropna()
    kind = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
    return len(there) > 0 and all(
        isinstance(one, clock) or bool(re.fullmatch(kind, str(one).strip())) for one in there
    )


def _with_seconds(text: str) -> str:
    return f"{text}:00" if text.count(":") == 1 else text


def _plain_names(given: list[str]) -> list[str]:
    """Return names without case where they then say what a column is: Component, VALUE."""
    known = {*LABELS, *VALUES, names.WINDOW}
    return [
        one.lower() if one.lower() in known and one.lower() not in given else one for one in given
    ]


def _numbers(column: pd.Series, what: str) -> pd.Series:
    """Return numbers that are text, or objects, as numbers; other text as it is.

    Raises
    ------
    InputError
        Some of the observed values are text, of numbers with a decimal point.
    """
    text = column.dtype.kind in "OT" or isinstance(column.dtype, pd.StringDtype)
    there = column.notna()
    if not text or not there.any() or not all(isinstance(v, _NUMBER | str) for v in column[there]):
        return column
    found = pd.to_numeric(column, errors="coerce").astype(float)
    bad = there & found.isna() & ~column.isin(_NOT_A_NUMBER)
    if not bad.any():
        return found
    if column.name in VALUES or (
        bad.mean() < 0.5 and column[there & ~bad].astype(str).str.contains(".", regex=False).any()
    ):
        row = int(np.argmax(bad))
        raise InputError(
            f"{what} has the text {str(column.iloc[row])!r} in row {row} of the column "
            f"{column.name!r}, expected a number; correct it, or leave it empty where nothing was "
            "observed"
        )
    return column


def _with_plain_columns(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    frame = frame.copy(deep=False)
    while isinstance(frame.columns, pd.MultiIndex):
        alike = [n for n in range(frame.columns.nlevels) if frame.columns.unique(n).size == 1]
        if not alike:
            raise InputError(
                f"{what} has columns of {frame.columns.nlevels} levels, expected one name for each "
                "column; join them (df.columns = ['_'.join(c) for c in df.columns])"
            )
        frame.columns = frame.columns.droplevel(alike[0])
    return frame


def _index_as_columns(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the table with its index as columns, where it says something."""
    index = frame.index
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    named = [str(name).lower() for name in frame.columns] + [str(n).lower() for n in index.names]
    if any(name in TIMES for name in named):
        renamed = list(index.names)
    else:
        renamed = [name or _guessed(index, n) for n, name in enumerate(index.names)]
    if isinstance(index, pd.MultiIndex) and None in renamed:
        raise InputError(
            f"{what} has an index of {index.nlevels} levels of which one has no name; name them "
            "(df.rename_axis(index=['time', 'component']))"
        )
    if renamed == [None]:
        return frame.reset_index(drop=True)
    frame.index = index.set_names(renamed) if isinstance(index, pd.MultiIndex) else index.rename(
        renamed[0]
    )  # fmt: skip
    taken = [name for name in renamed if name in frame.columns]
    if taken:
        raise InputError(
            f"{what} has a column and a level of its index called {taken[0]!r}; drop one of them "
            "(df.reset_index(drop=True))"
        )
    return frame.reset_index()


def _guessed(index: pd.Index, level: int) -> str | None:
    """Return "time" for an index without a name that holds dates or real numbers."""
    values = index.get_level_values(level)
    if values.dtype.kind in "Mmf" or isinstance(values, xr.CFTimeIndex):
        return names.TIME
    return None


def array_of(column: pd.Series, is_time: bool = False) -> np.ndarray:
    """Return a column as an array that a Dataset takes."""
    if is_time:
        return _times(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype) and column.dtype != bool:
        return np.asarray(column.astype("Float64").to_numpy(float, na_value=np.nan))
    if pd.api.types.is_numeric_dtype(column.dtype) and not isinstance(column.dtype, np.dtype):
        exact = column.dtype.kind in "iu" and not column.isna().any()
        return np.asarray(
            column.to_numpy(np.int64) if exact else column.to_numpy(float, na_value=np.nan)
        )
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _times(column)
    if not isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy(object))
    return np.asarray(column.to_numpy())


def _times(column: pd.Series) -> np.ndarray:
    """Return times: numbers, dates without a zone, or dates of cftime."""
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if column.dtype.kind in "iufMm" and not aware:
        dates = _of_digits(column)
        return np.asarray((column if dates is None else dates).to_numpy())
    if not aware:
        if any(hasattr(value, "calendar") for value in column[:1]):
            return np.asarray(column.to_numpy(object))
        read = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        if read.isna().any() and not column.isna().any():
            example = column[read.isna()].iloc[0]
            raise InputError(
                f"the time {str(example)!r} is not a date such as 2024-05-01T06:00; convert the "
                "column (pandas.to_datetime)"
            )
        aware = any(getattr(value, "tzinfo", None) or _has_zone(value) for value in column[:1])
        column = read
    if aware:
        notice("times with a time zone are converted to UTC")
    return np.asarray(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())


def _of_digits(column: pd.Series) -> pd.Series | None:
    """Return the dates of numbers whose digits are dates (20010131), which is said; else None."""
    if column.dtype.kind not in "iuf" or not len(column) or column.isna().any():
        return None
    first, last = _DIGITS
    if not (column.between(first, last) & (column % 1 == 0)).all():
        return None
    found = pd.to_datetime(column.astype(np.int64).astype(str), format="%Y%m%d", errors="coerce")
    if found.isna().any():
        return None
    notice(f"times such as {int(column.iloc[0])} are read as dates, {found.iloc[0]:%Y-%m-%d}")
    return found


def _has_zone(value: Any) -> bool:
    text = str(value)
    return isinstance(value, str) and (text.endswith("Z") or "+" in text or text.count("-") > 2)


def _of_matrix(columns: dict[str, np.ndarray], time: str | None, attrs: Any) -> xr.Dataset:
    """Return a table whose columns are numbered: the state vector of each time.

    Numbers that do not increase are those of the components.
    """
    coords: dict[str, Any] = {}
    if time is not None:
        coords[names.TIME] = (names.TIME, columns.pop(time))
    numbers = [int(name) for name in columns]
    if numbers != sorted(numbers):
        coords[names.STATE] = (names.STATE, numbers)
    values = np.stack([v.astype(float) for v in columns.values()], -1)
    return xr.Dataset({names.OBSERVATION: ((names.TIME, names.STATE), values)}, coords, attrs)
