"""A built-in model before its parameters and sizes are chosen, as a file of the zoo defines it.

The functions of such a file are those that `pyvda.torch_model` takes from a user: x first, then the
parameters and sizes by name.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pyvda.errors import InputError
from pyvda.models.model import (
    JuliaSource,
    Kind,
    Model,
    Start,
    TorchSource,
    chosen,
    number,
    whole,
)
from pyvda.models.symmetry import Symmetry
from pyvda.state.space import StateSpace


@dataclass(frozen=True)
class TrainableForm:
    """Equations that contain those of the model, with weights to be learned from data.

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        The weights, in the order in which their random start is drawn.
    tendency, tangent_linear, adjoint : callable
        (x, **weights), (x, dx, **weights) and (x, dy, **weights).
    true : callable
        The model's parameters, by position, to the weights that make the form this model.
    """

    shapes: Mapping[str, tuple[int, ...]]
    tendency: Callable[..., Any]
    tangent_linear: Callable[..., Any]
    adjoint: Callable[..., Any]
    true: Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Family:
    """A model of the zoo.

    Attributes
    ----------
    name, summary : str
        `summary` is a line for lists of models: what it is and its source.
    julia : str
        Name of the struct in `julia/src/models/zoo/`; "" for a model in torch alone.
    parameters : mapping of str to float
        Names and defaults, in the order of the struct's fields, before the sizes.
    sizes : mapping of str to (int, int)
        Names of integer fields, each with its default and its least value.
    state_space : callable
        (**sizes) to the StateSpace.
    time_step : float
        Model time units.
    function : callable
        (x, **parameters and sizes) to dx/dt, or for the kind "step" to the next state.
    tangent_linear, adjoint : callable, optional
        (x, dx, ...) to M(x) dx and (x, dy, ...) to M(x)ᵀ dy.
    start : callable, optional
        (**parameters and sizes) to the `Start` of runs to the attractor.
    spinup : float, optional
        Model time units from the start to the attractor.
    interval : float, optional
        Model time units between two states of a sample from the attractor.
    least_parameters : mapping of str to float
        Exclusive lower bounds, where the equations have some.
    nonzero : tuple of str
        Parameters that the equations divide by.
    scaled : callable, optional
        (**sizes) to the defaults, by name, of parameters that depend on the sizes.
    check : callable, optional
        (**parameters and sizes); raises InputError where the model's steps would be unstable.
    default : bool
        Whether this model is the default.
    aliases : tuple of str
        Further names under which the model is found; files record `name`.
    """

    name: str
    summary: str
    julia: str
    parameters: Mapping[str, float]
    state_space: Callable[..., StateSpace]
    time_step: float
    function: Callable[..., Any]
    tangent_linear: Callable[..., Any] | None = None
    adjoint: Callable[..., Any] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    kind: Kind = "tendency"
    start: Callable[..., Start] | None = None
    spinup: float | None = None
    interval: float | None = None
    symmetries: tuple[Symmetry, ...] = ()
    trainable: TrainableForm | None = None
    least_parameters: Mapping[str, float] = field(default_factory=dict)
    nonzero: tuple[str, ...] = ()
    scaled: Callable[..., Mapping[str, float]] | None = None
    check: Callable[..., None] | None = None
    default: bool = False
    aliases: tuple[str, ...] = ()

    def model(self, **given: Any) -> Model:
        """Return the model with some parameters and sizes changed.

        Raises
        ------
        InputError
            For a name that the model does not have, or a value that it cannot have.
        """
        chosen("parameter", given, {**self.parameters, **self.sizes}, self.name)
        sizes = {
            name: whole(f"the size {name} of {self.name}", given.get(name, default), least)
            for name, (default, least) in self.sizes.items()
        }
        space = self.state_space(**sizes)
        scaled = {} if self.scaled is None else self.scaled(**sizes)
        parameters = {
            name: number(f"the parameter {name} of {self.name}", given.get(name, default))
            for name, default in {**self.parameters, **scaled}.items()
        }
        for name, least in self.least_parameters.items():
            if not parameters[name] > least:
                raise InputError(
                    f"the parameter {name} of {self.name} is {parameters[name]}, expected more "
                    f"than {least}"
                )
        for name in self.nonzero:
            if parameters[name] == 0:
                raise InputError(
                    f"the parameter {name} of {self.name} is 0, expected another value"
                )
        fields = parameters | sizes
        if self.check is not None:
            self.check(**fields)
        return Model(
            self.name,
            space.size,
            tuple(parameters.values()),
            self.time_step,
            tuple(parameters),
            tuple(fields.items()),
            space,
            self.kind,
            JuliaSource("", "", self.julia) if self.julia else None,
            self._torch(),
            None if self.start is None else self.start(**fields),
            self.spinup,
            self.symmetries,
            self.interval,
        )

    def _torch(self) -> TorchSource:
        named = tuple(inspect.signature(self.function).parameters)[1:]
        digest = _digest(inspect.getsourcefile(self.function) or "")
        return TorchSource(self.function, named, self.tangent_linear, self.adjoint, digest)


@cache
def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
