"""Arguments for Julia: numbers of schemes, and data in the precision of the states."""

import numpy as np
import pytest
import torch
from problems import random_points

from pyvda.climate.library import Library
from pyvda.engine import CostSettings
from pyvda.engine.julia.arguments import (
    function_arguments,
    library_arguments,
    point_arguments,
    scheme_number,
    step_arguments,
    window_arguments,
)
from pyvda.errors import InputError
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels


def test_schemes_have_the_numbers_that_julia_knows() -> None:
    # julia/src/boundary/boundary.jl: 1 is Euler, 4 Runge-Kutta
    assert (scheme_number("euler"), scheme_number("rk4")) == (1, 4)
    with pytest.raises(InputError, match="no scheme 'rk2'; choose one of euler, rk4"):
        scheme_number("rk2")
    assert step_arguments(CostSettings(0.05, scheme="euler")) == {"scheme": 1, "h": 0.05}
    assert window_arguments(np.zeros((2, 5, 3))) == {"T": 5, "windows": 2}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_have_the_precision_of_the_states(dtype: type) -> None:
    points = random_points(3, count=2, steps=5, data=4)
    found = point_arguments(points, np.zeros((2, 5, 3), dtype))
    assert (found["count"], found["terms"]) == (4, points.operator.index.shape[-1])
    for name in ("fraction", "value", "weight"):
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], np.asarray(getattr(points, name), dtype))
    assert found["coefficient"].dtype == dtype
    assert found["step"].dtype == found["index"].dtype == np.int64
    np.testing.assert_array_equal(found["step"], points.step)


def test_no_data_are_null_pointers() -> None:
    found = point_arguments(None, np.zeros((2, 5, 3)))
    assert (found.pop("count"), found.pop("terms")) == (0, 1)
    assert len(found) == 6
    assert set(found.values()) == {None}
    none = function_arguments(None, random_points(3, count=2, steps=5, data=4))
    assert (none["channels"], none["channel_value"]) == (0, None)


def test_a_function_of_the_state_is_refused() -> None:
    data = np.ones((1, 2, 1))
    channels = Channels(data, data, FunctionOperator(lambda x: torch.sin(x[..., :1])))
    with pytest.raises(InputError, match="choose the engine torch"):
        point_arguments(channels, np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match="choose the engine torch"):
        function_arguments(None, channels)


def test_a_library_with_its_signs_as_numbers() -> None:
    found = library_arguments(Library(np.zeros((4, 30, 3)), 5, np.array([-1, -1, 1])))
    assert (found["trajectories"], found["length"], found["lead"]) == (4, 30, 5)
    assert found["signs"].dtype == float
