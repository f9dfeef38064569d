"""Strong-constraint minimisation: the exact Kalman smoother of a linear model, leads, growth."""

from typing import Any

import numpy as np
import pytest
import torch
from linear_torch import LinearWindows, linear_windows

from pyvda.engine import CostSettings
from pyvda.engine.data import Minima
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.strong_constraint import StrongCost, strong_constraint, trajectories
from pyvda.models.registry import get_model
from pyvda.names import Status

W, T, D = 3, 8, 3


@pytest.fixture(scope="module")
def windows() -> LinearWindows:
    return linear_windows(W, T, D)


def minimised(windows: LinearWindows, starts: np.ndarray, **options: Any) -> Minima:
    p = windows.problem
    settings: dict[str, Any] = {"lead": 0, "growth": 0, "iterations": 50, "tolerance": 1e-14}
    return strong_constraint(
        windows.model, windows.settings, windows.observation, windows.weight, starts,
        background=p.mean, background_precision=np.linalg.inv(p.B), variance=np.ones(D),
        **{**settings, **options},
    )  # fmt: skip


@pytest.mark.parametrize("growth", [0, 3])
def test_a_linear_model_gives_the_smoother_from_any_start(windows, growth: int) -> None:
    starts = 5 * np.random.default_rng(0).standard_normal((W, 2, D))
    found = minimised(windows, starts, growth=growth)
    assert (found.status == Status.CONVERGED).all()
    for k in range(W):
        expected = windows.smoothed(k, exact=True)
        for s in range(2):
            np.testing.assert_allclose(found.control[k, s], expected.mean[0], atol=1e-9)
            covariance = np.linalg.inv(found.hessian[k, s])
            np.testing.assert_allclose(covariance, expected.covariance[0], rtol=1e-8, atol=1e-12)
    x, stdev = trajectories(
        windows.model, windows.settings, found.control[:, 0], found.hessian[:, 0], lead=0, steps=T
    )
    for k in range(W):
        expected = windows.smoothed(k, exact=True)
        np.testing.assert_allclose(x[k], expected.mean, atol=1e-9)
        np.testing.assert_allclose(stdev[k], expected.stdev, rtol=1e-8)


def test_with_a_lead_the_control_stands_before_the_window(windows) -> None:
    found = minimised(windows, np.zeros((W, 1, D)), lead=2)
    p = windows.problem
    # The same problem, where the window begins two steps earlier and shows nothing there.
    padded = [np.concatenate([np.zeros((W, 2, D)), a], 1)
              for a in (windows.observation, windows.weight)]  # fmt: skip
    longer = LinearWindows(p, windows.model, windows.settings, *padded)
    for k in range(W):
        expected = longer.smoothed(k, exact=True)
        np.testing.assert_allclose(found.control[k, 0], expected.mean[0], atol=1e-9)
    x, stdev = trajectories(
        windows.model, windows.settings, found.control[:, 0], found.hessian[:, 0], lead=2, steps=T
    )
    np.testing.assert_allclose(x[1], longer.smoothed(1, exact=True).mean[2:], atol=1e-9)
    np.testing.assert_allclose(stdev[1], longer.smoothed(1, exact=True).stdev[2:], rtol=1e-8)


def test_gradient_and_hessian_of_a_nonlinear_model() -> None:
    rng = np.random.default_rng(2)
    weight = (rng.random((2, T, D)) < 0.5).astype(float)
    steps = Steps(get_model("lorenz63"), CostSettings(0.05))
    y = tensor(rng.standard_normal((2, T, D)))
    b, B_inverse = torch.zeros(D).double(), 0.1 * torch.eye(D).double()
    cost = StrongCost(steps, y, tensor(weight), b, B_inverse, 1, None)
    x, chosen = tensor(3 * rng.standard_normal((2, D))), torch.arange(2)
    stop = torch.tensor([T, 4])
    J, g, H = cost.quadratic(x, chosen, stop)
    e = 1e-5
    for i in range(D):
        shift = e * torch.eye(D).double()[i]
        up, down = (cost.quadratic(x + s * shift, chosen, stop)[0] for s in (1, -1))
        np.testing.assert_allclose(g[:, i], (up - down) / (2 * e), rtol=1e-6, atol=1e-6)
    assert (torch.linalg.eigvalsh(H) > 0).all()
    # Only the data up to `stop` count, and where there are none the background alone.
    early = tensor(weight)
    early[1, 4:] = 0
    same = StrongCost(steps, y, early, b, B_inverse, 1, None)
    assert J[1] == same.quadratic(x[1:], chosen[1:], torch.tensor([T]))[0]
    assert cost.quadratic(x, chosen, torch.tensor([0, 0]))[0][0].item() == pytest.approx(
        0.05 * float(x[0] @ x[0]), rel=1e-14
    )


def test_the_last_datum_within_a_horizon() -> None:
    weight = torch.zeros(2, T, D).double()
    weight[0, 2, 1] = weight[0, 6, 0] = weight[1, 0, 2] = 1
    cost = StrongCost(
        Steps(get_model("lorenz63"), CostSettings(0.01)), torch.zeros(2, T, D).double(), weight,
        torch.zeros(D).double(), torch.eye(D).double(), 0, None,
    )  # fmt: skip
    rows = torch.arange(2)
    for horizon, expected in ((2, [0, 1]), (3, [3, 1]), (6, [3, 1]), (8, [7, 1])):
        assert cost.last_datum(rows, torch.full((2,), horizon)).tolist() == expected


def test_a_start_that_overflows_is_marked() -> None:
    model = get_model("lorenz63")
    y, c = np.zeros((1, T, D)), np.ones((1, T, D))
    starts = np.array([[[1.0, 1.0, 20.0], [1e160, 1.0, 1.0]]])
    found = strong_constraint(
        model, CostSettings(0.01), y, c, starts, background=np.zeros(D),
        background_precision=np.eye(D), variance=np.ones(D), lead=0, growth=0, iterations=30,
        tolerance=1e-10,
    )  # fmt: skip
    assert found.status.tolist() == [[Status.CONVERGED, Status.DIVERGED]]
    assert np.isfinite(found.objective[0, 0])
    assert not np.isfinite(found.objective[0, 1])
