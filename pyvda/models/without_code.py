"""A model of the user's own as a checkpoint knows it: variables, sizes and parameters, no code.

A checkpoint never runs code that its folder names. A learned prior needs none; whatever else runs
the model asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pyvda.errors import InputError
from pyvda.models.model import Model


@dataclass(frozen=True)
class WithoutCode:
    """Stands in for the function of a model whose code was not named.

    Attributes
    ----------
    name : str
        The model's.
    given : str
        How the model was named in the training.
    parameters : sequence of (str, float)
        Those of the training.
    """

    name: str
    given: str
    parameters: Sequence[tuple[str, float]] = ()

    def __call__(self, *states: Any, **fields: Any) -> NoReturn:
        """Raise the InputError that names the remedy."""
        values = "".join(f" --parameter {name}={value:g}" for name, value in self.parameters)
        raise InputError(
            f"this needs the model {self.name} itself, and the checkpoint holds its description "
            f"but no code; name it with model (--model {self.given or 'FILE'}{values})"
        )


def has_code(model: Model) -> bool:
    """Tell whether `model` can be run."""
    return model.torch is None or not isinstance(model.torch.function, WithoutCode)


def expect_code(model: Model) -> None:
    """Refuse a model that cannot be run.

    Raises
    ------
    InputError
        Only its description is known.
    """
    if model.torch is not None and isinstance(model.torch.function, WithoutCode):
        model.torch.function()
