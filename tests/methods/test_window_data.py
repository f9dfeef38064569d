"""The data of a window as a sparse function of its trajectory, against a dense matrix."""

import numpy as np
import pytest

from pyvda.methods.trajectory import segments
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
@pytest.mark.parametrize("stride", [1, 2, 4, T])
def test_cost_gradient_and_products_are_those_of_the_dense_matrix(last, stride):
    """Added up over segments that share a step each."""
    data, steps, (H, y, r) = problem(last=last)
    assert data.steps == steps
    rng = np.random.default_rng(0)
    x, dx = rng.standard_normal((2, steps, D))
    cost, gradient, product = 0.0, np.zeros((steps, D)), np.zeros((steps, D))
    for first, end in segments(steps, stride):
        here = np.s_[first : end + 1]
        part = data.part(first, end + 1 - first, steps)
        cost += part.cost(x[here])
        gradient[here] += part.gradient(x[here])
        product[here] += part.back(part.weighed(dx[here]))
    misfit = H @ x.ravel() - y
    assert cost == pytest.approx(0.5 * (r * misfit**2).sum(), rel=1e-13)
    np.testing.assert_allclose(gradient.ravel(), H.T @ (r * misfit), atol=1e-12)
    np.testing.assert_allclose(product.ravel(), H.T @ (r * (H @ dx.ravel())), atol=1e-12)


def test_the_first_steps_have_the_data_that_need_no_more():
    data, _, (H, y, r) = problem()
    for steps in (1, 2, 4):
        inside = ~H[:, steps * D :].any(1)
        x = np.random.default_rng(steps).standard_normal((steps, D))
        misfit = H[inside][:, : steps * D] @ x.ravel() - y[inside]
        found = data.part(0, steps, steps).cost(x)
        assert found == pytest.approx(0.5 * (r[inside] * misfit**2).sum(), rel=1e-13)


def test_noise_has_the_covariance_of_the_curvature():
    data, steps, (H, _, r) = problem()
    rng, part = np.random.default_rng(2), data.part(0, steps, steps)
    normal = rng.standard_normal((4000, data.count))
    drawn = np.stack([part.back(part.whitened(one)).ravel() for one in normal])
    expected = H.T @ (r[:, None] * H)
    error = np.abs(drawn.T @ drawn / 4000 - expected).max()
    assert error < 0.12 * np.abs(expected).max()


def test_perturbed_data_have_errors_of_their_precisions():
    data, steps, (_, y, r) = problem()
    rng, part = np.random.default_rng(3), data.part(0, steps, steps)
    drawn = np.stack([data.perturbed(rng).part(0, steps, steps).value for _ in range(4000)])
    order = np.argsort(y)
    np.testing.assert_allclose(np.sort(part.value), y[order])
    error = (drawn - part.value) * np.sqrt(part.precision)
    np.testing.assert_allclose(error.std(0), 1.0, atol=0.06)
    np.testing.assert_allclose(np.sort(part.precision), np.sort(r))


def test_data_on_the_grid_alone():
    rng = np.random.default_rng(0)
    precision = rng.uniform(0.5, 2.0, (T, D)) * (rng.random((T, D)) < 0.2)
    observation, x = rng.standard_normal((2, T, D))
    part = WindowData(observation, precision).part(0, T, T)
    misfit = precision * (x - observation)
    assert part.cost(x) == pytest.approx(0.5 * (misfit * (x - observation)).sum())
    np.testing.assert_allclose(part.gradient(x), misfit)
