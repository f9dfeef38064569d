"""Weak-constraint minimisation: the Kalman smoother of a linear model, stages, statuses."""

from typing import Any

import numpy as np
import pytest
from linear_torch import LinearWindows, linear_windows

from pyvda.engine import CostSettings
from pyvda.engine.data import GIVEN_UP, Minimum, Shooting
from pyvda.engine.torch.weak_constraint import weak_constraint
from pyvda.models.registry import get_model
from pyvda.names import Status

W, T, D = 3, 8, 3


def minimised(
    windows: LinearWindows, start: np.ndarray | None = None, *, divisor: float = 1.0, **options: Any
) -> Minimum:
    p = windows.problem
    x = np.zeros((W, T, D)) if start is None else start
    shooting = Shooting(
        **{"weights": (1.0,), "model_precision": np.linalg.inv(p.Q), "tolerance": 1e-12, **options}
    )
    return weak_constraint(
        windows.model, windows.settings, shooting, x, windows.observation,
        divisor * windows.weight, np.full(W, divisor), np.broadcast_to(p.mean, (W, D)),
        np.linalg.inv(p.B), spread=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def windows() -> LinearWindows:
    return linear_windows(W, T, D)


@pytest.mark.parametrize("divisor", [1.0, 3.0])
def test_a_linear_model_gives_the_smoother_in_one_step(windows, divisor: float) -> None:
    start = 10 * np.random.default_rng(0).standard_normal((W, T, D))
    found = minimised(windows, start, divisor=divisor)
    assert found.stdev is not None
    for k in range(W):
        expected = windows.smoothed(k)
        np.testing.assert_allclose(found.x[k], expected.mean, atol=1e-10)
        np.testing.assert_allclose(found.stdev[k], expected.stdev, rtol=1e-10)
    assert (found.iterations <= 2).all()
    assert (found.status == Status.CONVERGED).all()


def test_the_last_stage_decides(windows) -> None:
    found = minimised(windows, weights=(100.0, 0.01, 1.0))
    np.testing.assert_allclose(found.x, minimised(windows).x, atol=1e-9)
    loose = minimised(windows, weights=(0.01,))
    assert (loose.cost < found.cost).all()
    assert np.abs(loose.x - found.x).max() > 1e-3


def test_expensive_windows_are_given_up(windows) -> None:
    usual = minimised(windows, weights=(1.0, 1.0))
    limit = usual.cost.copy()
    limit[1] *= 0.99
    limit[[0, 2]] *= 1.01
    found = minimised(windows, weights=(1.0, 1.0), give_up_stage=1, give_up_cost=limit)
    assert found.status.tolist() == [Status.CONVERGED, GIVEN_UP, Status.CONVERGED]


def test_a_window_without_iterations_stays(windows) -> None:
    start = np.ones((W, T, D))
    found = minimised(windows, start, iterations=0)
    np.testing.assert_array_equal(found.x, start)
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (found.iterations == 0).all()


def test_a_diverged_window_leaves_the_others_alone() -> None:
    model, rng = get_model("lorenz63"), np.random.default_rng(1)
    x = 5 * rng.standard_normal((W, T, D))
    y, mask = x + rng.standard_normal(x.shape), np.ones_like(x)
    x[1] = 1e200

    def run(chosen: list[int]) -> Minimum:
        return weak_constraint(
            model, CostSettings(0.01), Shooting((100.0,), tolerance=1e-8), x[chosen], y[chosen],
            mask[chosen], np.ones(len(chosen)), np.zeros((len(chosen), D)), 0.01 * np.eye(D),
        )  # fmt: skip

    found, alone = run([0, 1, 2]), run([0, 2])
    assert found.stdev is None
    assert found.status.tolist() == [Status.CONVERGED, Status.DIVERGED, Status.CONVERGED]
    np.testing.assert_allclose(found.x[[0, 2]], alone.x, rtol=1e-12)
    assert (found.gradient_norm[[0, 2]] < 1e-3).all()


def test_no_windows_are_no_work(windows) -> None:
    none = np.empty((0, T, D))
    found = weak_constraint(
        windows.model, windows.settings, Shooting((1.0,)), none, none, none, np.empty(0),
        np.empty((0, D)), np.eye(D), spread=True,
    )  # fmt: skip
    assert found.x.shape == (0, T, D)
    assert found.status.shape == (0,)
