"""Which model made a file: the attributes that `pyvda simulate` and `pyvda observe` leave in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.models.registry import get_model, registered
from pyvda.validation_errors import brief

_MODEL, _PARAMETERS = "model", "parameters"


def attributes(model: Model) -> dict[str, Any]:
    """Return the attributes that say which model made a file."""
    return {_MODEL: model.name, _PARAMETERS: list(model.parameters)}


def find(ds: xr.Dataset) -> Model | None:
    """Return the model that made a file of pyvda's; None: the file does not say.

    Raises
    ------
    InputError
        The attributes name no model, or not as many numbers as it has parameters.
    """
    if _MODEL not in ds.attrs or _PARAMETERS not in ds.attrs:
        return None
    name = str(ds.attrs[_MODEL])
    try:
        parameters = tuple(float(value) for value in np.atleast_1d(ds.attrs[_PARAMETERS]))
        usual = get_model(name)
        try:
            return registered(name, ds.sizes.get(names.STATE) or usual.state_size, parameters)
        except InputError:  # of another size, which is said when the state is looked at
            return usual.with_parameters(parameters)
    except (TypeError, ValueError) as error:
        reason = error if isinstance(error, InputError) else "they are not numbers"
        raise InputError(
            f"the file's attributes model {brief(name)} and parameters "
            f"{brief(ds.attrs[_PARAMETERS])} cannot be used ({reason}); name the model "
            "(--model)"
        ) from None


def required(ds: xr.Dataset) -> Model:
    """Return the model that made a file, which must say so."""
    found = find(ds)
    if found is None:
        raise InputError(
            "no model was named, and the file does not say which one made it; give one with model "
            "(--model), or a learned one with checkpoint (--checkpoint)"
        )
    return found
