"""Which model made a file: the attributes that `pyvda simulate` and `pyvda observe` leave in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.dimensions import STATE_NAMES
from pyvda.models.model import Model
from pyvda.models.registry import default_model, get_model, registered
from pyvda.models.registry import names as known_models
from pyvda.notices import notice
from pyvda.validation_errors import brief

_MODEL, _PARAMETERS, _SIZES = "model", "parameters", "model_sizes"


def attributes(model: Model) -> dict[str, Any]:
    """Return the attributes that say which model made a file."""
    found = {_MODEL: model.name, _PARAMETERS: list(model.parameters)}
    return found | ({_SIZES: json.dumps(model.sizes)} if model.sizes else {})


def find(ds: xr.Dataset) -> Model | None:
    """Return the model that made a file of pyvda's, None if the file does not state it.

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
        sizes = {str(n): int(v) for n, v in dict(json.loads(ds.attrs.get(_SIZES, "{}"))).items()}
        usual = get_model(name, **sizes)
        try:
            size = ds.sizes.get(names.STATE) or usual.state_size
            return registered(name, size, parameters, sizes)
        except InputError:  # of another size, which is said when the state is looked at
            return usual.with_parameters(parameters)
    except (OverflowError, TypeError, ValueError) as error:
        reason = error if isinstance(error, InputError) else "they are not numbers"
        raise InputError(
            f"the file's attributes model {brief(name)} and parameters "
            f"{brief(ds.attrs[_PARAMETERS])} cannot be used ({reason}); name the model "
            "(--model)"
        ) from None


def expect_model(analysis: xr.Dataset, use: str) -> None:
    """Refuse an analysis of a field, which was made without a model.

    Parameters
    ----------
    analysis : Dataset
    use : str
        What needs the model, as the message has it.

    Raises
    ------
    InputError
        The file says that no model made it.
    """
    try:
        made = json.loads(analysis.attrs["pyvda_configuration"])
        method = None if "model" in made else made["method"]
    except (KeyError, TypeError, ValueError):
        return
    if method is not None:
        raise InputError(
            f"the file is an analysis of a field by {method}, without a model, but {use}; give an "
            "analysis with a model (`pyvda crossvalidate` judges a method for fields)"
        )


def usable(ds: xr.Dataset) -> Model | None:
    """Return the model that `find` returns, or None where the attributes name no model.

    Attributes of these names may have another meaning in a file that pyvda did not make; `required`
    refuses them once no other model was named.
    """
    try:
        return find(ds)
    except InputError:
        return None


def compare(ds: xr.Dataset, model: Model, *, by_name: bool) -> None:
    """Compare a named model with the one that made a file of pyvda's, if both have one name.

    Parameters
    ----------
    ds : Dataset
    model : Model
    by_name : bool
        The model was given by its name alone, so that its parameters are defaults: a notice says
        that the file's are others.

    Raises
    ------
    InputError
        The sizes are others, which data at points would not show.
    """
    try:
        made = find(ds)
    except InputError:
        if str(ds.attrs[_MODEL]) == model.name and model.name in known_models():  # not of a file
            notice(
                f"the file says that {model.name} made it, but its attributes {_PARAMETERS} and "
                f"{_SIZES} cannot be used; they are not compared with those of the model given"
            )
        return
    if made is None or made.name != model.name:
        return
    if made.sizes != model.sizes:
        own, other = _listed(made.sizes), _listed(model.sizes)
        options = " ".join(f"--parameter {name}={value}" for name, value in made.sizes.items())
        raise InputError(
            f"the file was made by {made.name} with {own}, and the model has {other}; leave out "
            f"model (--model), or give it these sizes ({options})"
        )
    if by_name and made.parameters != model.parameters:
        values = zip(model.parameter_names, made.parameters, model.parameters, strict=True)
        unlike = {name: (own, used) for name, own, used in values if own != used}
        own = _listed({name: value for name, (value, _) in unlike.items()})
        used = _listed({name: value for name, (_, value) in unlike.items()})
        notice(
            f"the file was made by {made.name} with {own}; it is assimilated with {used}. Leave "
            "out model (--model) for the file's own"
        )


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in values.items())


def required(ds: xr.Dataset) -> Model:
    """Return the model that made a file: the one that it names, or the default one.

    The default model is taken only for a Dataset in pyvda's own layout, a variable `observation`
    over (time, state) or (window, time, state), whose state has the size of that model's.

    Raises
    ------
    InputError
        As `find`; or the file is neither.
    """
    found = find(ds)
    if found is None and _has_own_layout(ds, default_model().state_size):
        found = default_model()
    if found is None:
        raise InputError(
            "no model was named, and the file does not say which one made it; give one with model "
            "(--model), or a learned one with checkpoint (--checkpoint)"
        )
    return found


def _has_own_layout(ds: xr.Dataset, state_size: int) -> bool:
    if names.OBSERVATION not in ds:
        return False
    if ds.encoding.get("state_dimension", names.STATE).lower() not in STATE_NAMES:
        return False  # `conventions.normalise` took another dimension, such as levels, for it
    observation = ds[names.OBSERVATION]
    dims = set(observation.dims)
    return {names.TIME, names.STATE} <= dims <= set(names.DIMENSIONS) and observation.sizes[
        names.STATE
    ] == state_size
