"""Variables that tell land from sea: which one a file has, and what its values mean.

Attributes decide (flags, then `standard_name`), else the name does; where it does, the observations
must not contradict it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.io.cf.units import same
from pyvda.io.quality.quality_flags import described_flags

_NAMES = ("mask", "land", "sea", "land_mask", "sea_mask", "landmask", "land_sea_mask",
          "sea_land_mask", "lsm", "tmask")  # fmt: skip
_OF_LAND = ("land_binary_mask", "land_area_fraction")
_OF_SEA = ("sea_binary_mask", "sea_area_fraction")
_BESIDE_LAND = {"land", "is", "on", "over", "mask", "area", "surface", "point", "pixel"}


def mask_of(ds: xr.Dataset, space: tuple[str, str]) -> str | None:
    """Return the variable that tells land by its meanings, standard_name or name, None without."""
    for name, variable in ds.variables.items():
        if set(variable.dims) != set(space):
            continue
        standard = str(variable.attrs.get("standard_name", ""))
        meanings = str(variable.attrs.get("flag_meanings", "")).lower().split()
        if "land" in meanings or _land_flags(ds[name]) or standard in (*_OF_LAND, *_OF_SEA):
            return str(name)
        if str(name).lower() in _NAMES:
            return str(name)
    return None


def is_sea(array: xr.DataArray, space: tuple[str, str], seen: Array | None = None) -> Array:
    """Return where a mask says sea, (Y, X).

    Parameters
    ----------
    array : DataArray
        Over both dimensions of space. What is missing is land; of fractions of land, a half and
        more is.
    space : pair of str
    seen : (Y, X) of bool, optional
        Where there are observations.

    Raises
    ------
    InputError
        It has other dimensions or no numbers, or its name says the opposite of what the
        observations do.
    """
    if set(array.dims) != set(space):
        raise InputError(
            f"the land mask {array.name!r} has the dimensions {array.dims}, expected {space}; "
            "choose another variable, or one time of it"
        )
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"the land mask {array.name!r} has values of type {array.dtype}, expected numbers; "
            "make it 1 at sea and 0 on land"
        )
    array = array.transpose(*space)
    values = np.asarray(array.values)
    known = ~np.isnan(values.astype(float))
    flags = _land_flags(array)
    if flags:
        whole = np.where(known, values, 0).astype(np.int64)
        land = np.zeros(values.shape, bool)
        for bits, value in flags:
            land |= (values == value) if bits is None else (whole & bits) == value
        return np.asarray(known & ~land)
    standard, name = str(array.attrs.get("standard_name", "")), str(array.name).lower()
    by_name = standard not in (*_OF_LAND, *_OF_SEA)
    of_land = standard in _OF_LAND or (
        by_name and (name == "lsm" or ("land" in name and not name.startswith("sea")))
    )
    half = 50.0 if same(str(array.attrs.get("units", "")), "%") else 0.5
    sea = np.asarray(known & ((np.abs(values.astype(float)) < half) if of_land else (values != 0)))
    if by_name and seen is not None and _inverted(sea, known & ~sea, seen):
        raise InputError(
            f"the land mask {array.name!r} was read as {'nonzero' if of_land else '0'} on land, "
            f"where {int((seen & ~sea).sum())} of {int(seen.sum())} points with observations lie; "
            "say what it means by the standard_name land_binary_mask (1 on land) or "
            "sea_binary_mask (1 at sea)"
        )
    return sea


def _inverted(sea: Array, land: Array, seen: Array) -> bool:
    """Tell whether most of the land has observations and most of the sea has none."""
    if not (sea.any() and land.any()):
        return False
    return bool(seen[land].mean() > 0.5 and seen[sea].mean() <= 0.5)


def _land_flags(array: xr.DataArray) -> list[tuple[int | None, object]]:
    """Return bits (None: all) and value of the flags of a variable that mean land."""
    found = []
    for bits, value, meaning in described_flags(array):
        words = set(meaning.lower().split("_"))
        if "land" in words and words <= _BESIDE_LAND:
            found.append((bits, value))
    return found
