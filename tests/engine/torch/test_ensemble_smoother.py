"""The ensemble smoother: the Kalman smoother of members with exact moments; lag, mixing, errors."""

from typing import Any

import numpy as np
import pytest
from linear_torch import LinearWindows, linear_windows

from pyvda.engine import CostSettings
from pyvda.engine.torch.ensemble_smoother import ensemble_smoother
from pyvda.methods.ensemble_smoother import reflections
from pyvda.models.registry import get_model
from pyvda.operators.points import Points

W, T, D, N = 2, 8, 3, 8


@pytest.fixture(scope="module")
def windows() -> LinearWindows:
    return linear_windows(W, T, D)


@pytest.fixture(scope="module")
def members(windows) -> np.ndarray:
    """Members (N, D) whose mean and sample covariance are the background's, exactly."""
    p = windows.problem
    rng = np.random.default_rng(4)
    A = rng.standard_normal((N, D))
    A -= A.mean(0)
    A, _ = np.linalg.qr(A)  # orthonormal columns of mean 0
    return p.mean + np.sqrt(N - 1) * A @ np.linalg.cholesky(p.B).T


def smoothed(windows: LinearWindows, members: np.ndarray, **options: Any):
    return ensemble_smoother(
        windows.model, windows.settings, windows.observation, windows.weight, members, **options
    )


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("depth", [0, 2])
def test_of_a_linear_model_it_is_the_kalman_smoother(windows, members, mixed, depth) -> None:
    mixing = reflections(N, 3, seed=1) if mixed else None
    mean, stdev, last = smoothed(
        windows, members, reflections=mixing, depth=depth, iterations=2, final=True
    )
    for k in range(W):
        expected = windows.smoothed(k, exact=True)
        np.testing.assert_allclose(mean[k], expected.mean, atol=1e-10)
        np.testing.assert_allclose(stdev[k], expected.stdev, rtol=1e-9)
        np.testing.assert_allclose(last[k].mean(0), expected.mean[-1], atol=1e-10)
        np.testing.assert_allclose(
            np.cov(last[k].T), expected.covariance[-1], rtol=1e-8, atol=1e-12
        )


def test_the_first_state_of_a_short_lag_knows_the_first_data_alone(windows, members) -> None:
    """A lag counts observation times: with 1, the second one's data are the last to count."""
    weight = windows.weight.copy()
    times = np.flatnonzero((weight[0] > 0).any(1))
    weight[:, times[1] + 1 :] = 0
    few = LinearWindows(
        windows.problem, windows.model, windows.settings, windows.observation, weight
    )
    mean, stdev, _ = smoothed(windows, members, lag=1)
    expected = few.smoothed(0, exact=True)
    np.testing.assert_allclose(mean[0, 0], expected.mean[0], atol=1e-10)
    np.testing.assert_allclose(stdev[0, 0], expected.stdev[0], rtol=1e-9)
    whole = windows.smoothed(0, exact=True)
    assert np.abs(mean[0, 0] - whole.mean[0]).max() > 1e-3


def test_data_of_single_components_may_be_given_as_points(windows, members) -> None:
    steps, components = np.nonzero(windows.weight[0])
    points = Points(
        steps[None], np.zeros((1, len(steps))), windows.observation[0][steps, components][None],
        windows.weight[0][steps, components][None], np.eye(D)[components][None],
    )  # fmt: skip
    none = np.zeros((1, T, D))
    mean, stdev, _ = ensemble_smoother(
        windows.model, windows.settings, none, none, members, points=points
    )
    expected = windows.smoothed(0, exact=True)
    np.testing.assert_allclose(mean[0], expected.mean, atol=1e-10)
    np.testing.assert_allclose(stdev[0], expected.stdev, rtol=1e-9)


def test_inflation_multiplies_the_anomalies_between_observation_times(members) -> None:
    windows = linear_windows(1, 3, D)
    weight = np.zeros((1, 3, D))
    weight[0, 0, 0] = 1.0  # one datum at the first step, two steps to go
    few = LinearWindows(
        windows.problem, windows.model, windows.settings, windows.observation, weight
    )
    plain, wide = (smoothed(few, members, inflation=i, final=True)[2][0] for i in (1.0, 1.5))
    np.testing.assert_allclose(np.cov(wide.T), 1.5**2 * np.cov(plain.T), rtol=1e-10)
    np.testing.assert_allclose(wide.mean(0), plain.mean(0), atol=1e-12)


def test_noise_is_added_after_every_step(members) -> None:
    windows = linear_windows(1, 3, D)
    none = np.zeros((1, 3, D))
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((2, D, N))
    mean, stdev, last = ensemble_smoother(
        windows.model, windows.settings, none, none, members, noise=noise, final=True
    )
    x = members
    for errors in noise:
        x = x @ windows.problem.M.T + errors.T
    np.testing.assert_allclose(last[0], x, atol=1e-12)
    np.testing.assert_allclose(mean[0, 2], x.mean(0), atol=1e-12)
    np.testing.assert_allclose(stdev[0, 2], x.std(0, ddof=1), rtol=1e-12)
    with pytest.raises(ValueError, match="depth is 1, expected 0 with noise"):
        ensemble_smoother(
            windows.model, windows.settings, none, none, members, noise=noise, depth=1
        )


def test_a_window_that_diverges_is_nan() -> None:
    model = get_model("lorenz63")
    members = np.random.default_rng(6).standard_normal((N, 3))
    y = np.zeros((2, 6, 3))
    y[1, 1, 0] = 1e200
    weight = np.zeros_like(y)
    weight[:, 1, 0] = 1e6
    mean, stdev, _ = ensemble_smoother(model, CostSettings(0.01), y, weight, members)
    assert np.isfinite(mean[0]).all()
    assert np.isnan(mean[1]).all()
    assert np.isnan(stdev[1]).all()
