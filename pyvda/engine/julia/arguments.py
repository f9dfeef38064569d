"""C arguments of Julia's entry points: numbers of schemes, data, and pointers to arrays."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.engine.interface import Array, checked, checked_points
from pyvda.engine.julia.linearised_data import expect_julia
from pyvda.errors import InputError
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.engine.julia.observation_function import ObservationFunctions

_SCHEME_NUMBER = {"euler": 1, "rk4": 4}


def scheme_number(scheme: str) -> int:
    """Return the number of a scheme at the boundary."""
    if scheme not in _SCHEME_NUMBER:
        raise InputError(
            f"the Julia engine has no scheme {scheme!r}; choose one of {', '.join(_SCHEME_NUMBER)}"
        )
    return _SCHEME_NUMBER[scheme]


def point_arguments(points: Data | None, x: Array) -> tuple[Any, ...]:
    """Return `points` of the windows x (W, T, D) as C arguments, in the precision of x."""
    if isinstance(points, Channels):
        expect_julia(points)
        raise TypeError("functions of the state have entry points or linearisations of their own")
    if points is None or not points.step.size:
        return (0, 1, *(None,) * 6)
    windows, steps, size = x.shape
    p = checked_points(points, windows, size, steps, x.dtype)
    rows = p.operator
    arrays = (p.step, p.fraction, p.value, p.weight, rows.index, rows.coefficient)
    count, terms = rows.index.shape[1:]
    return (count, terms, *(pointer(np.asarray(array)) for array in arrays))


def function_arguments(functions: ObservationFunctions, data: Data | None) -> tuple[Any, ...]:
    """Return the data of a function of the state as C arguments; of other data, none."""
    if not isinstance(data, Channels):
        return (0, 0, None, None)
    operator = expect_julia(data)
    arrays = [checked("channels", np.asarray(a), np.shape(data.value), np.dtype(float))
              for a in (data.value, data.weight)]  # fmt: skip
    handle = functions.handle(operator.path, operator.text)
    return (handle, arrays[0].shape[-1], *(pointer(a) for a in arrays))


def pointer(array: Array) -> ctypes.c_void_p:
    """Return a pointer to the array's memory that keeps the array alive."""
    return array.ctypes.data_as(ctypes.c_void_p)


def pointer_or_null(array: Array | None) -> ctypes.c_void_p | None:
    """Return a pointer to the array's memory, or None (a null pointer) without an array."""
    return None if array is None else pointer(array)
