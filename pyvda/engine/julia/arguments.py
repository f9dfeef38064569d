"""Numbers and pointers that the entry points of Julia take for models, schemes, points, arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pyvda.engine.interface import Array, checked_points
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.points import Points

_MODEL_NUMBER = {"Lorenz63": 63, "Lorenz96": 96}  # of the struct
_SCHEME_NUMBER = {"euler": 1, "rk4": 4}

_I, _F, _P = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
POINTS = (_I, _P, _P, _P, _P, _P)
"""The arguments that `point_arguments` makes."""


def described(model: Model) -> tuple[int, Array, int]:
    """Return the model's number, its parameters and its state size."""
    if model.julia is None:
        raise InputError(f"{model.name} is not written in Julia; choose the engine torch")
    number = _number("model", model.julia.type_name, _MODEL_NUMBER)
    return number, np.array(model.parameters, dtype=float), model.state_size


def scheme_number(scheme: str) -> int:
    """Return the number that the boundary has for a scheme."""
    return _number("scheme", scheme, _SCHEME_NUMBER)


def _number(what: str, name: str, numbers: dict[str, int]) -> int:
    if name not in numbers:
        raise InputError(
            f"the Julia engine has no {what} {name!r}; choose one of {', '.join(numbers)}"
        )
    return numbers[name]


def point_arguments(points: Points | None, x: Array) -> tuple[Any, ...]:
    """Return `points` of the windows x (W, T, D) as C arguments, in the precision of x."""
    if points is None or not points.step.size:
        return (0, None, None, None, None, None)
    windows, steps, size = x.shape
    p = checked_points(points, windows, size, steps, x.dtype)
    arrays = (p.step, p.fraction, p.value, p.weight, p.operator)
    return (p.step.shape[1], *(pointer(np.asarray(array)) for array in arrays))


def pointer(array: Array) -> ctypes.c_void_p:
    """Return the array's address in a pointer that keeps the array alive as long as itself."""
    return array.ctypes.data_as(ctypes.c_void_p)
