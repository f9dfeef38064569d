"""Data that the file itself calls bad: outside of the valid range, or with a bad quality flag.

`screened` replaces them by NaN and records in a separate variable what was done to each value.
Values are computed block by block, when they are read.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.quality import quality_flags
from pyvda.io.quality.missing_codes import without_codes
from pyvda.io.quality.packing import (
    MISSING_ATTRIBUTES,
    Bounds,
    expect_usable_packing,
    unpacked,
    valid_bounds,
    without_missing,
    without_packing,
)
from pyvda.io.quality.quality_flags import GoodFlags, Rule
from pyvda.io.writing.elementwise import elementwise
from pyvda.notices import notice

REJECTED, INVALID = 1, 2


def screened(
    ds: xr.Dataset,
    observed: Sequence[str],
    good_flags: GoodFlags | None = None,
    *,
    unstated: bool = True,
) -> tuple[xr.Dataset, dict[str, xr.Variable]]:
    """Return `ds` with NaN in place of bad values of the observed variables.

    Parameters
    ----------
    ds : Dataset
        As it was opened, with the encoding of its variables.
    observed : sequence of str
    good_flags : optional
        See `quality_flags.rules`.
    unstated : bool
        Whether missing values that nothing states are looked for in variables in memory, see
        `missing_codes`.

    Returns
    -------
    Dataset
    dict of int8 variables
        For each observed variable that the file may call bad, with its dimensions: REJECTED where
        its quality flags rejected a value, INVALID where it lies outside of the valid range, else
        0. The attribute `comment` says by what.

    Raises
    ------
    InputError
        See `quality_flags.rules`; or `good_flags` is given and there are no flags; or a
        `scale_factor` or `add_offset` leaves no values.
    """
    ds = unpacked(_with_common_missing(ds, observed))
    if good_flags is not None and not any(quality_flags.has_flags(ds, n) for n in observed):
        known = names.REJECTED in ds.variables
        remedy = (
            "give it where the file is opened, open_observations(path, good_flags=...)"
            if known
            else "leave it out"
        )
        raise InputError(
            f"good_flags is given, but {', '.join(observed)} has no quality flags "
            f"{'any more' if known else '(a flag variable among its ancillary_variables)'}; "
            f"{remedy}"
        )
    codes: dict[str, xr.Variable] = {}
    changed: dict[Hashable, xr.Variable] = {}
    for name in observed:
        variable = ds.variables[name]
        if variable.dtype.kind not in "fiub":
            continue
        expect_usable_packing(variable, name)
        bounds = valid_bounds(variable, name)
        rules = quality_flags.rules(ds, name, good_flags)
        values = without_missing(variable)
        if bounds is not None or rules:
            flags = [ds.variables[rule.variable] for rule in rules]
            code = partial(_code, rules=rules, bounds=bounds)
            codes[name] = elementwise(code, np.int8, values, *flags)
            codes[name].attrs = {"comment": _comment(rules, bounds)}
            values = elementwise(_without_bad, np.float64, values, codes[name])
        if bounds is None and unstated:
            values = without_codes(values, name)
        changed[name] = values.copy(deep=False)
        changed[name].attrs = without_packing(variable.attrs, bounds)
        changed[name].encoding = variable.encoding
    return ds.assign(changed), codes


def _with_common_missing(ds: xr.Dataset, observed: Sequence[str]) -> xr.Dataset:
    """Return `ds` with the missing value that it states for all variables at those without one."""
    given = [ds.attrs[key] for key in MISSING_ATTRIBUTES if key in ds.attrs]
    numbers = [np.asarray(one) for one in given]
    numbers = [one for one in numbers if one.dtype.kind in "fiu" and one.size == 1]
    changed: dict[Hashable, xr.Variable] = {}
    for name in observed if numbers else ():
        variable = ds.variables[name]
        described = {**variable.encoding, **variable.attrs}
        stated = any(key in described for key in MISSING_ATTRIBUTES)
        if variable.dtype.kind != "f" or stated or "scale_factor" in described:
            continue
        stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
        changed[name] = variable.copy(deep=False)
        changed[name].attrs = {**variable.attrs, "missing_value": numbers[0].astype(stored).item()}
    return ds.assign(changed) if changed else ds


def without_bad(
    ds: xr.Dataset, observed: Sequence[str], good_flags: GoodFlags | None = None
) -> xr.Dataset:
    """Return `ds` with NaN in place of bad values of variables, which is said; see `screened`."""
    found, codes = screened(ds, observed, good_flags)
    rejected = sum(int((code == REJECTED).sum()) for code in codes.values())
    invalid = sum(int((code == INVALID).sum()) for code in codes.values())
    say(rejected, invalid, "; ".join(dict.fromkeys(c.attrs["comment"] for c in codes.values())))
    return found


def say(rejected: int, invalid: int, comment: str) -> None:
    """Give notice of how many observations the file calls bad; of none nothing is said."""
    count = rejected + invalid
    if not count:
        return
    parts = []
    if rejected:
        parts.append(f"{rejected} with a flag that is not good")
    if invalid:
        parts.append(f"{invalid} outside of the valid range")
    choice = "; good_flags (--good-flags) chooses other flags" if rejected else ""
    notice(
        f"{count} observation{' is' if count == 1 else 's are'} not used: {' and '.join(parts)}"
        f"{f' ({comment})' if comment else ''}{choice}"
    )


def _comment(rules: Sequence[Rule], bounds: Bounds | None) -> str:
    parts = [f"good flags of {rule.variable}: {rule.said}" for rule in rules]
    if bounds is not None:
        parts.append(f"valid range: {bounds.low:g} to {bounds.high:g}")
    return "; ".join(parts)


def _code(
    values: np.ndarray, *flags: np.ndarray, rules: Sequence[Rule], bounds: Bounds | None
) -> np.ndarray:
    bad = np.zeros(values.shape, np.int8)
    if bounds is not None:
        bad[bounds.excluded(values)] = INVALID
    for rule, flag in zip(rules, flags, strict=True):
        bad[np.broadcast_to(rule.bad(flag), values.shape)] = REJECTED
    bad[np.isnan(values)] = 0
    return bad


def _without_bad(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.where(codes == 0, values.astype(np.float64, copy=False), np.nan)
