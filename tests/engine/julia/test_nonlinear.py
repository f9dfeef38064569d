"""Observations of a function in Julia: the Julia engine ends where the torch engine does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.data import GIVEN_UP, Shooting
from pyvda.methods import METHODS, Problem
from pyvda.models.registry import get_model
from pyvda.operators import FunctionOperator, JuliaFunction
from pyvda.operators.function import Channels
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia

WINDOWS, STEPS, VARIANCE = 3, 13, 0.01
FUNCTIONS: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "square": (
        "observe(x) = (x[1]^2 / 10, x[2])",
        lambda x: torch.stack((x[..., 0] ** 2 / 10, x[..., 1]), -1),
    ),
    "smooth abs": (
        "observe((x, y, z)) = (sqrt(1 + x^2), x * z / 10)",
        lambda x: torch.stack((torch.sqrt(1 + x[..., 0] ** 2), x[..., 0] * x[..., 2] / 10), -1),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    start = 3 * np.random.default_rng(0).standard_normal((WINDOWS, 3)) + [0.0, 0.0, 25.0]
    return get_engine("torch").simulate(
        get_model("lorenz63"), start, time_step=0.01, steps=STEPS, spinup=5.0
    )


@pytest.fixture(scope="module", params=FUNCTIONS)
def problems(request, truth: np.ndarray, tmp_path_factory) -> tuple[Problem, Problem]:
    """Return a problem with the function in Julia and its engine, and the same in torch."""
    text, function = FUNCTIONS[request.param]
    path = tmp_path_factory.mktemp("operator") / "observe.jl"
    path.write_text(text)
    in_julia = JuliaFunction(path)
    in_julia.check(3, 2)
    random = np.random.default_rng(1)
    weight = random.uniform(0.5, 2.0, (WINDOWS, STEPS, 2))
    weight[:, 1::3] = 0.0
    weight[:1, 3:6, 1] = 0.0
    value = function(torch.as_tensor(truth)).numpy()
    value += np.sqrt(VARIANCE) * random.standard_normal(weight.shape)
    none = np.zeros_like(truth)
    guess = truth + 0.1 * random.standard_normal(truth.shape)

    def of(operator: FunctionOperator, engine: str) -> Problem:
        channels = Channels(np.where(weight > 0, value, 0.0), weight, operator)
        batch = Batch(none, none, guess, channels=channels)
        settings = CostSettings(0.01, lambda1=1.0)
        return Problem(batch, get_model("lorenz63"), settings, get_engine(engine), VARIANCE)

    return of(in_julia, "julia"), of(FunctionOperator(function), "torch")


METHOD_OPTIONS = [
    ("fsgd", {"iterations": 30, "step": 0.5}),
    ("gauss-newton", {}),
    ("gauss-newton", {"form": "statistical", "model_error": 1e-3, "tolerance": 1e-10}),
    ("gauss-newton", {"form": "statistical", "model_error": 1e-3, "every": 4, "substeps": 2}),
    ("ensemble-smoother", {"members": 20}),
    ("ensemble-smoother", {"members": 20, "depth": 0, "lag": 3, "mixing": 0}),
    ("strong-constraint", {"starts": "first-guess", "growth": 4, "tolerance": 1e-16}),
    ("strong-constraint", {"starts": "first-guess", "parameters": True, "tolerance": 1e-16}),
    ("strong-constraint", {"starts": "first-guess", "model_error": 1e-3, "tolerance": 1e-10}),
]


@pytest.mark.parametrize(("method", "options"), METHOD_OPTIONS)
def test_both_engines_find_the_same(problems, method: str, options: dict) -> None:
    chosen = METHODS[method]
    julia, torch_ = (chosen.solve(given, chosen.options(**options)) for given in problems)
    assert np.isfinite(torch_.x).all()
    scale = np.abs(torch_.x).max()
    assert np.abs(julia.x - torch_.x).max() < 1e-8 * scale
    if torch_.stdev is not None:
        np.testing.assert_allclose(julia.stdev, torch_.stdev, rtol=1e-6)
    for name, values in torch_.per_window.items():
        np.testing.assert_allclose(julia.per_window[name], values, rtol=1e-6, err_msg=name)
    assert np.array_equal(julia.status, torch_.status)


@pytest.mark.parametrize("every", [1, 4])
def test_costs_and_gradients_are_those_of_torch(problems, truth: np.ndarray, every: int) -> None:
    none, x = np.zeros_like(truth), np.asarray(problems[0].batch.first_guess)
    b, inverse = truth[:, 0] + 0.1, 4 * np.eye(3)
    found: list[list[np.ndarray]] = []
    for given in problems:
        engine, data = given.engine, given.points(slice(None)).weighed(1 / VARIANCE)
        cost = engine.cost(given.model, given.cost, x, none, none, points=data)
        shooting = engine.shooting_objective(
            given.model, given.cost, x, none, none, b, inverse, weight=1e3, every=every,
            points=data,
        )  # fmt: skip
        strong = engine.strong_objective(
            given.model, given.cost, x[:, 0], none, none, b[0], inverse, lead=3, points=data
        )
        found.append([cost.observation, cost.dynamics, cost.gradient, *shooting, *strong])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


def test_the_cost_is_lowered_from_far_away(problems, truth: np.ndarray) -> None:
    """Full Gauss-Newton steps overshoot here: the step control is needed."""
    given = problems[0]
    engine, none = given.engine, np.zeros_like(truth)
    data = given.points(slice(None))
    far = truth + 8 * np.random.default_rng(7).standard_normal(truth.shape)
    prior = (truth[:, 0], np.eye(3))
    shooting = Shooting((1e3,), iterations=200, tolerance=1e-8)

    def J(x: np.ndarray) -> np.ndarray:
        return engine.shooting_objective(
            given.model, given.cost, x, none, none, *prior, weight=1e3,
            points=data.weighed(1 / VARIANCE),
        )  # fmt: skip

    found = engine.weak_constraint(
        given.model, given.cost, shooting, far, none, none, np.full(WINDOWS, VARIANCE), *prior,
        points=data,
    )  # fmt: skip
    (before, slope), (after, at_minimum) = J(far), J(found.x)
    np.testing.assert_allclose(found.cost, after, rtol=1e-10)
    assert (after < before).all()
    assert (found.status == 0).all()
    norm = np.sqrt((at_minimum**2).sum((1, 2)) / (slope**2).sum((1, 2)))
    assert norm.max() <= 1e-8


def test_a_function_that_is_not_finite_is_a_diverged_window(
    problems, truth: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "observe.jl"
    path.write_text("observe(x) = (x[3] > 1e6 ? x[1] / 0 : x[1]^2, x[2])\n")
    given = problems[0]
    channels = replace(given.batch.channels, operator=JuliaFunction(path))
    guess = np.array(given.batch.first_guess)
    guess[1] = 1e7
    given = replace(given, batch=replace(given.batch, first_guess=guess, channels=channels))
    chosen = METHODS["gauss-newton"]
    found = chosen.solve(given, chosen.options())
    assert found.status[1] == 3
    assert (found.status[[0, 2]] != 3).all()


def test_annealing_leads_both_engines_to_the_truth(problems, truth: np.ndarray) -> None:
    chosen = METHODS["annealed"]
    options = chosen.options(restarts=1, hops=1)
    julia, torch_ = (chosen.solve(given, options) for given in problems)
    for found in (julia, torch_):
        assert (found.status == 0).all()
        error = (found.x - truth) / found.stdev
        assert np.sqrt((error**2).mean()) < 2
    # Either ends where a step lowers the cost by less than 0.01.
    np.testing.assert_allclose(julia.per_window["objective"], torch_.per_window["objective"],
                               atol=0.05)  # fmt: skip
    assert np.abs((julia.x - torch_.x) / torch_.stdev).max() < 0.3


def test_stages_end_like_those_of_torch(problems) -> None:
    """Windows are given up after the second stage, by their cost."""
    none = np.zeros_like(problems[0].batch.observation)
    far = np.asarray(problems[0].batch.first_guess) + 3.0
    found = []
    for given in problems:
        data = given.points(slice(None))

        def run(limit: np.ndarray, given: Problem = given, data: Channels = data):
            shooting = Shooting((1.0, 10.0, 100.0), 2, iterations=30, tolerance=1e-12,
                                give_up_stage=2, give_up_cost=limit)  # fmt: skip
            return given.engine.weak_constraint(
                given.model, given.cost, shooting, far, none, none, np.full(WINDOWS, VARIANCE),
                far[:, 0], np.eye(3), points=data,
            )  # fmt: skip

        cost = run(np.full(WINDOWS, np.inf)).cost
        limit = np.where(np.arange(WINDOWS) == 1, 1e-9, np.inf)
        found.append((cost, run(limit)))
    (julia_cost, julia), (torch_cost, torch_) = found
    np.testing.assert_allclose(julia_cost, torch_cost, rtol=1e-6)
    assert np.array_equal(julia.status == GIVEN_UP, [False, True, False])
    assert np.array_equal(torch_.status == GIVEN_UP, [False, True, False])


@pytest.mark.parametrize("engine", ["julia", "torch"])
def test_a_file_of_observations(truth: np.ndarray, tmp_path: Path, engine: str) -> None:
    text, function = FUNCTIONS["smooth abs"]
    path = tmp_path / "observe.jl"
    path.write_text(text)
    value = function(torch.as_tensor(truth)).numpy()
    ds = xr.Dataset(
        {"radiance": (("window", "time", "band"), value, {"observation_error_variance": 0.01})},
        {"time": np.arange(STEPS) * 0.01},
    )
    found = pyvda.assimilate(
        ds, model="lorenz63", method="gauss-newton", engine=engine, variable="radiance",
        operator=JuliaFunction(path), form="statistical", model_error=1e-4,
        observation_variance=0.01,
    )  # fmt: skip
    innovation = np.asarray(found["channel_innovation"])
    assert np.sqrt((innovation**2).mean()) < 0.1
