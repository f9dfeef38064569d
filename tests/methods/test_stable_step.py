"""The default step of FSGD follows the model's own curvature."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import drawn_problem, sine, twin_problem

import pyvda
from pyvda.methods import Status
from pyvda.methods.fsgd import FSGDOptions, solve
from pyvda.methods.stable_step import stable_steps
from pyvda.models.model import Model
from pyvda.models.registry import get_model


def stiff(rate: float) -> Model:
    """Return Van der Pol's oscillator beside a variable that relaxes at `rate`."""

    def tendency(s: torch.Tensor) -> torch.Tensor:
        x, y, z = s.unbind(-1)
        return torch.stack((y, 3 * (1 - x**2) * y - x, rate * (x - z)), -1)

    return pyvda.torch_model(
        tendency, variables=("x", "y", "z"), time_step=0.05, spinup=10.0, spread=0.5
    )


@pytest.mark.parametrize("slope", [5.0, 40.0])
def test_a_steep_step_descends(slope: float) -> None:
    problem = drawn_problem(sine(slope), 4, 40, engine="torch")
    found = solve(problem, FSGDOptions(iterations=500))
    cost = found.history["cost"]
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (cost[1:] <= 1.001 * cost[:-1]).all()
    assert cost[-1] < 0.5 * cost[0]


def test_a_stiff_tendency_descends() -> None:
    problem = drawn_problem(stiff(100.0), 3, 30, engine="torch")
    found = solve(problem, FSGDOptions(iterations=60))
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (np.diff(found.history["cost"]) <= 0).all()


@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_the_models_of_the_paper_keep_their_step(name: str) -> None:
    problem = twin_problem(name, 4, engine="torch")
    n = (problem.batch.observation.shape[1] - 1) * problem.model.state_size
    np.testing.assert_array_equal(stable_steps(problem), 0.15 * n)


def test_a_window_whose_cost_has_risen_far_has_diverged() -> None:
    problem = drawn_problem(sine(5.0), 4, 40, engine="torch")
    steps = {"stable": float(stable_steps(problem).min()), "unstable": 2.0 * 39}
    found = {
        name: solve(problem, FSGDOptions(iterations=20, step=step)) for name, step in steps.items()
    }
    assert (found["stable"].status == Status.ITERATION_LIMIT).all()
    assert np.isfinite(found["unstable"].x).all()
    assert (found["unstable"].status == Status.DIVERGED).all()


def test_a_perfect_first_guess_has_not_diverged() -> None:
    problem = drawn_problem(get_model("lorenz63"), 2, 20, engine="torch")
    truth = np.asarray(problem.batch.truth)
    batch = replace(problem.batch, observation=truth * (np.asarray(problem.batch.mask) > 0),
                    first_guess=truth)  # fmt: skip
    found = solve(replace(problem, batch=batch), FSGDOptions(iterations=50))
    assert (found.status == Status.ITERATION_LIMIT).all()
