"""Missing values that a file does not state: -9999, 999.9 or 1e35 among values of another size.

Such a number is taken for a missing value only where it is the least or the largest of all and lies
far from the others, by their range or several times it, and no valid range of the file includes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pyvda.notices import notice

# Of at most six digits: with more, float32 does not tell them from 1000, 10000, ...
_NINES = [10.0**k - 1 for k in range(2, 7)]
_NINES += [10.0**k - 10.0**-n for k in range(2, 6) for n in (1, 2, 3) if k + n <= 6]
_HUGE = [10.0**k for k in (10, 15, 20, 25, 28, 30, 32, 33, 34, 35, 36, 37, 38)]
_CODES = np.array(
    sorted({*_NINES, *_HUGE, 32767.0, 32768.0, 2147483647.0, 2147483648.0, 9.96921e36})
)
_ROUNDING = 2e-7  # of a number in float32, relative
_APART = 5.0  # ranges of the other values
_APART_LARGE = 1.0  # of -999, -9999, ... and 1e10 or more
_LARGER = 1e3  # times the others is 1e10 or more: these may be powers of ten, too
_FEW = 10  # other values, among which only a large code is recognised
_RANGES = ("valid_range", "valid_min", "valid_max")


def is_code(number: float) -> bool:
    """Tell whether a number is one that people write for missing values.

    >>> [is_code(one) for one in (-9999, 999.9, np.float32(-99.99), 1e35, 273.15, 1000.0)]
    [True, True, True, True, False, False]
    """
    return bool(
        np.isfinite(number)
        and (np.abs(_CODES - abs(float(number))) <= _ROUNDING * abs(float(number))).any()
    )


class Ends:
    """The codes at the ends of numbers that are read in parts, and the range of the others."""

    def __init__(self) -> None:
        self._codes: Counter[float] = Counter()
        self._low, self._high, self._count = np.inf, -np.inf, 0

    def add(self, values: np.ndarray) -> list[float]:
        """Take in some numbers, and return the codes at their ends."""
        there, found = values[np.isfinite(values)], []
        while there.size:
            low, high = float(there.min()), float(there.max())
            here = [end for end in {low, high} if is_code(end)]
            if not here:
                self._low, self._high = min(low, self._low), max(high, self._high)
                self._count += there.size
                break
            self._codes.update({end: int((there == end).sum()) for end in here})
            found += here
            there = there[~np.isin(there, here)]
        return found

    def missing(self) -> dict[float, int]:
        """Return the codes that are missing values, and how often each occurs."""
        if not self._count:  # nothing but codes: one of them is no other value's neighbour
            alone = len(self._codes) == 1 and all(one < 0 or one > 1e9 for one in self._codes)
            return dict(self._codes) if alone else {}
        ends = self._low, self._high, self._count
        return {one: n for one, n in self._codes.items() if is_far(one, *ends)}


def codes_of(values: np.ndarray) -> list[tuple[float, int]]:
    """Return the missing values among numbers, and how often each occurs.

    >>> codes_of(np.array([1.0, 2.0, -9999.0, np.nan, 1.5]))
    [(-9999.0, 1)]
    >>> codes_of(np.array([900.0, 999.0, 950.0])), codes_of(np.array([1.0, 2.0, 99.0]))
    ([], [])
    """
    ends = Ends()
    ends.add(values)
    return list(ends.missing().items())


def is_far(number: float, low: float, high: float, count: int) -> bool:
    """Tell whether a code lies far from so many values between two others."""
    large = (number <= -999 or abs(number) >= 9999) and abs(number) not in (32767, 32768)
    if abs(number) >= _HUGE[0] and abs(number) < _LARGER * max(abs(low), abs(high)):
        return False
    enough = count >= (2 if large else _FEW)
    unlikely = number <= -999 or abs(number) >= 1e10
    apart = _APART_LARGE if large and unlikely else _APART
    return enough and max(low - number, number - high) > apart * (high - low)


def without_codes(variable: xr.Variable, name: object) -> xr.Variable:
    """Return a variable in memory with NaN in place of missing values, which is said.

    Parameters
    ----------
    variable : Variable
        Decoded. Values that are not in memory are not read.
    name : object
        For the notice.
    """
    if not variable._in_memory or variable.dtype.kind not in "fiu" or states_range(variable.attrs):
        return variable
    values = np.asarray(variable.values)
    found = codes_of(values)
    if not found:
        return variable
    say(name, dict(found))
    numbers = [number for number, _ in found]
    return variable.copy(data=np.where(np.isin(values, numbers), np.nan, values))


def say(name: object, missing: Mapping[float, int]) -> None:
    """Give notice of the values that are taken for missing, and how often each occurs."""
    for number, count in missing.items():
        notice(f"{said(name, number, count)}; it is taken for missing")


def said(name: object, number: float, count: int) -> str:
    """Return what is found, in words."""
    values = f"{count} times the value" if count != 1 else "the value"
    return (
        f"{name} has {values} {number:.7g}, far from all others, which the file does not call "
        "missing (_FillValue) or valid (valid_range)"
    )


def states_range(attrs: Mapping[Any, Any]) -> bool:
    """Tell whether attributes say which values are valid."""
    return any(key in attrs for key in _RANGES)
