"""The shared linear problem against the Kalman filter: the last state's mean and covariance."""

import numpy as np
import pytest
from problems import linear_problem


@pytest.mark.parametrize("seed", [0, 1])
def test_the_last_state_is_that_of_the_kalman_filter(seed: int) -> None:
    problem = linear_problem(seed=seed)
    x, P = problem.mean, problem.B
    for t, y in enumerate(problem.y):
        if t:
            x, P = problem.M @ x, problem.M @ P @ problem.M.T + problem.Q
        gain = P @ problem.H.T @ np.linalg.inv(problem.H @ P @ problem.H.T + problem.R)
        x, P = x + gain @ (y - problem.H @ x), P - gain @ problem.H @ P
    mean, covariance = problem.smoothed()
    np.testing.assert_allclose(mean[-1], x, rtol=1e-10)
    np.testing.assert_allclose(covariance[-1, :, -1], P, rtol=1e-9, atol=1e-12)
