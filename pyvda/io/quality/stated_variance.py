"""The error variance that a file states for all its observations, in an attribute."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.validation_errors import array_of, brief


def stated_variance(ds: xr.Dataset) -> float | None:
    """Return the error variance that the attribute `observation_error_variance` gives, if any.

    Raises
    ------
    InputError
        It is not one finite number, or it is negative.
    """
    given = ds.attrs.get(names.OBSERVATION_ERROR_VARIANCE)
    if given is None:
        return None
    value = array_of(given)
    if value.dtype.kind in "fiu" and value.size == 1:
        variance = float(value.item())
        if np.isfinite(variance) and variance >= 0:
            return variance
    raise InputError(
        f"the attribute {names.OBSERVATION_ERROR_VARIANCE} is {brief(given)}, expected one number, "
        "the variance of the observation errors in the state's units squared; correct or remove it"
    )
