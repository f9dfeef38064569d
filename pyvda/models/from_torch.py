"""Models of the user's own as functions of torch tensors.

`torch_model` takes the functions, tries them on a few random states and refuses what would give
wrong numbers later; what it returns is a `Model` like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.models.model import Model, Start, TorchSource, number, whole
from pyvda.models.torch_trial import WrongShape, derivatives_verdict, described
from pyvda.models.verdict import refuse_wrong
from pyvda.state.space import StateSpace, Variable

Along = int | Sequence[float] | np.ndarray
"""Number of points along a dimension, or their coordinates."""
Dimensions = Mapping[str, Along] | Mapping[str, Mapping[str, Along]]


def torch_model(
    tendency: Callable[..., Tensor] | None = None,
    *,
    step: Callable[..., Tensor] | None = None,
    variables: Sequence[str],
    time_step: float,
    dimensions: Dimensions | None = None,
    tangent_linear: Callable[..., Tensor] | None = None,
    adjoint: Callable[..., Tensor] | None = None,
    parameters: Mapping[str, float] | None = None,
    name: str | None = None,
    start: Sequence[float] | float | None = None,
    spread: float = 1.0,
    spinup: float | None = None,
) -> Model:
    """Return a model from functions of torch tensors.

    Parameters
    ----------
    tendency : callable or torch.nn.Module
        Maps states (..., D) to dx/dt, (..., D), in float64. The leading axes are independent
        states. Where the state is one variable with several dimensions, the function sees
        `(..., *dimensions)` in their order.
    step : callable or torch.nn.Module
        In place of `tendency`: maps states to those one `time_step` later.
    variables : sequence of str
        Names of the state's variables, in their order in the state.
    time_step : float
        The usual assimilation step, in the model's unit of time.
    dimensions : mapping, optional
        Length of each dimension by name, or the increasing coordinates of its points, shared by all
        variables; or, by the name of each variable, a mapping of that kind. Default: every variable
        is one number.
    tangent_linear, adjoint : callable, optional
        (x, dx) to M(x) dx and (x, dy) to M(x)ᵀ dy with M(x) the Jacobian at x, all (..., D).
        Default: automatic differentiation. A method of that name of a module is used, too.
    parameters : mapping of str to float, optional
        Values of parameters, which all functions take by keyword. These can be estimated.
    name : str, optional
        Default: the function's name.
    start : float or sequence of float, optional
        Mean of the normal random states that runs to the attractor start from. Default 0.
    spread : float
        Standard deviation of these states.
    spinup : float, optional
        Model time from there to the attractor.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        When a function fails, returns another shape or precision or values that are not finite,
        mixes the states of a batch, or has a derivative that is wrong.

    Examples
    --------
    >>> import torch
    >>> def oscillator(x, stiffness):
    ...     position, speed = x.unbind(-1)
    ...     return torch.stack((speed, -stiffness * position), -1)
    >>> model = torch_model(oscillator, variables=("position", "speed"), time_step=0.1,
    ...                     parameters={"stiffness": 2.0})
    >>> model.state_size, model.parameters
    (2, (2.0,))
    """
    if (tendency is None) == (step is None):
        raise InputError("a model is either a tendency or a step; give exactly one of the two")
    function = step if tendency is None else tendency
    if not callable(function):
        raise InputError(
            f"the {'step' if tendency is None else 'tendency'} is {function!r}, expected a "
            "function of states"
        )
    space = state_space(variables, dimensions)
    named = name_of(function) if name is None else str(name)
    values = parameter_values(named, parameters)
    for what, derivative in (("tangent_linear", tangent_linear), ("adjoint", adjoint)):
        if derivative is not None and not callable(derivative):
            raise InputError(f"{what} is {derivative!r}, expected a function")
    if isinstance(function, nn.Module):
        function = _frozen(function)
        tangent_linear = tangent_linear or getattr(function, "tangent_linear", None)
        adjoint = adjoint or getattr(function, "adjoint", None)
    functions = [function, tangent_linear, adjoint]
    if len(space.variables) == 1 and len(space.variables[0].shape) > 1:
        shape = space.variables[0].shape
        functions = [None if f is None else _OnGrid(f, shape) for f in functions]
    model = Model(
        name=named,
        state_size=space.size,
        parameters=tuple(values.values()),
        time_step=number(f"the time step of {named}", time_step),
        parameter_names=tuple(values),
        state_space=space,
        kind="step" if tendency is None else "tendency",
        torch=TorchSource(functions[0], tuple(values), functions[1], functions[2]),  # type: ignore[arg-type]
        start=_start(named, space.size, start, spread),
        spinup=None if spinup is None else _not_negative(f"the spin-up of {named}", spinup),
    )
    verdict = derivatives_verdict(model)
    refuse_wrong(verdict)
    return model


def state_space(variables: Sequence[str], dimensions: Dimensions | None) -> StateSpace:
    """Return the state space of variables with these dimensions."""
    names = (variables,) if isinstance(variables, str) else variables
    known = isinstance(names, Sequence) and all(isinstance(name, str) and name for name in names)
    if not known or not names:
        raise InputError(f"the variables are {variables!r}, expected names such as ('x', 'y')")
    lengths: Any = {} if dimensions is None else dimensions
    if not isinstance(lengths, Mapping) or not all(isinstance(name, str) for name in lengths):
        raise InputError(
            f"the dimensions are {dimensions!r}, expected lengths by name such as {{'x': 40}}"
        )
    if any(isinstance(value, Mapping) for value in lengths.values()):
        missing = [name for name in lengths if name not in names]
        if missing or not all(isinstance(value, Mapping) for value in lengths.values()):
            raise InputError(
                f"the dimensions are {dimensions!r}, expected either lengths by name or, for each "
                f"of {', '.join(names)}, a mapping of lengths by name"
            )
        of = {name: lengths.get(name, {}) for name in names}
    else:
        of = dict.fromkeys(names, lengths)
    known_points: dict[str, tuple[float, ...]] = {}
    for name, own in of.items():
        for dim, along in own.items():
            if _has_points(along):
                found = _coordinates(dim, along)
                if known_points.setdefault(dim, found) != found:
                    raise InputError(
                        f"the coordinates along {dim} of {name} are others than those of a variable"
                        " before it; give the dimension another name there, or the same coordinates"
                    )
    return StateSpace(
        tuple(
            Variable(
                name,
                tuple(of[name]),
                tuple(
                    len(along) if _has_points(along)
                    else whole(f"the length of {dim}", along, 1)
                    for dim, along in of[name].items()
                ),
            )
            for name in names
        ),
        coordinates=tuple(known_points.items()),
    )  # fmt: skip


def _has_points(along: Any) -> bool:
    """Tell whether a dimension is given by its points, not by their number."""
    return isinstance(along, list | tuple) or getattr(along, "ndim", 0) > 0


def _coordinates(dim: str, given: Any) -> tuple[float, ...]:
    """Return the coordinates of the points along a dimension."""
    try:
        found = np.asarray(given, float)
    except (TypeError, ValueError):
        found = np.array([np.nan])
    usable = found.ndim == 1 and found.size and np.isfinite(found).all()
    if not usable or (np.diff(found) <= 0).any():
        raise InputError(
            f"the coordinates along {dim} are not increasing numbers; give such ones (decreasing "
            "latitudes turned round, and the model's states with them), or the number of points"
        )
    return tuple(found.tolist())


def parameter_values(name: str, parameters: Any) -> dict[str, float]:
    """Return the parameters of the model `name` as floats."""
    given = {} if parameters is None else parameters
    if not isinstance(given, Mapping) or not all(
        isinstance(key, str) and key.isidentifier() for key in given
    ):
        raise InputError(
            f"the parameters of {name} are {parameters!r}, expected values by name such as "
            "{'a': 0.2}"
        )
    # Python normalises the names of arguments, and so must those that they are called with be.
    return {
        normalize("NFKC", key): number(f"the parameter {key} of {name}", value)
        for key, value in given.items()
    }


@dataclass(frozen=True)
class _OnGrid:
    """A function of (..., *shape) as one of (..., D)."""

    function: Callable[..., Tensor]
    shape: tuple[int, ...]

    def __call__(self, *arrays: Tensor, **fields: Any) -> Tensor:
        inner = [a.reshape(*a.shape[:-1], *self.shape) for a in arrays]
        more = (1,) * (len(self.shape) - 1)
        own = {
            key: v.reshape(*v.shape, *more) if isinstance(v, Tensor) and v.ndim else v
            for key, v in fields.items()
        }
        found = self.function(*inner, **own)
        if not isinstance(found, Tensor) or found.shape != inner[0].shape:
            raise WrongShape(described(found), tuple(inner[0].shape))
        return found.reshape(arrays[0].shape)


def name_of(function: Any) -> str:
    """Return the default name of a model made of `function`."""
    found = getattr(function, "__name__", type(function).__name__)
    return "model" if found == "<lambda>" else str(found)


def _frozen(module: nn.Module) -> nn.Module:
    """Return a copy in double precision that later training does not change."""
    copied = copy.deepcopy(module).double().eval()
    return copied.requires_grad_(False)


def _start(name: str, size: int, mean: Any, spread: Any) -> Start | None:
    deviation = _not_negative(f"the spread of {name}", spread)
    if mean is None:
        return None if deviation == 1.0 else Start((0.0,), deviation)
    if isinstance(mean, str | bytes | Mapping):
        raise InputError(f"the start of {name} is {mean!r}, expected numbers")
    values = list(mean) if isinstance(mean, Iterable) else [mean]
    if len(values) not in (1, size):
        raise InputError(
            f"the start of {name} has {len(values)} values, expected one for each of the {size} "
            "components, or one for all"
        )
    return Start(tuple(number(f"the start of {name}", v) for v in values), deviation)


def _not_negative(what: str, value: Any) -> float:
    found = number(what, value)
    if found < 0:
        raise InputError(f"{what} is {found}, expected at least 0")
    return found
