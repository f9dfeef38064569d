"""Compare units as different writers spell them: "m/s", "m s-1" and "m s^-1" are the same."""

from __future__ import annotations

import re
from collections import Counter

_SPELLINGS = {
    "kelvin": "K", "kelvins": "K", "degk": "K", "degrees_kelvin": "K",
    "celsius": "degC", "degree_celsius": "degC", "degrees_celsius": "degC", "deg_c": "degC",
    "degc": "degC", "°c": "degC", "degree_c": "degC", "degrees_c": "degC",
    "meter": "m", "meters": "m", "metre": "m", "metres": "m",
    "second": "s", "seconds": "s", "sec": "s", "percent": "%",
    "pascal": "Pa", "pascals": "Pa", "pa": "Pa", "hpa": "hPa", "mbar": "hPa", "millibar": "hPa",
    "": "1", "dimensionless": "1", "none": "1", "unitless": "1", "-": "1",
}  # fmt: skip
_FACTOR = re.compile(r"(.*?[^\d+\-^*.])(?:\*\*|\^)?([+-]?\d+)")


def same(one: str, other: str, *, differences: bool = False) -> bool:
    """Tell whether two units are the same, as far as their spelling is known.

    Parameters
    ----------
    differences : bool
        Of differences of values, such as errors: K and degrees Celsius are then the same.

    Examples
    --------
    >>> same("m/s", "m s-1"), same("m2 s-2", "(m s-1)2"), same("K", "degC")
    (True, True, False)
    """
    first, second = _factors(one), _factors(other)
    if differences:
        first, second = ({"K" if u == "degC" else u: p for u, p in f.items()}
                         for f in (first, second))  # fmt: skip
    return first == second


def squared(units: str) -> str:
    """Return the units of a variance of values with these units."""
    return units if units == "1" else f"({units})2"


def _factors(units: str) -> dict[str, int]:
    """Return {base: power}."""
    text = units.strip()
    if whole := re.fullmatch(r"\((.*)\)\s*(?:\*\*|\^)?\s*(\d+)", text):
        return {base: power * int(whole[2]) for base, power in _factors(whole[1]).items()}
    powers: Counter[str] = Counter()
    for position, part in enumerate(text.split("/")):
        sign = 1 if position == 0 else -1
        for factor in re.split(r"\s+|(?<=[a-zA-Z])\.(?=[a-zA-Z])|(?<=\w)\*(?=[a-zA-Z])", part):
            if not factor.strip():
                continue
            found = _FACTOR.fullmatch(factor)
            base, power = (found[1], int(found[2])) if found else (factor, 1)
            powers[_SPELLINGS.get(base.lower(), base)] += sign * power
    return {base: power for base, power in powers.items() if power and base != "1"}
