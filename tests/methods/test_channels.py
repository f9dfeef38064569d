"""Observations that are a function of the state, in the methods of the torch engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.data import Shooting
from pyvda.errors import InputError
from pyvda.methods import METHODS, Problem
from pyvda.models.registry import get_model
from pyvda.operators.function import Channels, FunctionOperator
from pyvda.operators.points import Points
from pyvda.state.batch import Batch

WINDOWS, STEPS, VARIANCE = 3, 12, 0.01
ROWS = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]])


def linear(x: torch.Tensor) -> torch.Tensor:
    return x @ torch.as_tensor(ROWS, dtype=x.dtype).T


def nonlinear(x: torch.Tensor) -> torch.Tensor:
    return torch.stack((x[..., 0] * x[..., 2] / 10, torch.sqrt(1 + x[..., 1] ** 2)), -1)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    start = 3 * np.random.default_rng(0).standard_normal((WINDOWS, 3)) + [0.0, 0.0, 25.0]
    return get_engine("torch").simulate(
        get_model("lorenz63"), start, time_step=0.01, steps=STEPS, spinup=5.0
    )


def problem(truth: np.ndarray, function, engine: str = "torch") -> Problem:
    """Return windows with two channels at two steps of three, their errors of unequal size."""
    random = np.random.default_rng(1)
    x = torch.as_tensor(truth)
    weight = random.uniform(0.5, 2.0, (WINDOWS, STEPS, 2))
    weight[:, 1::3] = 0.0
    value = function(x).numpy() + np.sqrt(VARIANCE) * random.standard_normal(weight.shape)
    none = np.zeros_like(truth)
    channels = Channels(np.where(weight > 0, value, 0.0), weight, FunctionOperator(function))
    guess = truth + 0.1 * random.standard_normal(truth.shape)
    return Problem(
        Batch(none, none, guess, channels=channels), get_model("lorenz63"),
        CostSettings(0.01, lambda1=1.0), get_engine(engine), VARIANCE,
    )  # fmt: skip


def as_points(given: Problem) -> Problem:
    """Return the same data as linear point observations at the steps."""
    channels = given.batch.channels
    shape = (WINDOWS, STEPS * 2)
    step = np.broadcast_to(np.repeat(np.arange(STEPS), 2), shape)
    operator = np.broadcast_to(np.tile(ROWS, (STEPS, 1)), (*shape, 3))
    points = Points(
        step, np.zeros(shape), channels.value.reshape(shape), channels.weight.reshape(shape),
        operator,
    )  # fmt: skip
    return replace(given, batch=replace(given.batch, channels=None, points=points))


OPTIONS = {
    "fsgd": {"iterations": 30},
    "gauss-newton": {"form": "statistical", "model_error": 1e-3},
    "strong-constraint": {"starts": "first-guess"},
    "ensemble-smoother": {"members": 40},
}


@pytest.mark.parametrize("method", OPTIONS)
def test_a_linear_function_is_a_linear_operator(truth: np.ndarray, method: str) -> None:
    chosen = METHODS[method]
    options = dict(OPTIONS[method])
    if method == "fsgd":
        options["step"] = 0.5
    if method == "strong-constraint":  # a library supports points, not channels: starts differ
        options = {"starts": "climatology", "count": 2, "growth": 0, "iterations": 100}
    given = problem(truth, linear)
    found = chosen.solve(given, chosen.options(**options))
    expected = chosen.solve(as_points(given), chosen.options(**options))
    assert np.abs(found.x - expected.x).max() < 1e-9 * np.abs(expected.x).max()
    if expected.stdev is not None:
        assert np.abs(found.stdev / expected.stdev - 1).max() < 1e-7
    for name, values in expected.per_window.items():
        assert np.allclose(found.per_window[name], values, rtol=1e-8), name
    assert np.array_equal(found.status, expected.status)


@pytest.mark.parametrize("every", [1, 4])
def test_the_gradient_is_that_of_the_cost_and_vanishes_at_the_minimum(
    truth: np.ndarray, every: int
) -> None:
    given = problem(truth, nonlinear)
    engine, model = given.engine, given.model
    none = np.zeros_like(truth)
    points = given.points(slice(None))
    b, B_inverse = truth[:, 0] + 0.1, 4 * np.eye(3)
    shared = (b, B_inverse)
    heavier = points.weighed(1 / VARIANCE)

    def J(x: np.ndarray, *, gradient: bool = False):
        return engine.shooting_objective(
            model, given.cost, x, none, none, *shared, weight=1e3, every=every, points=heavier,
            gradient=gradient,
        )  # fmt: skip

    # The cost written out.
    x = np.asarray(given.batch.first_guess)
    said = nonlinear(torch.as_tensor(x)).numpy()
    if every == 1:
        forecast = engine.forecast(model, x[:, :-1], time_step=0.01)
        expected = (
            np.einsum("wi,ij,wj->w", x[:, 0] - b, B_inverse, x[:, 0] - b)
            + (heavier.weight * (said - heavier.value) ** 2).sum((1, 2))
            + 1e3 * ((x[:, 1:] - forecast) ** 2).sum((1, 2))
        ) / 2
        assert np.allclose(J(x)[0], expected, rtol=1e-12)
    _, gradient = J(x, gradient=True)
    direction = np.random.default_rng(2).standard_normal(x.shape)
    difference = (J(x + 1e-5 * direction)[0] - J(x - 1e-5 * direction)[0]) / 2e-5
    slope = (gradient * direction[:, ::every]).sum((1, 2))
    assert np.allclose(slope, difference, rtol=1e-6, atol=1e-6 * np.abs(slope).max())

    shooting = Shooting((1e3,), every=every, iterations=100, tolerance=1e-10)
    found = engine.weak_constraint(
        model, given.cost, shooting, x, none, none, np.full(WINDOWS, VARIANCE), *shared,
        spread=True, points=points,
    )  # fmt: skip
    _, at_minimum = J(found.x, gradient=True)
    assert (found.cost < J(x)[0]).all()
    assert np.abs(at_minimum).max() < 1e-7 * np.abs(gradient).max()
    assert np.isfinite(found.stdev).all()


def test_strong_constraint_ends_where_the_gradient_vanishes(truth: np.ndarray) -> None:
    given = problem(truth, nonlinear)
    engine, points = given.engine, given.points(slice(None)).weighed(1 / VARIANCE)
    none = np.zeros_like(truth)
    b, B_inverse = truth[:, 0].mean(0), np.eye(3) / 50
    found = engine.strong_constraint(
        given.model, given.cost, none, none, truth[:, :1] + 0.1, background=b,
        background_precision=B_inverse, variance=np.full(3, 50.0), lead=0, growth=0,
        iterations=50, tolerance=1e-16, points=points,
    )  # fmt: skip
    J, g = (
        engine.strong_objective(given.model, given.cost, x, none, none, b, B_inverse, points=points)
        for x in (found.control[:, 0], truth[:, 0] + 0.1)
    )
    assert (J[0] < g[0]).all()
    assert np.abs(J[1]).max() < 1e-6 * np.abs(g[1]).max()
    assert np.allclose(found.objective[:, 0], J[0], rtol=1e-10)


@pytest.mark.parametrize("method", OPTIONS)
def test_every_method_comes_nearer_to_the_truth(truth: np.ndarray, method: str) -> None:
    model = get_model("lorenz63")
    random = np.random.default_rng(4)
    value = nonlinear(torch.as_tensor(truth)).numpy() + 0.1 * random.standard_normal(
        (WINDOWS, STEPS, 2)
    )
    ds = xr.Dataset(
        {"radiance": (("window", "time", "band"), value, {"observation_error_variance": 0.01})},
        {"time": np.arange(STEPS) * 0.01},
    )
    options: dict[str, object] = {"observation_variance": 0.01} | OPTIONS[method]
    if method == "strong-constraint":
        options |= {"starts": "climatology", "count": 4, "growth": 4, "iterations": 100}
    if method == "fsgd":
        options = {"iterations": 400, "lambda1": 1.0}
    found = pyvda.assimilate(
        ds, model=model, method=method, engine="torch", time_step=0.01, variable="radiance",
        operator=FunctionOperator(nonlinear), **options,
    )  # fmt: skip
    innovation = np.asarray(found["channel_innovation"])
    assert np.isfinite(innovation).all()
    mean = torch.as_tensor(np.broadcast_to(climatology(model).mean, truth.shape).copy())
    before = value - nonlinear(mean).numpy()
    assert np.sqrt((innovation**2).mean()) < 0.5 * np.sqrt((before**2).mean())


@pytest.mark.parametrize("method", OPTIONS)
def test_julia_refuses_a_function_of_torch(truth: np.ndarray, method: str) -> None:
    chosen = METHODS[method]
    options = dict(OPTIONS[method])
    if method == "strong-constraint":
        options = {"starts": "mean"}
    with pytest.raises(InputError, match="choose the engine torch"):
        chosen.solve(problem(truth, linear, "julia"), chosen.options(**options))


def test_a_library_is_refused(truth: np.ndarray) -> None:
    chosen = METHODS["strong-constraint"]
    with pytest.raises(InputError, match="choose starts climatology or mean"):
        chosen.solve(problem(truth, linear), chosen.options(starts="library"))
