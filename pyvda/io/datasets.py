"""What functions that take a Dataset say of anything else."""

from __future__ import annotations

from typing import Any

import xarray as xr

from pyvda.errors import InputError


def expect_dataset(given: Any, what: str) -> xr.Dataset:
    """Return `given`, which must be a Dataset; `what` names it in the message.

    Raises
    ------
    InputError
        It is something else.
    """
    if not isinstance(given, xr.Dataset):
        hint = "its file can be opened with pyvda.open_observations"
        raise InputError(f"{what} is a {type(given).__name__}, expected an xarray Dataset; {hint}")
    return given
