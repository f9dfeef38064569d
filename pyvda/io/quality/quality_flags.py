"""Find the variables of a file with quality flags for another one, and their good values.

A flag variable is found by CF's `ancillary_variables`, or by its name (`TEMP_QC`,
`sst_quality_level`, `qc`). Its good values are those whose CF `flag_meanings` say so, or those of a
scheme that has no such attributes: Argo's and OceanSITES' characters, GHRSST's quality levels, the
pre-processing flags of IODA.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.quality.packing import as_stored
from pyvda.notices import notice

GoodFlags = str | int | tuple[str | int, ...]
Bits = tuple[int, int, str]  # mask, value, meaning
ALL = "all"

_NAMES = ("qc", "flag", "flags", "quality", "quality_flag", "quality_flags", "quality_level",
          "status_flag", "qc_flag", "preqc", "qcflag")  # fmt: skip
_GOOD_WORDS = {"good", "ok", "okay", "nominal", "valid", "correct", "pass", "passed", "acceptable",
               "accepted", "best", "high", "reliable", "usable", "clean", "clear", "excellent",
               "optimal", "changed", "corrected", "adjusted", "interpolated",
               "estimated"}  # fmt: skip
_BAD_WORDS = {"bad", "not", "no", "non", "worst", "low", "poor", "wrong", "invalid", "incorrect",
              "fail", "failed", "suspect", "suspicious", "suspected", "questionable", "doubtful",
              "unreliable", "unusable", "missing", "rejected", "erroneous", "error", "correctable",
              "unacceptable", "too", "out"}  # fmt: skip
_NOTHING_WRONG = re.compile(
    r"(no|not|without|zero)_(\w*_)?(error|errors|problem|problems|issue|issues|flag|flags|flagged|"
    r"suspect|bad|anomaly|anomalies)(_(detected|found|known))?|unflagged|none"
)
_ARGO = ("1", "2", "5", "8")  # good, probably good, changed, interpolated
_LEAST_QUALITY_LEVEL = 4  # acceptable; 5 is best


@dataclass(frozen=True)
class Rule:
    """Which data a flag variable calls good.

    Attributes
    ----------
    variable : str
        The flag variable.
    good : tuple
        Its good values, as numbers or text.
    bits : tuple of (mask, value)
        Alternatively, what makes a datum bad, unless its flag is one of the good values:
        (flag & mask) == value.
    said : str
        The good values, for messages.
    fields : tuple of (mask, values)
        With `bits`, what is required of a good datum: (flag & mask) is one of the values.
    """

    variable: str
    good: tuple[Any, ...]
    bits: tuple[tuple[int, int], ...] | None
    said: str
    fields: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def bad(self, flags: np.ndarray) -> np.ndarray:
        """Return where the flag variable does not call a datum good."""
        if flags.dtype.kind in "OSUT":
            return ~np.isin(_as_text(flags), [str(value) for value in self.good])
        known = np.isfinite(flags)
        named = np.isin(flags, [float(value) for value in self.good if _is_number(value)])
        if self.bits is None:
            return np.asarray(~(known & named))
        integers = np.where(known, flags, 0).astype(np.int64)
        found = ~known
        for mask, value in self.bits:
            found |= (integers & mask) == value
        for mask, values in self.fields:
            found |= ~np.isin(integers & mask, values)
        return np.asarray(found & ~named)


def rules(ds: xr.Dataset, name: str, good_flags: GoodFlags | None = None) -> list[Rule]:
    """Return how the flags of `name` are read, one rule for each flag variable.

    Parameters
    ----------
    ds : Dataset
    name : str
        The observed variable.
    good_flags : int, str or tuple of them, optional
        The flags of data to use, by value or meaning, "0,1" or (0, 1) or "good"; "all" uses data
        whatever their flags. Default: those that the file calls good.

    Raises
    ------
    InputError
        When `good_flags` names no flag, or the flags have other dimensions.
    """
    declared, named = _flag_variables(ds, name)
    chosen = None if good_flags is None else _listed(good_flags)
    if chosen == [ALL]:
        return []
    found = []
    for flag in declared or named:
        rule = _given(ds[flag], chosen) if chosen is not None else _by_meaning(ds[flag])
        if rule is None and chosen is None:
            rule = _by_scheme(ds[flag])
        if rule is not None:
            found.append(rule)
        elif not _of_pyvda(ds[flag]):
            meanings = ", ".join(_meanings(ds[flag]))
            reason = f"none of their meanings ({meanings})" if meanings else "no flag_meanings"
            if any(map(means_good, _meanings(ds[flag]))):
                reason = f"no list of as many values as flag_meanings ({meanings})"
            notice(
                f"the flags {flag} of {name} are not used, because {reason} says which are good; "
                "good_flags (--good-flags) names them"
            )
    for rule in found:
        if not set(ds[rule.variable].dims) <= set(ds[name].dims):
            raise InputError(
                f"the flags {rule.variable!r} have dimensions {ds[rule.variable].dims}, expected "
                f"those of {name!r}, {ds[name].dims}, or some of them; use all data with "
                "good_flags='all' (--good-flags all)"
            )
    return found


def has_flags(ds: xr.Dataset, name: str) -> bool:
    """Tell whether the file has quality flags of a variable."""
    return any(_flag_variables(ds, name))


def is_flag(array: xr.DataArray) -> bool:
    """Tell whether a variable's attributes say that it holds flags."""
    standard_name = str(array.attrs.get("standard_name", ""))
    described = ("flag_meanings", "flag_values", "flag_masks")
    return standard_name.endswith(("status_flag", "quality_flag")) or any(
        key in array.attrs for key in described
    )


