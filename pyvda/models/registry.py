"""Built-in models and presets by name, found by looking into the folder of the zoo.

Other packages add models by an entry point of the group `pyvda.models`, whose object is a `Family`,
a `Model`, or a function of parameters that returns a `Model`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pyvda.added import loaded, names_with
from pyvda.errors import InputError
from pyvda.models import zoo
from pyvda.models.family import Family
from pyvda.models.from_file import from_file
from pyvda.models.model import Model, chosen, number
from pyvda.models.presets import Preset, Sampling
from pyvda.validation_errors import brief

GROUP = "pyvda.models"


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(zoo.__path__))
    return tuple(importlib.import_module(f"{zoo.__name__}.{name}") for name in names)


@cache
def families() -> dict[str, Family]:
    """Return the built-in models by name."""
    return {module.FAMILY.name: module.FAMILY for module in _modules()}


def recorded(name: Any) -> Any:
    """Return the name that files record of a built-in model; other names as they are.

    >>> recorded("lorenz63")
    'lorenz63'
    """
    return _recorded().get(name, name) if isinstance(name, str) else name


@cache
def _recorded() -> dict[str, str]:
    return {alias: family.name for family in families().values() for alias in family.aliases}


@cache
def presets() -> dict[str, Preset]:
    """Return the presets by name."""
    found: dict[str, Preset] = {}
    for module in _modules():
        found |= getattr(module, "PRESETS", {})
    return found


@cache
def samplings() -> dict[str, Sampling]:
    """Return the presets of observations along tracks by name."""
    found: dict[str, Sampling] = {}
    for module in _modules():
        found |= getattr(module, "SAMPLINGS", {})
    return found


def get_preset(name: str) -> Preset:
    """Return the preset called `name`."""
    if name in samplings():
        raise InputError(
            f"the preset {name} says how a truth is observed, with pyvda observe, and no more; "
            f"choose one of {', '.join(presets())}, or the model {samplings()[name].model}"
        )
    if name not in presets():
        known = ", ".join([*presets(), *samplings()])
        raise InputError(f"unknown preset {name!r}; choose one of {known}")
    return presets()[name]


def default_model() -> Model:
    """Return the default model."""
    (family,) = (family for family in families().values() if family.default)
    return family.model()


def get_model(name: str, **parameters: Any) -> Model:
    """Return the model called `name`, with some parameters and sizes changed.

    Parameters
    ----------
    name : str
        Name or alias of a built-in model, or of one that an installed package adds.
    **parameters : float or int

    Raises
    ------
    InputError
        For an unknown name, an unknown parameter, or a value that the model cannot have.

    Examples
    --------
    >>> get_model("lorenz63", rho=20.0).parameters[1]
    20.0
    """
    if isinstance(name, str) and recorded(name) in families():
        return families()[recorded(name)].model(**parameters)
    if isinstance(name, str) and (added := loaded(GROUP, name, "model")) is not None:
        return made(name, added.object, parameters)
    raise InputError(f"unknown model {name!r}; choose one of {', '.join(names())}")


def resolve(given: str | Model, parameters: Mapping[str, Any] | None = None) -> Model:
    """Return the model that a word of the command line or an argument means.

    Parameters
    ----------
    given : str or Model
        The name of a model; `models.py:name`, a model or a function that returns one in a Python
        file; `file.jl`, a model in Julia; or a model itself.
    parameters : mapping, optional
        Values by name, as numbers or as text, in place of the model's own.

    Raises
    ------
    InputError
        For an unknown model or parameter, or a file that cannot be used.
    """
    values = numeric(parameters or {})
    if isinstance(given, Model):
        return changed(given, values)
    if not isinstance(given, str):
        raise InputError(
            f"the model is {brief(given)}, expected a name, a file, or a model such as "
            "pyvda.torch_model returns"
        )
    if is_in_julia(given):
        made_in_julia: Model = importlib.import_module("pyvda.models.from_julia").julia_model(
            given, **values
        )
        return made_in_julia
    path, colon, name = given.rpartition(":")
    if colon and path.endswith(".py"):
        return from_file(path, name, values)
    if given.endswith(".py"):
        raise InputError(f"{given} may hold several models; name one, as in {given}:name")
    return get_model(given, **values)


def numeric(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name, those that are text as numbers."""
    return {name: _value(name, value) for name, value in given.items()}


def is_in_julia(given: str) -> bool:
    """Tell whether a word that names a model means a file in Julia."""
    return given.endswith(".jl")


def is_file(given: str) -> bool:
    """Tell whether a word that names a model means one in a file: rossler.jl, models.py:rossler."""
    return is_in_julia(given) or given.rpartition(":")[0].endswith(".py") or given.endswith(".py")


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
    except ValueError:
        raise InputError(f"the parameter {name} is {value!r}, expected a number") from None


def names() -> list[str]:
    """Return the names of all models that `get_model` knows."""
    return names_with(GROUP, families())


def get_family(name: str) -> Family:
    """Return the built-in model called `name`, its parameters and sizes still open."""
    if recorded(name) not in families():
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(families())}")
    return families()[recorded(name)]


def registered(
    name: str,
    state_size: int,
    parameters: tuple[float, ...],
    sizes: Mapping[str, int] | None = None,
) -> Model:
    """Return the registered model with parameters and sizes as stored in files.

    Parameters
    ----------
    name : str
    state_size : int
        Number of components of the state.
    parameters : tuple of float
    sizes : mapping, optional
        Integer fields by name, which files of earlier versions do not have.

    Raises
    ------
    InputError
        When there is no model of that name, or it has another number of parameters or another
        state size.
    """
    name = recorded(name)
    if name not in families():
        found = get_model(name)
        return found.with_parameters(parameters)
    family = families()[name]
    if len(parameters) != len(family.parameters):
        raise InputError(
            f"{name} has {len(family.parameters)} parameters "
            f"({', '.join(family.parameters)}), found {len(parameters)} values"
        )
    given: dict[str, Any] = dict(zip(family.parameters, parameters, strict=True))
    if "state_size" in family.sizes:
        given["state_size"] = state_size
    given |= sizes or {}
    found = family.model(**given)
    if found.state_size != state_size:
        raise InputError(
            f"{name} has a state of {found.state_size} components, found a state size of "
            f"{state_size}"
        )
    return found


def made(name: str, found: Any, parameters: dict[str, Any]) -> Model:
    """Return the model that an object of the user's or of a package is or makes.

    Parameters
    ----------
    name : str
        For messages.
    found : Family, Model, or a function that returns a Model
    parameters : dict
        Given to the function, or changed in the model.
    """
    if isinstance(found, Family):
        return found.model(**parameters)
    if not isinstance(found, Model) and callable(found):
        try:
            found = found(**parameters)
        except InputError:
            raise
        except Exception as error:
            message = (str(error).strip().splitlines() or [type(error).__name__])[0]
            with_them = f" with {parameters}" if parameters else ""
            raise InputError(f"{name} could not be made{with_them} ({message})") from error
        parameters = {}
    if not isinstance(found, Model):
        raise InputError(
            f"{name} is a {type(found).__name__}, expected a model such as pyvda.torch_model "
            "returns"
        )
    return changed(found, parameters)


def changed(model: Model, given: dict[str, Any]) -> Model:
    """Return `model` with some parameters changed; its sizes are fixed."""
    if not given:
        return model
    own = dict(zip(model.parameter_names, model.parameters, strict=True))
    chosen("parameter", given, own, model.name)
    numbers = {k: number(f"the parameter {k} of {model.name}", v) for k, v in given.items()}
    return model.with_parameters(tuple((own | numbers).values()))
