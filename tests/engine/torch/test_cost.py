"""The weak-constraint cost (4) by loops over its sums, its gradient by differences, and descent."""

import numpy as np
import pytest
from problems import random_points, random_windows

from pyvda.engine import CostSettings
from pyvda.engine.torch.cost import cost, descend
from pyvda.models.registry import get_model
from pyvda.operators.points import Points

MODEL = get_model("lorenz63")
SETTINGS = CostSettings(0.01, lambda1=0.3, lambda2=0.7, scheme="euler")


def euler(x: np.ndarray) -> np.ndarray:
    a, b, c = x
    return x + 0.01 * np.array([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])


@pytest.fixture(scope="module")
def windows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return random_windows(3, count=3, steps=7)


def test_the_terms_are_the_sums_of_equation_4(windows) -> None:
    x, y, mask = windows
    found = cost(MODEL, SETTINGS, x, y, mask)
    for w in range(len(x)):
        observed = np.count_nonzero(mask[w])
        misfit = sum(
            mask[w, t, i] * (x[w, t, i] - y[w, t, i]) ** 2 for t in range(7) for i in range(3)
        )
        jumps = [(x[w, t, :] - euler(x[w, t - 1])) ** 2 for t in range(1, 7)]
        assert found.observation[w] == pytest.approx(0.3 * misfit / max(observed, 1), rel=1e-12)
        assert found.dynamics[w] == pytest.approx(0.7 * np.mean(jumps), rel=1e-12)
    assert found.observation[0] == 0  # nothing observed
    np.testing.assert_allclose(found.total, found.observation + found.dynamics)


@pytest.mark.parametrize("between", [False, True])
def test_the_gradient_is_that_of_differences(windows, between: bool) -> None:
    x, y, mask = windows
    points = random_points(3, count=3, steps=6) if between else None
    found = cost(MODEL, SETTINGS, x, y, mask, points=points)
    d = np.random.default_rng(5).standard_normal(x.shape)
    e = 1e-5
    up, down = (
        cost(MODEL, SETTINGS, x + s * d, y, mask, points=points, gradient=False) for s in (e, -e)
    )
    assert up.gradient is None
    assert found.gradient is not None
    slope = (found.gradient * d).sum((1, 2))
    np.testing.assert_allclose(slope, (up.total - down.total) / (2 * e), rtol=1e-7)
    norms = np.sqrt((found.gradient**2).sum((1, 2)))
    np.testing.assert_allclose(found.gradient_norm, norms, rtol=1e-12)


def test_data_at_steps_count_as_observations_of_the_grid(windows) -> None:
    x, y, mask = windows
    weighted = mask[1:2]
    step, component = np.nonzero(weighted[0])
    points = Points(
        step[None], np.zeros((1, len(step))), y[1:2, step, component],
        weighted[:, step, component],
        np.eye(3)[component][None],
    )  # fmt: skip
    expected = cost(MODEL, SETTINGS, x[1:2], y[1:2], weighted)
    found = cost(MODEL, SETTINGS, x[1:2], y[1:2], 0 * weighted, points=points)
    np.testing.assert_allclose(found.observation, expected.observation, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-10, atol=1e-14)


def test_descent_is_the_plain_loop(windows) -> None:
    x, y, mask = windows
    state = x.copy()
    for _ in range(4):
        gradient = cost(MODEL, SETTINGS, state, y, mask).gradient
        assert gradient is not None
        state = state - 0.2 * gradient
    found = descend(MODEL, SETTINGS, x, y, mask, step=0.2, iterations=4)
    np.testing.assert_allclose(found, state, rtol=1e-13)
    out = np.empty_like(x)
    assert descend(MODEL, SETTINGS, x, y, mask, step=0.2, iterations=4, out=out) is out
    np.testing.assert_array_equal(out, found)


def test_single_precision_stays_single(windows) -> None:
    x, y, mask = (a.astype(np.float32) for a in windows)
    found = cost(MODEL, SETTINGS, x, y, mask)
    assert found.gradient is not None
    assert found.gradient.dtype == np.float32
    np.testing.assert_allclose(found.total, cost(MODEL, SETTINGS, *windows).total, rtol=1e-4)