def is_named_as_flag(array: xr.DataArray) -> bool:
    """Tell whether a variable's attributes or its name say that it holds flags."""
    return is_flag(array) or str(array.name).lower().endswith(_NAMES)


def _flag_variables(ds: xr.Dataset, name: str) -> tuple[list[str], list[str]]:
    """Return the flag variables that `name` declares, and those that are named after it."""
    related = str(ds[name].attrs.get("ancillary_variables", "")).split()
    declared, named = [], []
    lower = name.lower()
    after = {f"{lower}_{one}" for one in _NAMES} | {f"{one}_{lower}" for one in _NAMES}
    for other in map(str, ds.variables):
        if other == name or not _may_hold_flags(ds[other]):
            continue
        theirs = other.lower()
        if other in related and (is_flag(ds[other]) or theirs.endswith(_NAMES)):
            declared.append(other)
        elif theirs in (*after, *_NAMES) and set(ds[other].dims) <= set(ds[name].dims):
            named.append(other)
    return declared, named


def _may_hold_flags(array: xr.DataArray) -> bool:
    if array.dtype.kind != "f":
        return array.dtype.kind in "iubOSUT"
    stored = np.dtype(array.encoding.get("dtype", array.dtype))
    return stored.kind in "iub" or is_flag(array)


def _given(array: xr.DataArray, chosen: list[str]) -> Rule | None:
    """Return the rule that a user's choice makes."""
    meanings, values = _meanings(array), _values(array)
    bits = None if _is_text(array) else _bits(array)
    if bits is not None:
        values = [value for _, value, _ in bits]
    by_meaning = dict(zip(meanings, values, strict=False))
    good = tuple(by_meaning.get(one, one) for one in chosen)
    unknown = [one for one in good if not _is_number(one) and not _is_text(array)]
    if not unknown and values and "flag_masks" not in array.attrs:
        known = {str(_number(value)) for value in values}
        unknown = [one for one in good if str(_number(one)) not in known]
    if unknown:
        has = ", ".join(
            f"{value} ({meaning})" for meaning, value in by_meaning.items()
        ) or ", ".join(map(str, values))
        known_flags = f"its flags are {has}" if has else "its flags are numbers"
        raise InputError(
            f"good_flags has {', '.join(map(str, unknown))}, which {array.name!r} does not have; "
            f"{known_flags}"
        )
    said = ", ".join(map(str, chosen))
    if bits is not None and any(one in meanings for one in chosen):
        return _of_chosen_bits(str(array.name), bits, chosen, said)
    return Rule(str(array.name), good, None, said)


