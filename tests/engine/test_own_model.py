"""Users' models in torch: each method runs on them with the torch engine alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from problems import ROSSLER, drawn_problem, rossler, rossler_model
from torch import Tensor

import pyvda
from pyvda.errors import InputError
from pyvda.methods import METHODS, Problem, Status
from pyvda.settings import configured

METHOD_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("fsgd", {"iterations": 3000}),
    ("gauss-newton", {}),
    ("gauss-newton", {"form": "statistical", "every": 2}),
    ("annealed", {"restarts": 0, "hops": 0}),
    ("strong-constraint", {"members": 2000}),
    ("incremental", {"growth": 8, "iterations": 40, "members": 2}),
    ("posterior-mean", {"members": 8000, "draws": 64, "doubtful": 1}),
    ("ensemble-smoother", {"members": 20}),
    ("letkf", {"members": 20, "lag": 8, "rotation": True}),
]


def advection(x: Tensor) -> Tensor:
    """Return a wave that moves by 0.3 cells a step and loses a percent of its height."""
    return 0.99 * (0.7 * x + 0.3 * torch.roll(x, 1, -1)) + 0.02


@pytest.fixture(scope="module")
def own() -> Problem:
    return drawn_problem(rossler_model(), engine="torch")


@pytest.mark.parametrize(("name", "options"), METHOD_OPTIONS)
def test_every_method_runs_on_a_tendency(own: Problem, name: str, options: dict) -> None:
    method, checked = configured(name, options)
    found = method.solve(own, checked)
    truth = np.asarray(own.batch.truth)
    errors = ((found.x - truth) ** 2).mean((1, 2))
    guess = ((np.asarray(own.batch.first_guess) - truth) ** 2).mean((1, 2))
    assert (errors < 0.2 * guess).all()
    assert set(found.status) <= {Status.CONVERGED, Status.ITERATION_LIMIT, Status.DOUBTFUL}
    assert {each for each, _ in METHOD_OPTIONS} == set(METHODS) - {"learned"}


def test_parameters_of_a_tendency_are_estimated_by_autograd(own: Problem) -> None:
    long = drawn_problem(own.model, 8, 41, engine="torch")
    wrong = replace(long, model=own.model.with_parameters((0.22, 0.2, 5.7)))
    options = {"parameters": "shared", "members": 2000, "parameter_stdev": 0.2}
    method, checked = configured("strong-constraint", options)
    found = method.solve(wrong, checked).per_window
    off = np.abs(found["parameter_analysis"][0] - list(ROSSLER.values()))
    assert (off < 4 * found["parameter_stdev"][0]).all()
    assert found["parameter_stdev"][0, 0] < 0.02  # of 0.044 before the data


def test_estimating_parameters_of_a_model_without_any_is_refused(own: Problem) -> None:
    model = pyvda.torch_model(
        lambda x: rossler(x, **ROSSLER), variables=("x", "y", "z"), time_step=0.05
    )
    method, checked = configured("strong-constraint", {"parameters": True, "starts": "mean"})
    with pytest.raises(InputError, match="has no parameters to estimate"):
        method.solve(replace(own, model=model), checked)


def test_a_model_that_is_a_step(own: Problem) -> None:
    # Its climatology is one state: its covariance is no background.
    model = pyvda.torch_model(step=advection, variables=("u",), time_step=1.0, dimensions={"x": 8})
    engine = own.engine
    start = np.random.default_rng(0).standard_normal((2, 8))
    truth = engine.simulate(model, start, time_step=1.0, steps=12)
    expected = [start]
    for _ in range(11):
        expected.append(0.99 * (0.7 * expected[-1] + 0.3 * np.roll(expected[-1], 1, -1)) + 0.02)
    np.testing.assert_allclose(truth, np.stack(expected, 1), rtol=1e-14)
    batch = replace(own.batch[:2], observation=truth, mask=np.ones_like(truth), truth=truth,
                    first_guess=np.zeros_like(truth))  # fmt: skip
    problem = replace(own, model=model, batch=batch, cost=replace(own.cost, time_step=1.0))
    for name, options, off in (("gauss-newton", {}, 1e-6), ("fsgd", {"iterations": 2000}, 0.02)):
        method, checked = configured(name, options)
        np.testing.assert_allclose(method.solve(problem, checked).x, truth, atol=off)
    cut = {"form": "statistical", "substeps": 2, "background": "none"}
    method, checked = configured("gauss-newton", cut)
    with pytest.raises(InputError, match="cannot be cut into 2 substeps"):
        method.solve(problem, checked)
    with pytest.raises(InputError, match=r"step of 1, found a time step of 0\.5"):
        engine.forecast(model, start, time_step=0.5)
