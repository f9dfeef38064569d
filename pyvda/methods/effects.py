"""Options that would have no effect are refused: with the method's other options, or the problem.

An option that has its default value is never refused, so that the options of an analysis file,
which states all of them, can be given again.
"""

from __future__ import annotations

from typing import Any

from pyvda.errors import InputError
from pyvda.methods.problem import Options
from pyvda.models.model import Model
from pyvda.validation_errors import brief


def expect_effects(
    method: str, options: Options, model: Model, *, warm: bool = False, channels: bool = False
) -> None:
    """Check that every option that was given has an effect.

    Parameters
    ----------
    method : str
    options : Options
    model : Model
    warm : bool
        Whether the first guess is the analysis of a learned model.
    channels : bool
        Whether the observations are a function of the state.

    Raises
    ------
    InputError
        One of them has none.
    """
    reasons = options.without_effect(model, warm=warm, channels=channels)
    for name in type(options).model_fields:
        if name in reasons and was_given(options, name):
            value = brief(getattr(options, name))
            raise InputError(f"{name} is {value}, but with {method} {reasons[name]}")


def was_given(options: Options, name: str) -> bool:
    """Tell whether an option was given and is not its default."""
    if name not in options.model_fields_set:
        return False
    value: Any = getattr(options, name)
    default = type(options).model_fields[name].default
    # An array compares element by element, so it is never equal to a default.
    return type(value) is not type(default) or bool(value != default)
