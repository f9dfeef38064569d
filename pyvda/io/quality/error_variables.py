"""The errors of observations: which variable of a file gives them, as standard deviations.

By CF's `ancillary_variables` and the standard_name modifier `standard_error`, with its
`standard_error_multiplier`, by the name (`sst_error`, `sst_uncertainty`, `sst_stdev`,
`sst_error_variance`), or as `observation_error`.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.units import factor, recognised, same, squared
from pyvda.io.quality.packing import without_invalid
from pyvda.io.writing.elementwise import elementwise
from pyvda.notices import notice

_DEVIATIONS = ("error", "uncertainty", "stdev", "std", "stddev", "standard_error",
               "standard_deviation", "standard_uncertainty", "total_uncertainty", "error_stdev",
               "error_std", "error_standard_deviation", "obserror", "sigma", "err", "errors",
               "stderr", "unc", "sd", "se")  # fmt: skip
_VARIANCES = ("error_variance", "variance", "var", "error_var")
_DENSITIES = ("sigma_t", "sigma_theta")  # of sea water, beside its temperatures t and theta
_MODIFIER, _MULTIPLIER = "standard_error", "standard_error_multiplier"
_DESCRIBED = re.compile(
    r"standard[ _](error|deviation|uncertainty)|uncertainty|"
    r"(random|total|measurement|observation|analysis|estimated|instrument)[ _]error", re.IGNORECASE,
)  # fmt: skip
# Names that say so without that of a variable before them, as a column of a table may have.
ALONE = (
    names.OBSERVATION_ERROR,
    *(name for name in (*_DEVIATIONS, *_VARIANCES) if name not in ("se", "var")),
)


def with_errors(ds: xr.Dataset, name: str, shared: bool = True) -> tuple[xr.Dataset, str | None]:
    """Return the variable with the standard deviations of the errors of `name`, None without one.

    Parameters
    ----------
    ds : Dataset
    name : str
        The observed variable.
    shared : bool
        Whether `observation_error` may be its errors.

    Returns
    -------
    Dataset
        `ds`, with standard deviations, in units of the observed values, in place of variances, of
        multiples of them and of other units. Values are not read.
    str or None

    Raises
    ------
    InputError
        When the errors have other dimensions, or units that cannot be converted; see
        `as_deviations`.
    """
    found = error_of(ds, name, shared)
    return (ds if found is None else as_deviations(ds, name, found)), found


def as_deviations(ds: xr.Dataset, name: str, found: str) -> xr.Dataset:
    """Return `ds` with standard deviations in the variable `found`, which has the errors of `name`.

    NaN where the file says that an error is missing or not valid.

    Raises
    ------
    InputError
        When both units are recognised and cannot be converted, or the multiplier of the errors is
        not a positive number.
    """
    ds = _without_invalid(ds, found)
    variance = _is_variance(found)
    units, theirs = (ds[one].attrs.get("units") for one in (name, found))
    scale = 1.0 if variance else 1 / _multiplier(ds[found])
    if units is not None and theirs is not None:
        wanted = squared(str(units)) if variance else str(units)
        if not same(str(theirs), wanted, differences=True):
            known = recognised(str(theirs)) and recognised(wanted)
            converted = factor(str(theirs), wanted, differences=True) if known else None
            if known and converted is None:
                raise InputError(
                    f"the errors {found!r} have the units {theirs!r}, expected {wanted!r}, as "
                    f"{name!r} has {units!r}; convert them, or correct their attribute units"
                )
            scale *= converted or 1.0
            if not known:
                notice(
                    f"the errors {found!r} have the units {theirs!r}, which cannot be compared "
                    f"with the expected {wanted!r}; they are used as they are"
                )
    if variance or scale != 1:
        made = partial(_deviations, variance=variance, scale=scale)
        deviation = elementwise(made, np.float64, ds.variables[found])
        ds = ds.assign({found: (ds[found].dims, deviation.data, {"units": units or "1"})})
    return ds


def _without_invalid(ds: xr.Dataset, found: str) -> xr.Dataset:
    """Return `ds` with NaN in place of errors that are missing, or not valid by the file itself."""
    given = ds.variables[found]
    if given.dtype.kind not in "fiu":
        return ds
    clean = without_invalid(given, found)
    return ds if clean._data is given._data else ds.assign({found: clean})


def _multiplier(array: xr.DataArray) -> float:
    """Return how many standard errors the values of a variable are."""
    given = array.attrs.get(_MULTIPLIER, 1.0)
    try:
        number = float(np.asarray(given).item())
    except (TypeError, ValueError):
        number = np.nan
    if not 0 < number < np.inf:
        raise InputError(
            f"the attribute {_MULTIPLIER} of {array.name!r} is {given!r}, expected a positive "
            "number; correct or remove it"
        )
    return number


def error_of(ds: xr.Dataset, name: str, shared: bool = True) -> str | None:
    """Return the variable that gives the errors of `name`, None without one; see `with_errors`."""
    related = str(ds[name].attrs.get("ancillary_variables", "")).split()
    there = [one for one in related if one in ds.variables and one != name]
    declared = [one for one in there if is_error(ds[one])]
    declared += [one for one in there if _sounds_like_error(one) and one not in declared]
    declared += [one for one in there if _is_described_as_error(ds[one]) and one not in declared]
    declared += _modified(ds, name)
    by_name = [one for one in _named_after(ds, name) if ds[one].dtype.kind in "fiu"]
    own = names.OBSERVATION_ERROR if shared and names.OBSERVATION_ERROR in ds.variables else name
    declared = _whole_first(ds, name, declared)
    found = next((one for one in (*declared, own, *by_name) if one != name), None)
    if found is not None and not set(ds[found].dims) <= set(ds[name].dims):
        raise InputError(
            f"the errors {found!r} have dimensions {ds[found].dims}, expected those of "
            f"{name!r}, {ds[name].dims}, or some of them"
        )
    return found


def _whole_first(ds: xr.Dataset, name: str, declared: list[str]) -> list[str]:
    """Return variables of errors with that of the total error first, where one says that it is.

    Where there are several and none is the total, a notice says which one is used.
    """
    several = list(dict.fromkeys(declared))
    whole = [
        one for one in several
        if "total" in f"{one} {ds[one].attrs.get('long_name', '')}".lower()
    ]  # fmt: skip
    if len(several) > 1 and not whole and not any(is_error(ds[one]) for one in several):
        notice(
            f"of the errors {', '.join(several)} of {name} only {several[0]} is used; name one "
            f"alone in the attribute ancillary_variables of {name}, or give the total error there"
        )
    return [*whole, *several]


def is_error(array: xr.DataArray) -> bool:
    """Tell whether a variable holds standard deviations of errors, by its standard_name."""
    return str(array.attrs.get("standard_name", "")).endswith(_MODIFIER)


def is_error_of_another(ds: xr.Dataset, name: str) -> bool:
    """Tell whether a variable gives the errors of another one of the file."""
    if is_error(ds[name]) or name == names.OBSERVATION_ERROR:
        return True
    return any(
        name in _named_after(ds, str(other))
        or (
            name in str(ds[other].attrs.get("ancillary_variables", "")).split()
            and _sounds_like_error(name)
        )
        for other in ds.data_vars
        if other != name
    )


def _modified(ds: xr.Dataset, name: str) -> list[str]:
    """Return the variables whose standard_name is that of `name` and the modifier of errors.

    None where another variable has the same standard_name: the errors may be of that one.
    """
    own = str(ds[name].attrs.get("standard_name", ""))
    alike = [one for one, v in ds.variables.items() if v.attrs.get("standard_name") == own]
    if not own or len(alike) > 1:
        return []
    wanted = [own, _MODIFIER]
    return [
        str(one) for one, v in ds.variables.items()
        if str(v.attrs.get("standard_name", "")).split() == wanted
    ]  # fmt: skip


def _is_described_as_error(array: xr.DataArray) -> bool:
    """Tell whether an ancillary variable holds standard deviations, by its long_name."""
    number = array.dtype.kind == "f" and not {"flag_values", "flag_masks"} & set(array.attrs)
    described = _DESCRIBED.search(str(array.attrs.get("long_name", "")))
    return number and described is not None


def _named_after(ds: xr.Dataset, name: str) -> list[str]:
    """Return the variables that are named as the errors of `name`, the likeliest first."""
    known = {str(one).lower(): str(one) for one in ds.variables}
    kinds = [one for one in (*_DEVIATIONS, *_VARIANCES) if one != "var"]
    wanted = [f"{name.lower()}_{one}" for one in (*_DEVIATIONS, *_VARIANCES)]
    wanted += [f"{one}_{name.lower()}" for one in kinds]  # sigma_sst
    return [known[one] for one in wanted if one in known and one not in _DENSITIES]


def _sounds_like_error(name: str) -> bool:
    lower = name.lower()
    return "uncertainty" in lower or any(
        lower == one or lower.endswith(f"_{one}") or lower.startswith(f"{one}_")
        for one in (*_DEVIATIONS, *_VARIANCES)
    )


def _is_variance(name: str) -> bool:
    lower = name.lower()
    return any(
        lower == one or lower.endswith(f"_{one}") or lower.startswith(f"{one}_")
        for one in _VARIANCES
    )


def _deviations(values: np.ndarray, *, variance: bool, scale: float) -> np.ndarray:
    """Return standard deviations; NaN, which is refused where something was observed, if < 0."""
    scaled = scale * np.where(values >= 0, values, np.nan).astype(np.float64)
    return np.sqrt(scaled) if variance else scaled
