"""The data of a window as a sparse function of its trajectory, against a dense matrix."""

import numpy as np
import pytest

from pyvda.methods.window_data import WindowData
from pyvda.operators.points import Points
from pyvda.operators.sparse_rows import SparseRows

T, D, K = 6, 9, 25


def problem(*, last: float = T - 1.0):
    """Return grid data, points up to the time `last`, and H, y and R⁻¹ of all of them, dense."""
    rng = np.random.default_rng(3)
    precision = rng.uniform(0.5, 2.0, (T, D)) * (rng.random((T, D)) < 0.2)
    observation = np.where(precision > 0, rng.standard_normal((T, D)), 0.0)
    position = np.sort(rng.uniform(0, last, K))
    position[::3] = np.floor(position[::3])
    position[-1] = last
    step = np.floor(position).astype(int)
    fraction, value = position - step, rng.standard_normal(K)
    weight = rng.uniform(0.5, 2.0, K)
    weight[4] = 0.0  # padding
    index = rng.integers(0, 3, (K, 3)) + np.array([0, 3, 6])
    rows = SparseRows(index, rng.standard_normal((K, 3)), D)
    points = Points(*(a[None] for a in (step, fraction, value, weight)), rows[None])
    steps = int(np.ceil(last)) + 1
    full = np.zeros((K, steps, D))
    for k in range(K):
        full[k, step[k]] += (1 - fraction[k]) * np.asarray(rows)[k]
        if fraction[k] > 0:
            full[k, step[k] + 1] += fraction[k] * np.asarray(rows)[k]
    used, on_grid = weight > 0, np.zeros((T * D, steps * D))
    on_grid[:, : T * D] = np.eye(T * D)
    H = np.concatenate([on_grid[precision.ravel() > 0], full[used].reshape(-1, steps * D)])
    y = np.concatenate([observation[precision > 0], value[used]])
    r = np.concatenate([precision[precision > 0], weight[used]])
    return WindowData(observation, precision, points), steps, (H, y, r)


@pytest.mark.parametrize("last", [T - 1.0, T - 0.5])
def test_cost_gradient_and_curvature_are_those_of_the_dense_matrix(last):
    data, steps, (H, y, r) = problem(last=last)
    assert data.steps == steps
    rng = np.random.default_rng(0)
    x, dx = rng.standard_normal((2, steps, D))
    misfit = H @ x.ravel() - y
    assert data.cost(x) == pytest.approx(0.5 * (r * misfit**2).sum(), rel=1e-13)
    np.testing.assert_allclose(data.gradient(x).ravel(), H.T @ (r * misfit), atol=1e-12)
    np.testing.assert_allclose(data.curvature(dx).ravel(), H.T @ (r * (H @ dx.ravel())), atol=1e-12)


def test_the_adjoint_is_exact():
    data, steps, _ = problem()
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = rng.standard_normal((2, steps, D))
        left, right = (a * data.curvature(b)).sum(), (b * data.curvature(a)).sum()
        size = np.abs(a * data.curvature(b)).sum()
        assert abs(left - right) <= 1e-14 * size


def test_the_first_steps_have_the_data_that_need_no_more():
    data, _, (H, y, r) = problem()
    for steps in (1, 2, 4):
        inside = ~H[:, steps * D :].any(1)
        x = np.random.default_rng(steps).standard_normal((steps, D))
        misfit = H[inside][:, : steps * D] @ x.ravel() - y[inside]
        assert data.cost(x) == pytest.approx(0.5 * (r[inside] * misfit**2).sum(), rel=1e-13)


def test_noise_has_the_covariance_of_the_curvature():
    data, steps, (H, _, r) = problem()
    rng = np.random.default_rng(2)
    drawn = np.stack([data.noise(steps, rng).ravel() for _ in range(4000)])
    expected = H.T @ (r[:, None] * H)
    error = np.abs(drawn.T @ drawn / 4000 - expected).max()
    assert error < 0.12 * np.abs(expected).max()


def test_data_on_the_grid_alone():
    data, _, _ = problem()
    alone = WindowData(data.observation, data.precision)
    x = np.random.default_rng(0).standard_normal((T, D))
    misfit = data.precision * (x - data.observation)
    assert alone.cost(x) == pytest.approx(0.5 * (misfit * (x - data.observation)).sum())
    np.testing.assert_allclose(alone.gradient(x), misfit)
