"""The control of state and parameters: its sums, on random Gaussians, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.methods.control import (
    Common,
    Prior,
    block_diagonal,
    common,
    factors,
    moved,
    parameter_stdev,
    with_all_windows,
    with_common,
    with_parameters,
)
from pyvda.models.registry import get_model


def random_problem(windows: int, state: int, parameters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Hessians (W, C, C) and slopes (W, C) at zero of quadratic costs."""
    rng = np.random.default_rng(8)
    size = state + parameters
    A = rng.standard_normal((windows, size + 2, size))
    return np.swapaxes(A, 1, 2) @ A, rng.standard_normal((windows, size))


def test_common_is_the_minimum_of_the_sum() -> None:
    W, D, P = 5, 4, 2
    H, g = random_problem(W, D, P)
    before = Common(np.array([1.0, -2.0]), np.diag([3.0, 0.5]))
    used = Prior(np.zeros(D + P), np.zeros((D + P, D + P)), np.ones(D + P))
    used.mean[D:] = [0.3, 0.7]
    used.precision[D:, D:] = [[2.0, 0.4], [0.4, 1.0]]
    # Each window's own minimum, with the prior `used`.
    hessian = H + used.precision
    control = np.linalg.solve(hessian, (used.precision @ used.mean - g)[..., None])[..., 0]
    found = common(control, hessian, used, before)
    # All states and the parameters as one dense problem.
    whole, right = np.zeros((W * D + P, W * D + P)), np.zeros(W * D + P)
    for w in range(W):
        place = np.r_[w * D : (w + 1) * D, W * D : W * D + P]
        whole[np.ix_(place, place)] += H[w]
        right[place] -= g[w]
    whole[-P:, -P:] += before.precision
    right[-P:] += before.precision @ before.mean
    solved, covariance = np.linalg.solve(whole, right), np.linalg.inv(whole)
    np.testing.assert_allclose(found.mean, solved[-P:], rtol=1e-10)
    np.testing.assert_allclose(np.linalg.inv(found.precision), covariance[-P:, -P:], rtol=1e-9)
    # The states that go with them.
    np.testing.assert_allclose(
        moved(control, hessian, found.mean)[:, :D], solved[:-P].reshape(W, D), rtol=1e-9
    )


def test_deviations_are_those_of_the_dense_inverse() -> None:
    H, _ = random_problem(4, 3, 2)
    expected = np.sqrt(np.diagonal(np.linalg.inv(H), axis1=1, axis2=2))[:, 3:]
    np.testing.assert_allclose(parameter_stdev(H, 3), expected, rtol=1e-9)
    L = factors(H)
    np.testing.assert_allclose(L @ np.swapaxes(L, 1, 2), H, rtol=1e-12, atol=1e-12)
    H[1] -= 50 * np.eye(5)
    H[2, 0, 0] = np.nan
    assert np.isnan(parameter_stdev(H, 3)).all(1).tolist() == [False, True, True, False]


def test_the_other_windows_information_is_added_to_the_parameters() -> None:
    H, _ = random_problem(4, 3, 2)
    precision = np.array([[9.0, 1.0], [1.0, 4.0]])
    found = with_all_windows(H, precision)
    np.testing.assert_array_equal(found[:, :3], H[:, :3])
    for matrix in found:  # with the state eliminated
        schur = matrix[3:, 3:] - matrix[3:, :3] @ np.linalg.solve(matrix[:3, :3], matrix[:3, 3:])
        np.testing.assert_allclose(schur, precision, rtol=1e-10)


def test_the_prior_of_the_parameters_is_relative_to_their_values() -> None:
    model = get_model("lorenz63")
    state = Prior(np.array([1.0, 2.0, 3.0]), 2 * np.eye(3), np.full(3, 0.5))
    found = with_parameters(state, model, 0.1)
    values = np.array(model.parameters)
    np.testing.assert_array_equal(found.mean, [1, 2, 3, *values])
    np.testing.assert_allclose(np.diag(found.precision), [2, 2, 2, *(0.1 * values) ** -2.0])
    assert np.count_nonzero(found.precision) == 6
    np.testing.assert_allclose(found.variance, [0.5, 0.5, 0.5, *(0.1 * values) ** 2])
    other = with_common(found, np.array([9.0, 8.0, 7.0]), np.full((3, 3), 5.0))
    np.testing.assert_array_equal(other.mean, [1, 2, 3, 9, 8, 7])
    np.testing.assert_array_equal(
        other.precision, block_diagonal(2 * np.eye(3), np.full((3, 3), 5.0))
    )


def test_parameters_without_a_relative_deviation_are_refused() -> None:
    model = get_model("lorenz63")
    state = Prior(np.zeros(3), np.eye(3), np.ones(3))
    with pytest.raises(InputError, match="rho of lorenz63 is 0"):
        with_parameters(state, replace(model, parameters=(10.0, 0.0, 8 / 3)), 0.1)
    none = replace(model, parameters=(), parameter_names=(), fields=())
    with pytest.raises(InputError, match="has no parameters to estimate"):
        with_parameters(state, none, 0.1)
