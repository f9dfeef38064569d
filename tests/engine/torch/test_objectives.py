"""The objectives of the Gauss-Newton methods as functions: sums by hand and differences."""

import numpy as np
import pytest
from linear_torch import LinearWindows, linear_windows

from pyvda.engine.torch.objectives import shooting_objective, strong_objective

W, T, D = 2, 6, 3


@pytest.fixture(scope="module")
def windows() -> LinearWindows:
    return linear_windows(W, T, D)


def test_the_strong_objective_is_its_sum(windows) -> None:
    p = windows.problem
    start = np.random.default_rng(0).standard_normal((W, D))
    B_inverse = np.linalg.inv(p.B)

    def by_hand(w: int, x: np.ndarray) -> float:
        d = x - p.mean
        J = d @ B_inverse @ d
        x = p.M @ x  # a lead of one step
        for t in range(T):
            J += (windows.weight[w, t] * (x - windows.observation[w, t]) ** 2).sum()
            x = p.M @ x
        return J / 2

    J, g = strong_objective(
        windows.model, windows.settings, start, windows.observation, windows.weight, p.mean,
        B_inverse, lead=1,
    )  # fmt: skip
    np.testing.assert_allclose(J, [by_hand(w, start[w]) for w in range(W)], rtol=1e-13)
    e = 1e-4 * np.eye(D)
    slopes = [[(by_hand(w, start[w] + d) - by_hand(w, start[w] - d)) / 2e-4 for d in e]
              for w in range(W)]  # fmt: skip
    np.testing.assert_allclose(g, slopes, rtol=1e-8)


@pytest.mark.parametrize("every", [1, 2, 100])
def test_the_gradient_of_the_shooting_objective(windows, every: int) -> None:
    p = windows.problem
    x = np.random.default_rng(1).standard_normal((W, T, D))
    arguments = (windows.observation, windows.weight, np.tile(p.mean, (W, 1)), np.linalg.inv(p.B))
    options = {"weight": 2.0, "model_precision": np.linalg.inv(p.Q), "every": every}

    def value(x: np.ndarray) -> np.ndarray:
        J, none = shooting_objective(
            windows.model, windows.settings, x, *arguments, **options, gradient=False
        )
        assert none is None
        return J

    J, g = shooting_objective(windows.model, windows.settings, x, *arguments, **options)
    assert g is not None
    np.testing.assert_array_equal(J, value(x))
    nodes = np.arange(0, T, min(every, T))
    assert g.shape == (W, len(nodes), D)
    d = np.zeros_like(x)
    d[:, nodes] = np.random.default_rng(2).standard_normal(g.shape)
    slope = (value(x + 1e-4 * d) - value(x - 1e-4 * d)) / 2e-4
    np.testing.assert_allclose((g * d[:, nodes]).sum((1, 2)), slope, rtol=1e-8)


def test_at_the_smoother_both_gradients_vanish(windows) -> None:
    p = windows.problem
    B_inverse = np.linalg.inv(p.B)
    exact = np.stack([windows.smoothed(w, exact=True).mean[0] for w in range(W)])
    _, g = strong_objective(
        windows.model, windows.settings, exact, windows.observation, windows.weight, p.mean,
        B_inverse,
    )  # fmt: skip
    assert np.abs(g).max() < 1e-11
    smoothed = np.stack([windows.smoothed(w).mean for w in range(W)])
    _, g = shooting_objective(
        windows.model, windows.settings, smoothed, windows.observation, windows.weight,
        np.tile(p.mean, (W, 1)), B_inverse, weight=1.0, model_precision=np.linalg.inv(p.Q),
    )  # fmt: skip
    assert g is not None
    assert np.abs(g).max() < 1e-10
