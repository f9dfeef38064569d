"""Linear advection: waves travel at the speed of the scheme, and energy is conserved."""

import numpy as np
import pytest
import torch
from problems import drawn_problem

from pyvda.engine import get_engine
from pyvda.methods.strong_constraint import StrongConstraintOptions, solve
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model
from pyvda.models.torch_trial import derivatives_verdict


def test_a_wave_turns_at_the_speed_of_central_differences() -> None:
    model = get_model("advection", speed=1.5, state_size=24)
    i, t = np.arange(24), 0.1 * np.arange(50)
    start = np.cos(2 * np.pi * 3 * i / 24)
    found = get_engine("torch").simulate(
        model, start[None], time_step=0.1, steps=50, rtol=1e-11, atol=1e-11
    )[0]
    angle = 2 * np.pi * 3 / 24
    expected = np.cos(angle * i - 1.5 * np.sin(angle) * t[:, None])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose((found**2).sum(1), (start**2).sum(), rtol=1e-9)


def test_the_operator_is_antisymmetric_and_its_derivatives_are_right() -> None:
    module = known("advection", state_size=7)
    matrix = module(torch.eye(7, dtype=torch.float64)).T
    torch.testing.assert_close(matrix, -matrix.T)
    assert derivatives_verdict(get_model("advection")).passed


def test_the_reference_score_of_four_dvar() -> None:
    """Twin windows, 70 % of the components seen at every fourth step; see the model's docstring."""
    model = get_model("advection")
    problem = drawn_problem(model, 8, 41, every=4, variance=0.04, engine="torch")
    found = solve(problem, StrongConstraintOptions())
    score = ((found.x - np.asarray(problem.batch.truth)) ** 2).mean()
    assert score == pytest.approx(0.005606, rel=0.05)