def _of_chosen_bits(name: str, bits: list[Bits], chosen: list[str], said: str) -> Rule:
    """Return the rule of chosen meanings, and flags by value, where flags are bits.

    A bit of its own that is chosen makes no datum bad. Of bits that are a number together, the
    number must be one that is chosen. The other bits say what they say by default.
    """
    masks = [mask for mask, _, _ in bits]
    fields: dict[int, list[int]] = {}
    for mask, value, meaning in bits:
        if meaning in chosen and (value != mask or masks.count(mask) > 1):
            fields.setdefault(mask, []).append(value)
    rest = [one for one in bits if one[0] not in fields]
    default = _of_bits(name, rest, [text in chosen or means_good(text) for *_, text in rest])
    flags = tuple(_number(one) for one in chosen if one not in {text for *_, text in bits})
    required = tuple((mask, tuple(values)) for mask, values in fields.items())
    return Rule(name, flags, default.bits, said, required)


def _by_meaning(array: xr.DataArray) -> Rule | None:
    """Return the rule of CF's flag_meanings; None where none of them says good."""
    meanings, values, bits = _meanings(array), _values(array), _bits(array)
    good = [means_good(meaning) for meaning in meanings]
    if bits is not None:
        return _of_bits(str(array.name), bits, good)
    if not any(good) or len(values) != len(meanings):
        return None
    chosen = [(v, m) for v, m, one in zip(values, meanings, good, strict=True) if one]
    return Rule(str(array.name), tuple(v for v, _ in chosen), None, ", ".join(m for _, m in chosen))


def _of_bits(name: str, bits: list[Bits], good: list[bool]) -> Rule:
    """Return the rule of flags that are bits: each that is set and not called good is bad."""
    pairs = list(zip(bits, good, strict=True))
    graded = {mask for (mask, _, _), one in pairs if one}  # bits that together grade the quality
    bad = [(m, v, text) for (m, v, text), one in pairs if not one and (v != 0 or m in graded)]
    said = f"none of {', '.join(text for *_, text in bad)}"
    return Rule(name, (), tuple((mask, value) for mask, value, _ in bad), said)


def _by_scheme(array: xr.DataArray) -> Rule | None:
    """Return the rule of a scheme that is known by the variable's type or name."""
    name = str(array.name)
    described = f"{array.attrs.get('conventions', '')} {array.attrs.get('Conventions', '')}".lower()
    if _meanings(array):
        return None
    if _is_text(array):
        return Rule(name, _ARGO, None, ", ".join(_ARGO)) if _are_digits(array) else None
    if any(one in described for one in ("argo", "reference table 2", "oceans")):
        return Rule(name, _ARGO, None, ", ".join(_ARGO))
    if name.lower().endswith("quality_level"):
        return Rule(name, tuple(range(_LEAST_QUALITY_LEVEL, 6)), None, "4 and 5")
    if "preqc" in name.lower():
        return Rule(name, (0,), None, "0")
    return None


def _are_digits(array: xr.DataArray) -> bool:
    """Tell whether text flags are digits or empty; they are read."""
    flags = _as_text(np.asarray(array.values))
    return bool(np.isin(flags, [*"0123456789", "", "nan", "None"]).all())


def means_good(meaning: str) -> bool:
    """Tell whether a CF flag meaning calls a datum good.

    >>> [means_good(m) for m in ("good", "probably_good_data", "not_good", "no_errors")]
    [True, True, False, True]
    """
    text = meaning.lower()
    if _NOTHING_WRONG.fullmatch(text):
        return True
    words = set(re.split(r"[^a-z]+", text))
    return bool(words & _GOOD_WORDS) and not words & _BAD_WORDS


def _of_pyvda(array: xr.DataArray) -> bool:
    """Tell whether these are flags of an analysis, which say where its values come from."""
    from pyvda.names import Flag

    found = set(_meanings(array))
    return bool(found) and found <= {flag.name.lower() for flag in Flag}


