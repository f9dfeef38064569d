"""Gauss-Newton with a line search, on functions whose minima are known."""

import itertools

import numpy as np
import pytest
from scipy.optimize import rosen

from pyvda.engine.julia.relinearised import Found, Value, minimised


def residuals(x: np.ndarray) -> np.ndarray:
    """Of the Rosenbrock function, (n, 2)."""
    return np.stack((10 * (x[:, 1] - x[:, 0] ** 2), 1 - x[:, 0]), -1)


def jacobians(x: np.ndarray) -> np.ndarray:
    one = np.ones(len(x))
    return np.stack((np.stack((-20 * x[:, 0], 10 * one), -1), np.stack((-one, 0 * one), -1)), -2)


def value(rows: np.ndarray, x: np.ndarray) -> Value:
    gradient = np.einsum("nri,nr->ni", jacobians(x), residuals(x))
    return Value((residuals(x) ** 2).sum(1), np.abs(gradient).max(1))


def proposed(rows: np.ndarray, x: np.ndarray, count: int) -> np.ndarray:
    return x - np.linalg.solve(jacobians(x), residuals(x)[..., None])[..., 0]


def found(starts: list[list[float]], iterations: int = 100, limit: float = 1e-10) -> Found:
    x = np.array(starts)
    return minimised(x, value, proposed, np.full(len(x), limit), iterations)


def test_every_start_arrives_at_the_minimum() -> None:
    there = found([[-1.2, 1.0], [3.0, -4.0], [1.0, 1.0]])
    np.testing.assert_allclose(there.x, 1.0, atol=1e-9)
    np.testing.assert_allclose(there.cost, [rosen(x) for x in there.x], atol=1e-18)
    assert there.iterations[2] == 0  # began there
    assert (there.iterations[:2] > 1).all()


def test_the_cost_never_rises() -> None:
    x = [[-1.2, 1.0]]
    costs = [float(found(x, count).cost[0]) for count in range(12)]
    assert costs[0] == pytest.approx(rosen(x[0]), rel=1e-14)
    assert all(later <= earlier for earlier, later in itertools.pairwise(costs))
    assert costs[-1] < 1e-3 * costs[0]
    # The full step from here raises it, so that a part was taken.
    start = np.array(x)
    assert value(np.arange(1), proposed(np.arange(1), start, 1)).cost > costs[0]


def test_what_one_does_does_not_depend_on_the_others() -> None:
    one = found([[-1.2, 1.0]])
    many = found([[5.0, 5.0], [-1.2, 1.0], [np.nan, 0.0]])
    np.testing.assert_array_equal(many.x[1], one.x[0])
    assert many.iterations[1] == one.iterations[0]
    assert many.iterations[2] == 0
    assert np.isnan(many.cost[2])


def test_a_verb_that_refuses_is_asked_for_more_iterations() -> None:
    asked: list[int] = []

    def hesitant(rows: np.ndarray, x: np.ndarray, count: int) -> np.ndarray:
        asked.append(count)
        return proposed(rows, x, count) if count >= 4 else x

    x = np.array([[0.0, 0.0]])
    there = minimised(x, value, hesitant, np.full(1, 1e-10), 50)
    np.testing.assert_allclose(there.x, 1.0, atol=1e-9)
    assert asked[:4] == [1, 2, 4, 1]
    asked.clear()
    never = minimised(x, value, lambda rows, x, count: asked.append(count) or x, np.zeros(1), 50)
    assert asked == [1, 2, 4, 8, 16, 32, 64]
    np.testing.assert_array_equal(never.x, x)
    assert never.iterations.tolist() == [0]


def test_where_the_cost_is_not_finite_the_step_is_shortened() -> None:
    def log_cost(rows: np.ndarray, x: np.ndarray) -> Value:
        inside = x[:, 0] > 0
        safe = np.where(inside, x[:, 0], 1.0)
        return Value(np.where(inside, safe - np.log(safe), np.inf), np.abs(1 - 1 / safe))

    there = minimised(
        np.array([[3.0]]), log_cost, lambda rows, x, count: x - 3 * (x - 1), np.full(1, 1e-6), 99
    )
    np.testing.assert_allclose(there.x, 1.0, atol=1e-5)
