"""Simulation in torch against SciPy and against iterated steps; runs that diverge."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import pyvda
from pyvda.engine.torch.simulate import simulate
from pyvda.models.registry import get_model


def rotation(x: torch.Tensor) -> torch.Tensor:
    return torch.stack((-x[..., 1], x[..., 0]), -1)


def test_a_rotation_is_sine_and_cosine() -> None:
    model = pyvda.torch_model(rotation, variables=("x", "y"), time_step=0.7)
    found = simulate(model, np.array([[1.0, 0.0], [0.0, 2.0]]), time_step=0.7, steps=9, spinup=0.3)
    angle = 0.3 + 0.7 * np.arange(9)  # dense output: the solver's steps are others
    np.testing.assert_allclose(found[0], np.stack((np.cos(angle), np.sin(angle)), -1), atol=1e-7)
    np.testing.assert_allclose(
        found[1], 2 * np.stack((-np.sin(angle), np.cos(angle)), -1), atol=1e-7
    )


def test_smaller_tolerances_come_nearer() -> None:
    model = pyvda.torch_model(rotation, variables=("x", "y"), time_step=0.5)
    start, angle = np.array([[1.0, 0.0]]), 0.5 * np.arange(20)
    exact = np.stack((np.cos(angle), np.sin(angle)), -1)
    errors = [
        np.abs(simulate(model, start, time_step=0.5, steps=20, rtol=tol, atol=tol)[0] - exact).max()
        for tol in (1e-4, 1e-7, 1e-10)
    ]
    assert errors[0] < 1e-2
    assert errors[1] < 1e-2 * errors[0]
    assert errors[2] < 1e-2 * errors[1]


def test_lorenz96_follows_scipy() -> None:
    model = get_model("lorenz96", state_size=5)
    start = 3 * np.random.default_rng(0).standard_normal((2, 5))

    def f(_: float, x: np.ndarray) -> np.ndarray:
        return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8

    found = simulate(model, start, time_step=0.05, steps=21)
    for x, y in zip(start, found, strict=True):
        times = 0.05 * np.arange(21)
        exact = solve_ivp(f, (0, 1), x, "DOP853", times, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(y, exact.y.T, atol=1e-5)


def test_a_run_that_diverges_is_nan_and_leaves_the_others_alone() -> None:
    model = pyvda.torch_model(lambda x: x**2, variables=("x",), time_step=0.1)
    start = np.array([[0.5], [-1.0], [5.0]])  # 1 / (1/x₀ - t): the third ends at 0.2
    found = simulate(model, start, time_step=0.1, steps=8)
    times = 0.1 * np.arange(8)
    np.testing.assert_allclose(found[0, :, 0], 1 / (2 - times), rtol=1e-7)
    np.testing.assert_allclose(found[1, :, 0], 1 / (-1 - times), rtol=1e-7)
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(found[:2], simulate(model, start[:2], time_step=0.1, steps=8))


def test_a_step_is_iterated() -> None:
    model = pyvda.torch_model(step=lambda x: 3 * x, variables=("x",), time_step=2.0)
    found = simulate(model, np.array([[1.0], [1e307]]), time_step=2.0, steps=4, spinup=4.0)
    np.testing.assert_array_equal(found[0, :, 0], [9, 27, 81, 243])
    assert np.isnan(found[1]).all()


def test_the_start_has_the_model_s_size() -> None:
    with pytest.raises(ValueError, match="start"):
        simulate(get_model("lorenz63"), np.ones((2, 4)), time_step=0.01, steps=3)
