"""Starts of strong-constraint 4D-Var: which states each choice gives."""

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem

from pyvda.climate.climatology import climatology
from pyvda.methods.minima import prior_of
from pyvda.methods.problem import Problem
from pyvda.methods.starts import starts
from pyvda.methods.strong_constraint_options import StrongConstraintOptions, setting_of

BLOCK = np.array([2, 0])


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 3, steps=30, engine="torch")


def controls(problem: Problem, **options: object) -> np.ndarray:
    if options["starts"] in ("library", "first-guess"):
        options["members"] = 4000
    checked = StrongConstraintOptions(**options)
    setting = setting_of(problem, checked)
    return starts(problem, checked, prior_of(problem, checked), setting)(BLOCK)


def test_the_mean_is_the_background_s(problem) -> None:
    found = controls(problem, starts="mean", background=(np.array([1.0, 2.0, 3.0]), np.eye(3)))
    np.testing.assert_array_equal(found, np.tile([1.0, 2.0, 3.0], (2, 1, 1)))


def test_climatological_states_are_drawn_once_for_all_windows(problem) -> None:
    found = controls(problem, starts="climatology", count=5)
    assert found.shape == (2, 5, 3)
    np.testing.assert_array_equal(found[0], found[1])
    known = {tuple(state) for state in climatology(problem.model, problem.engine).states}
    assert {tuple(state) for state in found[0]} <= known
    assert len(np.unique(found[0], axis=0)) == 5
    other = controls(problem, starts="climatology", count=5, seed=1)
    assert not np.array_equal(other, found)


def test_parameters_start_at_the_model_s(problem) -> None:
    found = controls(problem, starts="mean", parameters=True)
    np.testing.assert_array_equal(found[:, 0, 3:], np.tile(problem.model.parameters, (2, 1)))


@pytest.mark.parametrize("chosen", ["library", "first-guess"])
def test_a_library_s_trajectories_pass_near(problem, chosen: str) -> None:
    truth = np.asarray(problem.batch.truth)
    if chosen == "first-guess":
        problem = replace(problem, batch=replace(problem.batch, first_guess=truth), warm=True)
    x = controls(problem, starts=chosen)[:, 0]
    for _ in range(20):  # the background's lead
        x = problem.engine.forecast(problem.model, x, time_step=0.01)
    path = problem.engine.simulate(problem.model, x, time_step=0.01, steps=30)
    far = np.sqrt(np.trace(climatology(problem.model, problem.engine).covariance))
    distance = np.sqrt(((path - truth[BLOCK]) ** 2).sum(2).mean(1))
    assert (distance < (0.15 if chosen == "first-guess" else 0.4) * far).all()
