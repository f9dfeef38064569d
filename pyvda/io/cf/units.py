"""Compare units as different writers spell them: "m/s", "m s-1" and "m s^-1" are the same."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

_PREFIXES = {
    "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6,
    "n": 1e-9, "p": 1e-12, "tera": 1e12, "giga": 1e9, "mega": 1e6, "kilo": 1e3, "hecto": 1e2,
    "deci": 1e-1, "centi": 1e-2, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9,
}  # fmt: skip
_ALONE: dict[str, tuple[float, dict[str, int]]] = {  # without prefixes
    "degC": (1, {"degC": 1}), "degF": (1, {"degF": 1}), "degree": (1, {"degree": 1}),
    "rad": (1, {"rad": 1}), "sr": (1, {"sr": 1}), "month": (1, {"month": 1}),
    "%": (1e-2, {}), "ppm": (1e-6, {}), "ppb": (1e-9, {}), "dimensionless": (1, {}),
    "min": (60, {"s": 1}), "h": (3600, {"s": 1}), "d": (86400, {"s": 1}),
}  # fmt: skip
_WITH_PREFIXES: dict[str, tuple[float, dict[str, int]]] = {
    "m": (1, {"m": 1}), "g": (1e-3, {"kg": 1}), "s": (1, {"s": 1}), "K": (1, {"K": 1}),
    "mol": (1, {"mol": 1}), "A": (1, {"A": 1}), "L": (1e-3, {"m": 3}),
    "l": (1e-3, {"m": 3}),
    "N": (1, {"kg": 1, "m": 1, "s": -2}), "Pa": (1, {"kg": 1, "m": -1, "s": -2}),
    "J": (1, {"kg": 1, "m": 2, "s": -2}), "W": (1, {"kg": 1, "m": 2, "s": -3}),
    "V": (1, {"kg": 1, "m": 2, "s": -3, "A": -1}), "Hz": (1, {"s": -1}),
    "bar": (1e5, {"kg": 1, "m": -1, "s": -2}),
}  # fmt: skip
_NAMES = {
    "kelvin": "K", "degk": "K", "celsius": "degC", "degc": "degC", "fahrenheit": "degF",
    "degf": "degF", "deg": "degree", "degree": "degree", "°": "degree", "radian": "rad",
    "steradian": "sr", "percent": "%", "unitless": "dimensionless", "none": "dimensionless",
    "fraction": "dimensionless", "meter": "m", "metre": "m", "gram": "g", "gramme": "g",
    "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h", "day": "d",
    "mole": "mol", "ampere": "A", "liter": "L", "litre": "L", "newton": "N",
    "pascal": "Pa", "pa": "Pa", "hpa": "hPa", "mb": "hPa", "joule": "J", "watt": "W", "volt": "V",
    "hertz": "Hz", "hz": "Hz", "micron": "um",
}  # fmt: skip
_LARGEST_POWER = 12
_DEGREES = re.compile(
    r"(?:deg(?:ree)?s?|°)[ _]?(celsius|c|kelvin|k|fahrenheit|f)(?![a-z])", re.IGNORECASE
)
_OF_EARTH = re.compile(r"deg(?:ree)?s?_?(?:north|south|east|west|true|[nsewt])", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_POWER = re.compile(r"(.*?[^\d+\-^*.])(?:\*\*|\^)?([+-]?\d{1,3})|(10)(?:\*\*|\^)?([+-]?\d{1,3})")
_SEPARATOR = re.compile(r"\s+|(?<=[a-zA-Z])\.(?=[a-zA-Z])|(?<=[\w%°])\*(?=[a-zA-Z])")


@dataclass(frozen=True)
class _Units:
    """Units as a number times powers of base units and of words that are not known."""

    number: float
    powers: dict[str, int]
    known: bool


def same(one: str, other: str, *, differences: bool = False) -> bool:
    """Tell whether two units are the same, as far as their spelling is known.

    Words that are not known are compared without case and plural.

    Parameters
    ----------
    differences : bool
        Whether the values are differences, such as errors: K and °C are then the same.

    Examples
    --------
    >>> same("m/s", "m s-1"), same("m2 s-2", "(m s-1)2"), same("K", "degC")
    (True, True, False)
    >>> same("psu", "PSU"), same("1e-3", "0.001"), same("mm/day", "mm d-1")
    (True, True, True)
    """
    found = factor(one, other, differences=differences)
    return found is not None and math.isclose(found, 1.0, rel_tol=1e-6)


def factor(one: str, other: str, *, differences: bool = False) -> float | None:
    """Return the number of units `other` that one unit `one` is; None where it is no number.

    Examples
    --------
    >>> factor("mm", "m"), factor("km2", "m2"), factor("m", "s")
    (0.001, 1000000.0, None)
    """
    first, second = _parsed(one), _parsed(other)
    powers = [first.powers, second.powers]
    if differences:
        powers = [{"K" if u == "degC" else u: p for u, p in found.items()} for found in powers]
    return first.number / second.number if powers[0] == powers[1] else None


def recognised(units: str) -> bool:
    """Tell whether every word of units is known, so that `same` decides.

    Examples
    --------
    >>> recognised("hPa"), recognised("psu"), recognised("kg/(m2 s)")
    (True, False, False)
    """
    return _parsed(units).known


def squared(units: str) -> str:
    """Return the units of a variance of values with these units."""
    return units if units == "1" else f"({units})2"


def _parsed(units: str) -> _Units:
    text = unicodedata.normalize("NFKC", units.replace("º", "°").replace("·", " "))
    text = text.replace("\N{GREEK SMALL LETTER MU}", "u").replace("\N{MINUS SIGN}", "-").strip()
    unknown = _Units(1.0, {text.lower(): 1}, False)
    if whole := re.fullmatch(r"\((.*)\)\s*(?:\*\*|\^)?\s*(\d{1,3})", text):
        inner, power = _parsed(whole[1]), int(whole[2])
        if power > _LARGEST_POWER or not 1e-24 <= inner.number <= 1e24:
            return unknown
        powers = {base: power * p for base, p in inner.powers.items()}
        return _Units(inner.number**power, powers, inner.known)
    if text in ("", "-"):
        return _Units(1.0, {}, True)
    text = _DEGREES.sub(lambda found: f"deg{found[1][0].upper()}", text)
    text = re.sub(r"(?<=\s)per(?=\s)", "/", text)
    number, powers, known = 1.0, Counter[str](), True
    for position, part in enumerate(text.split("/")):
        sign = 1 if position == 0 else -1
        for factor in filter(None, _SEPARATOR.split(part)):
            bases: dict[str, int] = {}
            if _NUMBER.fullmatch(factor):
                base, power, scale = "", sign, float(factor)
            else:
                found = _POWER.fullmatch(factor)
                base, power = factor, sign
                if found:
                    base, power = found[1] or found[3], sign * int(found[2] or found[4])
                scale, bases, word = (10.0, {}, True) if base == "10" else _base(base)
                known = known and word
            if not 1e-12 <= scale <= 1e12 or abs(power) > _LARGEST_POWER:
                return unknown
            number *= scale**power
            for one, exponent in bases.items():
                powers[one] += power * exponent
    return _Units(number, {base: power for base, power in powers.items() if power}, known)


def _base(word: str) -> tuple[float, dict[str, int], bool]:
    """Return the number and the powers that a word without a power stands for.

    And whether it is known.
    """
    if _OF_EARTH.fullmatch(word):
        word = "degree"
    lower = word.lower()
    singular = lower.removesuffix("s") if len(lower) > 3 else lower
    for one in (word, lower, singular):
        for symbol in (one, _NAMES.get(one, one)):
            if symbol in _ALONE:
                return *_ALONE[symbol], True
            for prefix, scale in ({"": 1.0} | _PREFIXES).items():
                rest = symbol.removeprefix(prefix)
                if not symbol.startswith(prefix) or not rest:
                    continue
                whole = rest if len(prefix) < 2 else _NAMES.get(rest, "")
                if whole in _WITH_PREFIXES:
                    factor, powers = _WITH_PREFIXES[whole]
                    return scale * factor, powers, True
    return 1.0, {singular: 1}, False
