"""Models of the user's own as functions of torch tensors.

`torch_model` takes the functions, tries them on a few random states and refuses what would give
wrong numbers later; what it returns is a `Model` like any other.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.models import in_torch
from pyvda.models.model import Model, Start, TorchSource, number, whole
from pyvda.models.verdict import Verdict, largest_difference, refuse_wrong
from pyvda.state.space import StateSpace, Variable

_STATES = 3  # on which the functions are tried
_COLUMNS = 256  # of a Jacobian that is compared entry by entry; more are sampled
_NUMBERS, _FEWEST_COLUMNS = 1 << 20, 8  # of the columns together, which are differentiated at once
_SAME = 1e-9  # relative, of two computations that differ in rounding only
_DIFFERENCE = 1e-5  # relative, of a derivative against central differences

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
    return {key: number(f"the parameter {key} of {name}", value) for key, value in given.items()}


def derivatives_verdict(model: Model) -> Verdict:
    """Try the functions of `model` and compare its derivatives with automatic differentiation.

    Raises
    ------
    InputError
        When the functions cannot be used at all.
    """
    module = in_torch.module_of(model)
    x = _some_states(model)
    value = _tried(model, module, x, "the function")
    _expect_usable(model, module, x, value)
    expected, columns = _jacobian(model, module, x)
    _expect_differentiable(model, module, x, expected, columns)
    found = {}
    if model.torch is not None and model.torch.tangent_linear is not None:
        found["tangent_linear"] = _by_columns(model, module, x, columns)
    if model.torch is not None and model.torch.adjoint is not None:
        found["adjoint"] = _by_rows(model, module, x, columns)
    names = model.state_space.component_names() if model.state_space else []
    worst = []
    for what, jacobian in found.items():
        rows = np.arange(model.state_size) if what == "tangent_linear" else columns
        reference = expected[:, rows]
        worst.append(largest_difference(what, jacobian, reference, rows, columns, names, _SAME))
    return Verdict(model.name, "automatic differentiation", tuple(worst))


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
            raise _WrongShape(_described(found), tuple(inner[0].shape))
        return found.reshape(arrays[0].shape)


class _WrongShape(Exception):
    """Raised when a function of a field returns a wrong shape."""


def _described(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    return f"a {type(found).__name__}"


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


def _some_states(model: Model) -> Tensor:
    start = model.start or Start()
    noise = np.random.default_rng(0).standard_normal((_STATES, model.state_size))
    return torch.from_numpy(np.asarray(start.mean) + (start.spread or 1.0) * noise)


def _tried(model: Model, f: Callable[..., Any], x: Tensor, what: str, *more: Tensor) -> Tensor:
    """Return f(x, *more); raise InputError for what the function raises or returns amiss."""
    try:
        with torch.no_grad():
            found = f(x.clone(), *(a.clone() for a in more))
    except InputError:
        raise
    except _WrongShape as error:
        found, expected = error.args
        raise InputError(
            f"{what} of {model.name} returns {found} for states of shape {expected}; it must keep "
            "the shape"
        ) from None
    except Exception as error:
        raise InputError(
            f"{what} of {model.name} fails on states of shape {tuple(x.shape)}: "
            f"{type(error).__name__}: {first_line(error)}{place(error)}"
        ) from error
    if not isinstance(found, Tensor) or found.shape != x.shape:
        raise InputError(
            f"{what} of {model.name} returns {_described(found)} for states of shape "
            f"{tuple(x.shape)}; it must keep the shape"
        )
    if found.dtype != x.dtype:
        raise InputError(
            f"{what} of {model.name} returns {found.dtype} for states of {x.dtype}; compute in the "
            "precision of the states (make constants with dtype=x.dtype)"
        )
    if not bool(found.isfinite().all()):
        raise InputError(
            f"{what} of {model.name} returns values that are not finite for states of about "
            f"{float(x.abs().max()):.3g}; give start (and spread) where it is finite, or correct it"
        )
    return found


def _expect_usable(model: Model, f: Callable[..., Any], x: Tensor, value: Tensor) -> None:
    """Refuse functions that change their argument, mix states, or depend on the batch's shape."""
    given = x.clone()
    try:
        with torch.no_grad():
            again = f(given)
    except Exception as error:
        raise InputError(
            f"the function of {model.name} fails when it is called again: {first_line(error)}"
        ) from error
    if not torch.equal(given, x):
        raise InputError(
            f"the function of {model.name} changes the states that it is given; work on a copy "
            "(x = x.clone())"
        )
    if not _close(again, value):
        raise InputError(
            f"the function of {model.name} returns different values when it is called again with "
            "the same states; it must not be random and must not keep a state"
        )
    what = "the function"
    single = torch.stack([_tried(model, f, one, what) for one in x])
    nested = _tried(model, f, torch.stack((x, x.flip(0))), what)
    if (
        not _close(single, value)
        or not _close(nested[0], value)
        or not _close(nested[1], value.flip(0))
    ):
        raise InputError(
            f"the function of {model.name} gives different results for a state alone and in a "
            "batch; the leading axes must be independent states, and the last the state"
        )


