"""The forcing formulation: Kalman smoother, the lowest of several starts, starts that are lost."""

import numpy as np
import pytest
from linear_torch import LinearWindows, linear_windows

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.data import Minimum
from pyvda.methods.forcing import with_forcing
from pyvda.methods.problem import Problem, Status
from pyvda.operators.covariance import Dense
from pyvda.state.batch import Batch

W, T, D = 3, 8, 3


def problem_of(windows: LinearWindows) -> Problem:
    batch = Batch(windows.observation, windows.weight, 0 * windows.observation)
    return Problem(batch, windows.model, windows.settings, get_engine("torch"), 1.0)


def found(problem: Problem, windows: LinearWindows, guess: np.ndarray, chosen) -> Minimum:
    p = windows.problem
    return with_forcing(
        problem, guess, np.array(chosen), background=p.mean,
        background_precision=np.linalg.inv(p.B), variance=1.0, model_error=Dense(p.Q),
        iterations=20, tolerance=1e-12,
    )  # fmt: skip


def test_of_a_linear_model_it_is_the_smoother() -> None:
    windows = linear_windows(W, T, D)
    guess = np.random.default_rng(0).standard_normal((2, 2, T, D))
    minimum = found(problem_of(windows), windows, guess, [2, 0])
    for row, window in enumerate((2, 0)):
        expected = windows.smoothed(window)
        np.testing.assert_allclose(minimum.x[row], expected.mean, atol=1e-9)
        np.testing.assert_allclose(minimum.stdev[row], expected.stdev, rtol=1e-9)
    assert (minimum.iterations >= 2).all()  # of both starts


def test_starts_that_are_not_finite_are_skipped() -> None:
    windows = linear_windows(W, T, D)
    guess = np.zeros((2, 2, T, D))
    guess[0, 0, 3] = np.nan
    guess[1] = np.inf
    reported: list[tuple[int, int]] = []
    problem = problem_of(windows)
    object.__setattr__(
        problem, "report", lambda done, total, note="": reported.append((done, total))
    )
    minimum = found(problem, windows, guess, [0, 1])
    np.testing.assert_allclose(minimum.x[0], windows.smoothed(0).mean, atol=1e-9)
    assert minimum.status.tolist() == [Status.CONVERGED, Status.DIVERGED]
    assert np.isnan(minimum.x[1]).all()
    assert np.isnan(minimum.cost[1])
    assert reported[-1] == (3, 4)


def test_the_lowest_minimum_is_kept() -> None:
    # Of x² a single late datum leaves two minima, of which the background prefers the positive.
    model = pyvda.torch_model(step=lambda x: x * x, variables=("x",), time_step=1.0)
    y, mask = np.zeros((1, 2, 1)), np.zeros((1, 2, 1))
    y[0, 1], mask[0, 1] = 4.0, 100.0
    problem = Problem(Batch(y, mask, y), model, CostSettings(1.0), get_engine("torch"), 1.0)
    guess = np.array([[[[-2.0], [4.0]], [[2.0], [4.0]]]])

    def minimum(order: list[int]) -> Minimum:
        return with_forcing(
            problem, guess[:, order], np.array([0]), background=np.array([0.5]),
            background_precision=np.eye(1), variance=1.0, model_error=0.01, iterations=50,
            tolerance=1e-12,
        )  # fmt: skip

    for order in ([0, 1], [1, 0]):
        assert minimum(order).x[0, 0, 0] == pytest.approx(2.0, abs=0.1)
    assert minimum([0]).x[0, 0, 0] == pytest.approx(-2.0, abs=0.1)
    assert minimum([0]).cost[0] > minimum([1]).cost[0]
