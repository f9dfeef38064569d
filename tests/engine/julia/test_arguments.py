"""C arguments for Julia: numbers of schemes, pointers, and data in the precision of the states."""

import ctypes

import numpy as np
import pytest
import torch
from problems import random_points

from pyvda.engine.julia.arguments import point_arguments, pointer, pointer_or_null, scheme_number
from pyvda.errors import InputError
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels


def test_schemes_have_the_numbers_that_julia_knows() -> None:
    # julia/src/boundary/boundary.jl: 1 is Euler, 4 Runge-Kutta
    assert (scheme_number("euler"), scheme_number("rk4")) == (1, 4)
    with pytest.raises(InputError, match="no scheme 'rk2'; choose one of euler, rk4"):
        scheme_number("rk2")


def test_a_pointer_keeps_its_array() -> None:
    found = pointer(np.arange(3.0) + 0.5)  # nothing else refers to it
    assert (
        np.ctypeslib.as_array(ctypes.cast(found, ctypes.POINTER(ctypes.c_double)), (3,))[2] == 2.5
    )
    assert pointer_or_null(None) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_have_the_precision_of_the_states(dtype: type) -> None:
    points = random_points(3, count=2, steps=5, data=4)
    count, terms, step, _, value, *_ = point_arguments(points, np.zeros((2, 5, 3), dtype))
    assert (count, terms) == (4, points.operator.index.shape[-1])
    real = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}[dtype]
    there = np.ctypeslib.as_array(ctypes.cast(value, ctypes.POINTER(real)), (2, 4))
    np.testing.assert_array_equal(there, np.asarray(points.value, dtype))
    steps = np.ctypeslib.as_array(ctypes.cast(step, ctypes.POINTER(ctypes.c_int64)), (2, 4))
    np.testing.assert_array_equal(steps, points.step)


def test_no_data_are_null_pointers() -> None:
    assert point_arguments(None, np.zeros((2, 5, 3))) == (0, 1, *6 * [None])


def test_a_function_of_the_state_is_refused() -> None:
    data = np.ones((1, 2, 1))
    channels = Channels(data, data, FunctionOperator(lambda x: torch.sin(x[..., :1])))
    with pytest.raises(InputError, match="choose the engine torch"):
        point_arguments(channels, np.zeros((1, 2, 3)))
