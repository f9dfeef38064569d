"""The curvature of the dynamics against the singular values of a dense matrix."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import drawn_problem, sine, twin_problem

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.methods import Problem
from pyvda.methods.curvature import largest, of_climatology


def jacobians(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Return ∂Φ at states (T, D), (T, D, D), by columns."""
    unit = np.broadcast_to(np.eye(x.shape[-1]), (len(x), x.shape[-1], x.shape[-1]))
    states = np.ascontiguousarray(np.broadcast_to(x[:, None], unit.shape))
    found = problem.engine.tangent_linear(
        problem.model, states, np.ascontiguousarray(unit), time_step=problem.cost.time_step
    )
    return np.swapaxes(found, 1, 2)


def test_the_measured_curvature_is_the_largest_eigenvalue() -> None:
    problem = drawn_problem(sine(5.0), 3, 25, engine="torch")
    x = np.asarray(problem.batch.truth)
    found = largest(problem.engine, problem.model, problem.cost, x)
    for window, eigenvalue in zip(x, found, strict=True):
        steps, size = window.shape
        L = np.zeros((steps - 1, size, steps, size))
        for t, M in enumerate(jacobians(problem, window[:-1])):
            L[t, :, t + 1], L[t, :, t] = np.eye(size), -M
        L = L.reshape((steps - 1) * size, -1)
        assert eigenvalue == pytest.approx(np.linalg.norm(L, 2) ** 2, rel=0.02)


def test_a_first_guess_off_the_attractor_counts() -> None:
    """x³ is flat on its attractor and steep outside."""

    def tendency(x: torch.Tensor) -> torch.Tensor:
        return x - x**3

    model = pyvda.torch_model(tendency, variables=("x",), time_step=0.05)
    states = np.array([[[1.0], [1.0], [1.0]], [[8.0], [8.0], [8.0]]])
    found = largest(get_engine("torch"), model, CostSettings(0.05), states)
    assert found[0] < 4 < 20 < found[1]


def test_the_climatology_of_lorenz63_leaves_the_usual_step_stable() -> None:
    """0.15 n is stable where the eigenvalue is below 1/0.15."""
    assert 4 < of_climatology(twin_problem("lorenz63", 1, engine="torch")) < 5


def test_another_climatology_or_time_step_has_another_curvature() -> None:
    problem = twin_problem("lorenz63", 2, engine="torch")
    found = of_climatology(problem)
    assert of_climatology(replace(problem, batch=problem.batch[:1])) == found
    longer = replace(problem.cost, time_step=2 * problem.cost.time_step)
    assert of_climatology(replace(problem, cost=longer)) > 1.05 * found
    known = climatology(problem.model, problem.engine)
    steep = replace(problem.model, climatology=replace(known, states=3 * known.states))
    assert of_climatology(replace(problem, model=steep)) > 1.05 * found