def _close(found: Tensor, expected: Tensor) -> bool:
    scale = float(expected.abs().max())
    return bool(((found - expected).abs() <= _SAME * max(scale, 1e-300)).all())


def _jacobian(model: Model, f: Callable[..., Any], x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of the Jacobians at the states x by forward differentiation.

    Returns
    -------
    (N, D, K), (K,)
        The columns, and which they are.
    """
    size = x.shape[-1]
    columns = np.arange(size)
    most = min(_COLUMNS, max(_FEWEST_COLUMNS, _NUMBERS // size))
    if size > most:
        columns = np.sort(np.random.default_rng(1).permutation(size)[:most])
    unit = _unit_vectors(x, columns)
    found = []
    for state in x:
        many = state.expand(len(columns), -1)
        try:
            tangent = _jvp(f, many, unit)
        except Exception as error:
            raise InputError(
                f"the function of {model.name} cannot be differentiated: {type(error).__name__}: "
                f"{first_line(error)}{place(error)}; compute with torch functions of the states"
            ) from error
        found.append(tangent.T.numpy())
    return np.stack(found), columns


@torch.enable_grad()  # a model may be made where gradients are off
def _jvp(f: Callable[..., Any], x: Tensor, dx: Tensor) -> Tensor:
    """Return M(x) dx by reverse differentiation twice, which every torch function has."""
    at = x.clone().requires_grad_()
    value = f(at)
    if not value.requires_grad:
        raise InputError("the result does not depend on the states")
    v = torch.zeros_like(value, requires_grad=True)
    (pulled,) = torch.autograd.grad(value, at, v, create_graph=True)
    (tangent,) = torch.autograd.grad(pulled, v, dx)
    return tangent.detach()


def _expect_differentiable(
    model: Model, f: Callable[..., Any], x: Tensor, jacobian: np.ndarray, columns: np.ndarray
) -> None:
    """Refuse a function through which differentiation loses something (detach, numpy)."""
    h = 1e-5 * max(float(x.std()), 1e-3)
    dx = torch.from_numpy(np.random.default_rng(2).standard_normal(len(columns)))
    direction = torch.zeros(x.shape[-1], dtype=x.dtype)
    direction[torch.from_numpy(columns)] = dx
    with torch.no_grad():
        difference = ((f(x + h * direction) - f(x - h * direction)) / (2 * h)).numpy()
    by_autograd = jacobian @ dx.numpy()
    scale = max(float(np.abs(difference).max()), float(np.abs(by_autograd).max()), 1e-300)
    # Rounding of the values shows in their differences, magnified by 1/h.
    with torch.no_grad():
        rounding = 1e-15 * float(f(x).abs().max()) / h
    error = np.abs(difference - by_autograd)
    if not float(error.max()) <= _DIFFERENCE * scale + rounding:
        row = int(np.unravel_index(error.argmax(), error.shape)[1])
        raise InputError(
            f"automatic differentiation of {model.name} is not the derivative of its function "
            f"(component {row + 1} along a random direction: {by_autograd.flat[error.argmax()]:.6g}"
            f", by differences {difference.flat[error.argmax()]:.6g}); do not detach tensors or "
            "convert them to numbers, or give a function without a jump"
        )


def _by_columns(model: Model, module: Any, x: Tensor, columns: np.ndarray) -> np.ndarray:
    unit = _unit_vectors(x, columns)
    return np.stack([
        _tried(
            model, module.tangent_linear, state.expand_as(unit).clone(), "tangent_linear", unit
        ).T.numpy()
        for state in x
    ])  # fmt: skip


def _by_rows(model: Model, module: Any, x: Tensor, chosen: np.ndarray) -> np.ndarray:
    unit = _unit_vectors(x, chosen)
    return np.stack([
        _tried(model, module.adjoint, state.expand_as(unit).clone(), "adjoint", unit).numpy()
        for state in x
    ])[:, :, chosen]  # fmt: skip


def _unit_vectors(x: Tensor, chosen: np.ndarray) -> Tensor:
    found = torch.zeros(len(chosen), x.shape[-1], dtype=x.dtype)
    found[torch.arange(len(chosen)), torch.from_numpy(chosen)] = 1.0
    return found


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def place(error: BaseException) -> str:
    """Return where in the user's files an exception was raised, as " (models.py, line 7)"."""
    own = str(Path(__file__).parents[1])
    library = str(Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((own, library))
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