def _enumerated(array: xr.DataArray) -> dict[str, int]:
    """Return meanings and values of flags that netCDF stores as an enumeration."""
    stored = np.dtype(array.encoding.get("dtype", "i1"))
    return dict((stored.metadata or {}).get("enum", {}))


def _meanings(array: xr.DataArray) -> list[str]:
    given = array.attrs.get("flag_meanings", [*_enumerated(array)])
    if isinstance(given, str):
        return given.replace(",", " ").split()
    return [str(one) for one in np.atleast_1d(given)]


def described_flags(array: xr.DataArray) -> list[tuple[int | None, Any, str]]:
    """Return bits, value and meaning of each flag that a variable describes; None: all bits.

    >>> kinds = {"flag_values": "0b, 1b", "flag_meanings": "sea land"}
    >>> described_flags(xr.DataArray([0, 1], attrs=kinds))
    [(None, 0, 'sea'), (None, 1, 'land')]
    """
    meanings, values = _meanings(array), _values(array)
    bits = _bits(array)
    if bits is not None:
        return [(mask, value, meaning) for mask, value, meaning in bits]
    if len(values) != len(meanings):
        return []
    return [(None, value, meaning) for value, meaning in zip(values, meanings, strict=True)]


def _values(array: xr.DataArray) -> list[Any]:
    known = [] if "flag_meanings" in array.attrs else [*_enumerated(array).values()]
    given = array.attrs.get("flag_values", known)
    if isinstance(given, str):
        given = [one.strip("bBsSlL") for one in given.replace(",", " ").split()]
        if len(given) == 1 and _is_text(array) and len(given[0]) == len(_meanings(array)):
            given = list(given[0])  # characters, which netCDF joins to one text
    return [_unsigned(_number(one), array) for one in np.atleast_1d(given).tolist()]


def _bits(array: xr.DataArray) -> list[Bits] | None:
    """Return mask, value and meaning of flags that are bits, None of others."""
    meanings, values, masks = _meanings(array), _values(array), _masks(array)
    if not masks or len(masks) != len(meanings):
        return None
    numbers = len(values) == len(masks) and all(_is_number(one) for one in values)
    values = [int(value) for value in values] if numbers else masks
    return list(zip(masks, values, meanings, strict=True))


def _masks(array: xr.DataArray) -> list[int]:
    given = array.attrs.get("flag_masks", [])
    if isinstance(given, str):
        given = [one.strip("bBsSlL") for one in given.replace(",", " ").split()]
    try:
        return [_unsigned(int(one), array) for one in np.atleast_1d(given).tolist()]
    except (TypeError, ValueError, OverflowError):
        return []


def _unsigned(value: Any, array: xr.DataArray) -> Any:
    """Return an integer of an attribute as the flags are read, where `_Unsigned` says how."""
    if not isinstance(value, int) or "_Unsigned" not in array.encoding:
        return value
    return int(as_stored(np.array(value), array.variable))


def _listed(good_flags: GoodFlags) -> list[str]:
    parts: Iterable[Any] = (
        good_flags.split(",") if isinstance(good_flags, str) else np.atleast_1d(good_flags).tolist()
    )
    listed = [str(part).strip() for part in parts]
    if not listed or not all(listed):
        raise InputError(f"good_flags is {good_flags!r}, expected flags separated by commas: 0,1")
    return listed


def _is_text(array: xr.DataArray) -> bool:
    return array.dtype.kind in "OSUT"


def _is_number(value: Hashable) -> bool:
    return isinstance(_number(value), int | float)


def _number(value: Any) -> Any:
    """Return a flag as an integer where it is one, else as a number or the text it is."""
    if isinstance(value, bytes):
        value = value.decode()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return int(number) if number.is_integer() else number


def _as_text(flags: np.ndarray) -> np.ndarray:
    if flags.dtype.kind == "S":
        return np.strings.strip(np.strings.decode(flags, "ascii", "replace"))
    if flags.dtype.kind == "O":
        texts = [one.decode() if isinstance(one, bytes) else str(one) for one in flags.flat]
        return np.array([text.strip() for text in texts]).reshape(flags.shape)
    return np.strings.strip(flags.astype("U"))
