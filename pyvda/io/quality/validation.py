"""Check that observations can be assimilated.

Values are checked in one pass, block by block where they are dask-backed.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import dask.array
import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import layout, times
from pyvda.io.quality import bad_data, missing_codes

_CHUNKS_AT_ONCE = 256  # whose statistics are computed by one graph


def check(ds: xr.Dataset, *, said: bool = False) -> Statistics:
    """Check that normalised observations can be assimilated; return their statistics.

    What the file calls bad is said in a notice, unless it was `said` before.

    Raises
    ------
    InputError
        When time does not increase by a uniform step (to a relative 1e-6), when values are
        infinite, when nothing is observed, or when the error of an observation is not a positive
        number.
    """
    check_time(ds)
    empty = [dim for dim, size in ds[names.OBSERVATION].sizes.items() if size == 0]
    if empty:
        raise InputError(
            f"the dimension {empty[0]} of the observations has the size 0, expected at least 1; "
            "give a file or a selection with data"
        )
    found = statistics(ds)
    if names.REJECTED in ds and not said:
        bad_data.say(found.rejected, found.invalid, ds[names.REJECTED].attrs.get("comment", ""))
    expect_none_infinite(names.OBSERVATION, found.infinite)
    _expect_no_codes(ds, found)
    elsewhere = any(name in ds for name in names.OTHER_OBSERVATIONS)
    if not found.observed and not elsewhere:
        bad = found.rejected + found.invalid
        reason = f" that the file calls good ({bad} it calls bad)" if bad else ""
        remedy = "the valid range and the quality flags" if bad else "its _FillValue"
        raise InputError(
            f"observation has no values{reason}, expected at least one; check the variable and "
            f"{remedy}"
        )
    if found.bad_error:
        raise InputError(
            f"observation_error is not a positive number at {found.bad_error} observed points; "
            "give the standard deviation of each observation"
        )
    return found


def _expect_no_codes(ds: xr.Dataset, found: Statistics) -> None:
    """Refuse lazy observations with missing values that nothing states, see `missing_codes`.

    The others of a variable lie between the least and the largest value that is none.
    """
    whole = ds[names.OBSERVATION]
    if whole.chunks is None:
        return
    parts = layout.of_file(ds) or [(names.OBSERVATION, slice(None), whole.attrs)]
    for name, place, attrs in parts:
        ends = found.low[place].min(), found.high[place].max()
        codes = [one for one in map(float, ends) if missing_codes.is_code(one)]
        if codes and not missing_codes.states_range(attrs):
            _expect_near(whole.isel({names.STATE: place}), codes, name)


def _expect_near(observation: xr.DataArray, codes: list[float], name: object) -> None:
    others = observation.where(~observation.isin(codes))
    ends = xr.Dataset(
        {"low": others.fillna(np.inf).min(skipna=False),
         "high": others.fillna(-np.inf).max(skipna=False), "count": others.count(),
         "all": observation.count()}
    ).compute()  # fmt: skip
    for one in codes:
        if missing_codes.is_far(one, float(ends.low), float(ends.high), int(ends["count"])):
            count = int(ends["all"]) - int(ends["count"])
            raise InputError(
                f"{missing_codes.said(name, one, count)}; add the attribute "
                f"missing_value={one:.7g} to the variable, or replace it by NaN "
                f"(ds.where(ds != {one:.7g}))"
            )


def expect_none_infinite(name: object, infinite: np.ndarray | int) -> None:
    """Refuse a variable with infinite values.

    Parameters
    ----------
    name : str
        Of the variable.
    infinite : int or array of bool
        Number of infinite values, or where they are.

    Raises
    ------
    InputError
        There is one.

    Examples
    --------
    >>> expect_none_infinite("sst", np.isinf([1.0, np.nan]))
    """
    count = int(np.sum(infinite))
    if count:
        values = f"{count} infinite value{'' if count == 1 else 's'}"
        raise InputError(f"{name} has {values}; mark missing data by NaN or _FillValue")


def expect_numbers(values: xr.Variable | xr.DataArray, name: Hashable) -> None:
    """Refuse observed values that are no real numbers.

    Parameters
    ----------
    values : Variable or DataArray
    name : str
        Of the variable.

    Raises
    ------
    InputError
        They are booleans, durations, text, complex numbers or objects.

    Examples
    --------
    >>> expect_numbers(xr.Variable("time", [1, 2]), "sst")
    """
    if values.dtype.kind in "fiu":
        return
    remedies = {
        "b": f"convert it (ds[{name!r}].astype(float)) if true means the value 1 and not that "
        "something was observed, or choose another variable",
        "m": f"divide it by a unit (ds[{name!r}] / numpy.timedelta64(1, 's')), or open the file "
        "with decode_timedelta=False",
        "O": f"convert it (ds[{name!r}].astype(float)), or choose another variable",
        "c": f"take its real part (ds[{name!r}].real), or choose another variable",
    }
    remedy = remedies.get(values.dtype.kind, "choose another variable")
    raise InputError(f"variable {name!r} has type {values.dtype}, expected real numbers; {remedy}")


@dataclass(frozen=True)
class Statistics:
    """Counts and sums over observations, made in one pass over the file.

    Attributes
    ----------
    infinite, observed, bad_error : int
        Number of infinite values, of values that are not NaN, and of observed values without a
        positive error.
    rejected, invalid : int
        Number of values that the file calls bad, by a quality flag or the valid range.
    square, count : (T,)
        Sum of squared errors and number of data with an error, at each step; zeros if the file
        gives no errors.
    low, high : (D,)
        The least and the largest value of each component in dask chunks, else inf and -inf.
    """

    infinite: int
    observed: int
    bad_error: int
    rejected: int
    invalid: int
    square: np.ndarray
    count: np.ndarray
    low: np.ndarray
    high: np.ndarray


def statistics(ds: xr.Dataset) -> Statistics:
    """Return the statistics of normalised observations.

    Those of dask-backed arrays are cached, because reading a large file takes long and both opening
    and assimilating it need them.
    """
    arrays = [ds[n].data for n in (names.OBSERVATION, names.OBSERVATION_ERROR) if n in ds]
    for of, known in _remembered:
        if len(of) == len(arrays) and all(a() is b for a, b in zip(of, arrays, strict=True)):
            return known
    steps = ds.sizes[names.TIME]
    counts: Counter[str] = Counter()
    square, count = np.zeros(steps), np.zeros(steps)
    low = np.full(ds.sizes[names.STATE], np.inf)
    high = -low
    for part in _parts(ds):
        found = _wanted(ds.isel(part)).compute()
        for name in ("infinite", "observed", "bad_error", "rejected", "invalid"):
            counts[name] += int(found.get(name, 0))
        if "low" in found:
            at = part.get(names.STATE, slice(None))
            low[at] = np.minimum(low[at], found["low"].values)
            high[at] = np.maximum(high[at], found["high"].values)
        if "square" in found:
            at = part.get(names.TIME, slice(None))
            square[at] += found["square"].values
            count[at] += found["count"].values
    made = Statistics(
        counts["infinite"], counts["observed"], counts["bad_error"], counts["rejected"],
        counts["invalid"], square, count, low, high,
    )  # fmt: skip
    if all(isinstance(array, dask.array.Array) for array in arrays):
        _remembered.append(([weakref.ref(array) for array in arrays], made))
    return made


def _parts(ds: xr.Dataset) -> Iterator[dict[Hashable, slice]]:
    """Yield parts along one dimension, of a limited number of the observations' chunks each.

    A worker of a cluster keeps what it knows of each task until the last one of a graph is done.
    """
    sizes = ds[names.OBSERVATION].chunksizes
    dim = max(sizes, key=lambda one: len(sizes[one]), default=None)
    if dim is None or len(sizes[dim]) <= _CHUNKS_AT_ONCE:
        yield {}
        return
    stops = np.cumsum(sizes[dim])[_CHUNKS_AT_ONCE - 1 :: _CHUNKS_AT_ONCE].tolist()
    for start, stop in itertools.pairwise([0, *dict.fromkeys([*stops, ds.sizes[dim]])]):
        yield {dim: slice(start, stop)}


def _wanted(ds: xr.Dataset) -> xr.Dataset:
    """Return the statistics of some observations, not yet computed."""
    observation = ds[names.OBSERVATION]
    there = observation.notnull()
    wanted = xr.Dataset({"infinite": np.isinf(observation).sum(), "observed": there.sum()})
    if observation.chunks is not None:
        along = [dim for dim in observation.dims if dim != names.STATE]
        low = observation.fillna(np.inf).min(along, skipna=False)
        high = observation.fillna(-np.inf).max(along, skipna=False)
        wanted = wanted.assign(low=low.drop_vars(low.coords), high=high.drop_vars(high.coords))
    if names.OBSERVATION_ERROR in ds:
        error = ds[names.OBSERVATION_ERROR]
        wanted["bad_error"] = (there & ~((error > 0) & np.isfinite(error))).sum()
        over = [dim for dim in observation.dims if dim != names.TIME]
        square = (error**2).where(there)
        wanted["square"], wanted["count"] = square.sum(over), square.count(over)
    if names.REJECTED in ds:
        codes = ds[names.REJECTED]
        wanted["rejected"] = (codes == bad_data.REJECTED).sum()
        wanted["invalid"] = (codes == bad_data.INVALID).sum()
    return wanted


# Keyed by the arrays themselves and not by dask's names, which stay the same when a file is
# replaced.
_remembered: deque[tuple[list[weakref.ref], Statistics]] = deque(maxlen=16)


def check_time(ds: xr.Dataset) -> None:
    """Raise InputError unless the time coordinate increases by a uniform step."""
    steps = ds.sizes[names.TIME]
    if steps < 2:
        raise InputError(f"the time dimension has {steps} steps, expected at least 2")
    if names.TIME not in ds.coords:
        return
    time = ds[names.TIME].values
    seconds = elapsed(time)
    if not np.all(np.isfinite(seconds)):
        raise InputError(
            "the time coordinate has missing values; give every step its time, "
            "also where nothing was observed"
        )
    differences = np.diff(seconds)
    if np.any(differences == 0):
        step = int(np.argmax(differences == 0))
        raise InputError(
            f"the time {time[step]} occurs twice, at steps {step} and {step + 1}; keep one of them "
            "(ds.drop_duplicates('time')), or give the dimension of several series the name "
            "'window'"
        )
    if np.any(differences < 0):
        step = int(np.argmax(differences < 0)) + 1
        raise InputError(
            f"time does not increase at step {step} ({time[step - 1]}, then {time[step]}); "
            "sort the file by time (ds.sortby('time'))"
        )
    dated = times.dates(ds[names.TIME])
    if times.months_between(dated) is not None:
        return
    differences = np.diff(elapsed(dated))
    usual = float(np.median(differences))
    tolerance = 1e-6 * usual + 2 * times.rounding(ds[names.TIME])
    if time.dtype.kind == "f":
        tolerance += 2 * float(np.spacing(np.abs(time).max())) * _unit(seconds, dated)
    off = np.abs(differences - usual) > tolerance
    if np.any(off):
        step = int(np.argmax(off))
        as_table = (
            ""
            if names.WINDOW in ds.dims
            else ", or give the spacing of analysis times between which the data may lie with "
            "grid_step (--grid-step)"
        )
        raise InputError(
            f"the time step is not uniform (usually {usual:.9g}, {differences[step]:.9g} after "
            f"step {step}); put the observations on a regular time axis with NaN where "
            f"there are none{as_table}"
        )


def _unit(numbers: np.ndarray, dated: np.ndarray) -> float:
    """Return how many seconds the unit of numbers has that stand for dates; 1 for others."""
    return float(elapsed(dated)[-1] / numbers[-1])


def elapsed(time: np.ndarray) -> np.ndarray:
    """Return the time since the first step, (T,): seconds for dates, else the coordinate's unit."""
    if time.dtype.kind in "mM":
        seconds = (time - time[0]) / np.timedelta64(1, "s")
        return np.asarray(seconds, dtype=np.float64)
    if time.dtype.kind == "O" and hasattr(time[0], "calendar"):
        return np.array([moment.total_seconds() for moment in time - time[0]])
    if time.dtype.kind in "fiu":
        values = time.astype(np.float64)
        return values - values[0]
    if isinstance(time[0], pd.Interval):
        raise InputError(
            f"the time {time[0]} is an interval, expected the times of the data; give the middles "
            "of the intervals (ds.assign_coords(time=pandas.IntervalIndex(ds['time'].values).mid))"
        )
    if time.dtype.kind in "OSUT":
        raise InputError(
            f"the time {_not_iso(time)!r} is text that is no date in the format of ISO 8601, such "
            "as 2000-01-31T06:00:00; convert the times (pandas.to_datetime)"
        )
    raise InputError(
        f"the time coordinate has type {time.dtype}, expected CF time or numbers; "
        "give it units such as 'hours since 2000-01-01'"
    )


def _not_iso(texts: np.ndarray) -> str:
    """Return the first text that is no date, or the first of all."""
    strings = [one.decode("ascii", "replace") if isinstance(one, bytes) else str(one)
               for one in texts]  # fmt: skip
    read = pd.to_datetime(strings, errors="coerce", utc=True, format="ISO8601")
    return strings[int(np.argmax(read.isna()))]
