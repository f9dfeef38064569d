"""The functions of a model in torch, tried on a few random states: values, shapes and derivatives.

What would give wrong numbers later is refused here, in a sentence that names the place in the
user's file; derivatives that are written by hand are compared with those of autograd.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyvda.errors import InputError
from pyvda.models import in_torch
from pyvda.models.model import Model, Start
from pyvda.models.verdict import Verdict, largest_difference

_STATES = 3  # on which the functions are tried
_COLUMNS = 256  # of a Jacobian that is compared entry by entry; more are sampled
_NUMBERS, _FEWEST_COLUMNS = 1 << 20, 8  # of the columns together, which are differentiated at once
_SAME = 1e-9  # relative, of two computations that differ in rounding only
_DIFFERENCE = 1e-5  # relative, of a derivative against central differences


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


class WrongShape(Exception):
    """Raised when a function of a field returns a wrong shape."""


def described(found: Any) -> str:
    """Return what a function returned, for a message."""
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    return f"a {type(found).__name__}"


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
    except WrongShape as error:
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
            f"{what} of {model.name} returns {described(found)} for states of shape "
            f"{tuple(x.shape)}; it must keep the shape"
        )
    if found.dtype != x.dtype:
        raise InputError(
            f"{what} of {model.name} returns {found.dtype} for states of {x.dtype}; compute in the "
            "precision of the states (make constants with dtype=x.dtype)"
        )
    if found.layout != x.layout or found.device != x.device:
        kinds = [f"{str(a.layout).removeprefix('torch.')} {a.device}" for a in (found, x)]
        raise InputError(
            f"{what} of {model.name} returns a {kinds[0]} tensor for states in a {kinds[1]} one; "
            "make it of the same kind (to_dense(), device=x.device)"
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
