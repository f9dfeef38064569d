"""The covariance at a window's end: the Kalman filter's of a linear model, with Q or exact."""

import numpy as np
import pytest
from linear_torch import LinearWindows, linear_windows

from pyvda.engine import get_engine
from pyvda.methods.final_covariance import inverse_of, of_nodes, of_start, of_windows
from pyvda.methods.problem import Problem
from pyvda.operators.points import Points
from pyvda.state.batch import Batch

W, T, D = 2, 8, 3


@pytest.fixture(scope="module")
def windows() -> LinearWindows:
    return linear_windows(W, T, D)


@pytest.fixture(scope="module")
def problem(windows) -> Problem:
    batch = Batch(windows.observation, windows.weight, 0 * windows.observation)
    return Problem(batch, windows.model, windows.settings, get_engine("torch"), 1.0)


def test_with_a_node_at_every_step_it_is_the_filter_s(windows, problem) -> None:
    p = windows.problem
    x = np.random.default_rng(0).standard_normal((W, T, D))  # a linear model is the same anywhere
    found = of_nodes(problem, x, windows.weight, np.linalg.inv(p.B), p.Q)
    for k in range(W):
        np.testing.assert_allclose(found[k], windows.smoothed(k).covariance[-1], rtol=1e-9)


def test_without_model_error_it_is_that_of_the_start_carried_along(windows, problem) -> None:
    p = windows.problem
    found = of_nodes(problem, np.zeros((W, T, D)), windows.weight, np.linalg.inv(p.B), 0 * p.Q,
                     every=T)  # fmt: skip
    start = np.stack([windows.smoothed(k, exact=True).covariance[0] for k in range(W)])
    carried = of_start(problem, np.zeros((W, D)), start, steps=T - 1)
    for k in range(W):
        expected = windows.smoothed(k, exact=True).covariance[-1]
        np.testing.assert_allclose(found[k], expected, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(carried[k], expected, rtol=1e-8, atol=1e-12)


def test_data_may_be_given_as_points(windows, problem) -> None:
    p = windows.problem
    steps, components = np.nonzero(windows.weight[0])
    points = Points(
        steps[None], np.zeros((1, len(steps))), np.zeros((1, len(steps))),
        windows.weight[0][steps, components][None], np.eye(D)[components][None],
    )  # fmt: skip
    none = np.zeros((1, T, D))
    found = of_nodes(problem, none, none, np.linalg.inv(p.B), p.Q, points=points)
    np.testing.assert_allclose(found[0], windows.smoothed(0).covariance[-1], rtol=1e-9)


def test_a_window_without_an_analysis_has_none(windows, problem) -> None:
    p = windows.problem
    x = np.zeros((W, T, D))
    x[0, 3] = np.nan
    found = of_windows(problem, x, windows.weight, np.linalg.inv(p.B), p.Q)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], windows.smoothed(1).covariance[-1], rtol=1e-9)


def test_what_nothing_determines_is_unknown(problem) -> None:
    matrices = np.stack([np.diag([2.0, 4.0]), np.ones((2, 2)), np.full((2, 2), np.nan)])
    found = inverse_of(matrices)
    np.testing.assert_allclose(found[0], np.diag([0.5, 0.25]))
    assert np.isnan(found[1:]).all()
    none = np.zeros((W, T, D))
    assert np.isnan(of_nodes(problem, none, none, np.zeros((D, D)), np.eye(D))).all()
