"""The cost with nodes and its Gauss-Newton Hessian: by loops, autograd and a linear model."""

import numpy as np
import pytest
import torch
from linear_torch import LinearWindows, linear_windows

from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.shooting import ShootingCost, as_model_precision
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import PointData
from pyvda.models.registry import get_model
from pyvda.operators.points import Points

W, T, D = 2, 8, 3


@pytest.fixture(autouse=True)
def _as_the_methods_call_it():
    with torch.no_grad():
        yield


def shooting(windows: LinearWindows, every: int, points: PointData | None = None) -> ShootingCost:
    p = windows.problem
    background = np.broadcast_to(p.mean, (len(windows.observation), len(p.mean)))
    return ShootingCost(
        Steps(windows.model, windows.settings), tensor(windows.observation),
        tensor(windows.weight), tensor(background), tensor(np.linalg.inv(p.B)), every, points,
        tensor(np.linalg.inv(p.Q)),
    )  # fmt: skip


def by_loops(windows: LinearWindows, window: int, nodes: np.ndarray, every: int, w: float) -> float:
    p = windows.problem
    d = nodes[0] - p.mean
    J = d @ np.linalg.solve(p.B, d)
    for k, node in enumerate(nodes):
        x = node
        for t in range(k * every, min((k + 1) * every, T)):
            J += (windows.weight[window, t] * (x - windows.observation[window, t]) ** 2).sum()
            x = p.M @ x
        if k + 1 < len(nodes):
            jump = nodes[k + 1] - x
            J += w * jump @ np.linalg.solve(p.Q, jump)
    return J / 2


@pytest.mark.parametrize("every", [1, 3, 8])
def test_the_cost_is_its_sum(every: int) -> None:
    windows = linear_windows(W, T, D)
    cost = shooting(windows, every)
    x = np.random.default_rng(1).standard_normal((W, T, D))
    nodes = cost.nodes(tensor(x))
    assert nodes.shape == (W, -(-T // every), D)
    found = cost.value(nodes, 0.7)
    expected = [by_loops(windows, k, x[k, ::every], every, 0.7) for k in range(W)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(cost.linearised(nodes, 0.7).cost, expected, rtol=1e-12)
    one = torch.tensor([1])
    np.testing.assert_allclose(cost[one].value(nodes[one], 0.7), expected[1:], rtol=1e-12)
    states = cost.trajectory(nodes)
    assert states.shape == (W, T, D)
    np.testing.assert_array_equal(states[:, ::every], nodes)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("with_points", [False, True])
def test_of_a_linear_model_gradient_and_hessian_are_exact(every: int, with_points: bool) -> None:
    windows = linear_windows(W, T, D)
    points = None
    if with_points:
        rng = np.random.default_rng(2)
        given = Points(
            rng.integers(0, T, (W, 4)), np.zeros((W, 4)), rng.standard_normal((W, 4)),
            rng.uniform(0.5, 1, (W, 4)), rng.standard_normal((W, 4, D)),
        )  # fmt: skip
        points = PointData.of(given, W, D, T)
    cost = shooting(windows, every, points)
    nodes = cost.nodes(tensor(np.random.default_rng(1).standard_normal((W, T, D))))
    at = cost.linearised(nodes, 0.7)
    K = nodes.shape[1]

    def value(one: torch.Tensor) -> torch.Tensor:
        return cost[torch.tensor([1])].value(one[None], 0.7)[0]

    gradient = torch.func.grad(value)(nodes[1])
    hessian = torch.func.hessian(value)(nodes[1]).reshape(K, D, K, D)
    np.testing.assert_allclose(at.gradient[1], gradient, atol=1e-11)
    for k in range(K):
        np.testing.assert_allclose(at.diagonal[1, k], hessian[k, :, k], atol=1e-11)
        if k + 1 < K:
            np.testing.assert_allclose(at.below[1, k], hessian[k + 1, :, k], atol=1e-11)
    step = at.factors(torch.zeros(W, dtype=torch.float64)).solve(at.gradient)
    expected = torch.linalg.solve(hessian.reshape(K * D, K * D), gradient.reshape(-1))
    np.testing.assert_allclose(step[1].reshape(-1), expected, rtol=1e-9, atol=1e-11)


def test_variances_at_every_step_are_the_smoother_s() -> None:
    windows = linear_windows(W, T, D)
    cost = shooting(windows, 1)
    at = cost.linearised(torch.zeros(W, T, D, dtype=torch.float64), 1.0)
    for k, found in enumerate(at.variances(T)):
        np.testing.assert_allclose(found.sqrt(), windows.smoothed(k).stdev, rtol=1e-10)


def test_the_gradient_of_a_nonlinear_model_is_autograd_s() -> None:
    rng = np.random.default_rng(3)
    weight = (rng.random((W, T, D)) < 0.4).astype(float)
    cost = ShootingCost(
        Steps(get_model("lorenz63"), CostSettings(0.02), 2), tensor(rng.standard_normal((W, T, D))),
        tensor(weight), tensor(rng.standard_normal((W, D))), tensor(np.eye(D)), 3,
    )  # fmt: skip
    nodes = cost.nodes(tensor(3 * rng.standard_normal((W, T, D)))).requires_grad_()
    with torch.enable_grad():
        (expected,) = torch.autograd.grad(cost.value(nodes, 5.0).sum(), nodes)
    found = cost.linearised(nodes.detach(), 5.0).gradient
    np.testing.assert_allclose(found, expected, atol=1e-10 * expected.abs().max())


def test_a_state_that_overflows_where_nothing_is_observed_costs_nothing() -> None:
    windows = linear_windows(W, T, D)
    cost = shooting(windows, T)
    states = torch.zeros(W, T, D, dtype=torch.float64)
    states[:, -1] = torch.inf  # the last step is not observed
    nodes = states[:, :1]
    assert torch.isfinite(cost._misfit(states, nodes)).all()


def test_the_precision_of_the_model() -> None:
    assert as_model_precision(None, 3) is None
    with pytest.raises(ValueError, match="model_precision"):
        as_model_precision(np.eye(2), 3)
