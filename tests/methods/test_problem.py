"""Problems count their data and number their windows; options refuse what they do not know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import random_points, twin_problem
from pydantic import ValidationError

from pyvda.methods.problem import Options, Positive, Problem, Seed
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 3, steps=10, engine="torch")


def test_all_kinds_of_data_are_counted(problem) -> None:
    mask = np.zeros((3, 10, 3))
    mask[0, 2, 1] = mask[0, 3, 0] = 0.5
    batch = replace(problem.batch, mask=mask)
    of_grid = replace(problem, batch=batch)
    assert of_grid.data().tolist() == [2, 0, 0]
    assert of_grid.has_observations().tolist() == [True, False, False]
    assert of_grid.points(slice(None)) is None
    points = random_points(3, count=3, steps=10)
    points = replace(points, weight=np.array([[1.0] * 6, [0.0] * 6, [0, 0, 2.0, 0, 0, 0]]))
    both = replace(problem, batch=replace(batch, points=points))
    assert both.data().tolist() == [8, 0, 1]
    chosen = both.points(np.array([2, 0]))
    np.testing.assert_array_equal(chosen.value, np.asarray(points.value)[[2, 0]])
    weight = np.zeros((3, 10, 1))
    weight[1, :4] = 1
    channels = Channels(0 * weight, weight, FunctionOperator(lambda x: torch.sin(x[..., :1])))
    functions = replace(problem, batch=replace(batch, channels=channels))
    assert functions.data().tolist() == [2, 4, 0]
    assert isinstance(functions.points(slice(None)), Channels)


def test_windows_have_numbers(problem) -> None:
    np.testing.assert_array_equal(problem.window_numbers(), [0, 1, 2])
    np.testing.assert_array_equal(
        replace(problem, numbers=np.array([7, 5, 6])).window_numbers(), [7, 5, 6]
    )


def test_options_are_checked() -> None:
    class Own(Options):
        scale: Positive = 1.0
        seed: Seed = 0

    assert Own(scale=1e-30, seed=2**63 - 1).seed == 2**63 - 1
    for wrong in ({"scale": 0.0}, {"scale": np.inf}, {"seed": -1}, {"seed": 2**63}, {"scael": 1.0}):
        with pytest.raises(ValidationError):
            Own(**wrong)
    with pytest.raises(ValidationError):
        Own().scale = 2.0


def test_three_states_are_likely(problem) -> None:
    states = Options().likely_states(problem.model, problem.engine)
    assert states.shape == (3, 3)
    assert len(np.unique(states, axis=0)) == 3
