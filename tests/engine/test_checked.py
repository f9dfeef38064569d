"""What every engine is given is checked once: shapes, precision, finite values."""

from dataclasses import replace

import numpy as np
import pytest
from problems import random_points

from pyvda.engine.checked import (
    checked,
    checked_points,
    checked_problem,
    estimated_parameters,
    moved,
    working_dtype,
)
from pyvda.errors import InputError
from pyvda.models.registry import get_model

MODEL = get_model("lorenz63")


def test_arrays_come_in_c_order_and_the_precision_asked_for() -> None:
    given = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = checked("x", given, (2, 3), np.dtype(float))
    assert found.flags.c_contiguous
    assert found.dtype == float
    np.testing.assert_array_equal(found, given)
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\), expected \(3, 2\)"):
        checked("x", given, (3, 2), np.dtype(float))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="y has NaN or infinite values; mask gaps"):
            checked("y", np.array([1.0, bad]), (2,), np.dtype(float))


def test_arrays_are_aligned_wherever_in_a_message_they_began() -> None:
    message = b"." + np.arange(6.0).tobytes()
    given = np.frombuffer(message, float, offset=1)
    assert not given.flags.aligned
    found = checked("x", given, (6,), np.dtype(float))
    assert found.flags.aligned
    np.testing.assert_array_equal(found, given)
    points = random_points(3, 2, 5)
    index = points.operator.index
    moved_index = np.frombuffer(b"." + index.tobytes(), index.dtype, offset=1).reshape(index.shape)
    points = replace(points, operator=replace(points.operator, index=moved_index))
    assert checked_points(points, 2, 3, 5, np.dtype(float)).operator.index.flags.aligned


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_states_decide_the_precision(dtype: type) -> None:
    x, y, mask = checked_problem(
        MODEL, np.ones((2, 4, 3), dtype), np.ones((2, 4, 3)), np.ones((2, 4, 3), bool)
    )
    expected = np.float32 if dtype == np.float32 else np.float64
    assert {a.dtype for a in (x, y, mask)} == {np.dtype(expected)}
    assert working_dtype(x) == expected


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((4, 3), r"x has shape \(4, 3\), expected \(window, time >= 2, state\)"),
        ((2, 1, 3), "time >= 2"),
        ((2, 4, 5), r"expected \(2, 4, 3\)"),
    ],
)
def test_windows_of_another_shape_are_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_problem(MODEL, np.ones(shape), np.ones(shape), np.ones(shape))


def test_points_lie_inside_their_windows() -> None:
    points = random_points(3, count=2, steps=5, data=4)
    found = checked_points(points, 2, 3, 5, np.dtype(np.float32))
    assert found.step.dtype == np.int64
    assert found.operator.coefficient.dtype == np.float32
    np.testing.assert_allclose(found.value, points.value, rtol=1e-6)
    step = np.asarray(points.step).copy()
    fraction = np.asarray(points.fraction).copy()
    for place, bad in ((step, 5), (step, -1), (fraction, 1.5), (fraction, -0.1)):
        kept, place[1, 1] = place[1, 1], bad
        with pytest.raises(ValueError, match="outside the 5 steps"):
            checked_points(replace(points, step=step, fraction=fraction), 2, 3, 5, np.dtype(float))
        place[1, 1] = kept
    with pytest.raises(ValueError, match="operator"):
        checked_points(points, 2, 4, 5, np.dtype(float))


def test_results_are_moved_only_where_an_engine_can_work() -> None:
    x, out = np.ones((2, 3)), np.zeros((2, 3))
    assert moved(x, out) is out
    np.testing.assert_array_equal(out, 1.0)
    assert moved(x, x) is x
    for bad in (np.zeros((3, 2)), np.zeros((2, 3), np.float32), np.zeros((3, 2)).T):
        with pytest.raises(ValueError, match="in C order"):
            moved(x, bad)


def test_a_control_has_no_parameters_or_all() -> None:
    assert estimated_parameters(MODEL, 3) == 0
    assert estimated_parameters(MODEL, 6) == 3
    with pytest.raises(InputError, match="the control has 5 components; lorenz63 has 3 state"):
        estimated_parameters(MODEL, 5)
