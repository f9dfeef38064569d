"""Parameters of all windows: the minimum of one joint problem, on quadratic costs."""

import numpy as np
import pytest

from pyvda.engine.data import Minima
from pyvda.methods.control import Prior, block_diagonal
from pyvda.methods.shared_parameters import in_common
from pyvda.names import Status
from pyvda.notices import Notice

W, D, P = 6, 3, 2
C = D + P


def quadratics() -> tuple[np.ndarray, np.ndarray]:
    """Hessians (W, C, C) and minima (W, C) of the windows' own costs, without a prior."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((W, C + 2, C))
    return np.swapaxes(A, 1, 2) @ A, rng.standard_normal((W, C))


def test_quadratic_costs_give_their_joint_minimum() -> None:
    H, centre = quadratics()
    mean = np.array([0.1, -0.2, 0.3, 1.0, -1.0])
    prior = Prior(mean, block_diagonal(np.eye(D), np.diag([2.0, 0.5])), np.ones(C))
    asked: list[np.ndarray] = []

    def minimise(controls: np.ndarray, used: Prior) -> Minima:
        asked.append(controls)
        hessian = H + used.precision
        right = (H @ centre[..., None])[..., 0] + used.precision @ used.mean
        control = np.linalg.solve(hessian, right[..., None])
        d, e = control[..., 0] - centre, control[..., 0] - used.mean
        J = np.einsum("wi,wij,wj->w", d, H, d) + np.einsum("wi,ij,wj->w", e, used.precision, e)
        count = controls.shape[1]
        return Minima(
            np.tile(control.transpose(0, 2, 1), (1, count, 1)),
            np.tile(hessian[:, None], (1, count, 1, 1)), np.tile(J[:, None] / 2, (1, count)),
            np.ones((W, count), int), np.full((W, count), int(Status.CONVERGED)),
        )  # fmt: skip

    first = minimise(np.zeros((W, 1, C)), prior)
    lost = 4  # this window's minimum is no guide
    first.status[lost] = int(Status.DIVERGED)
    first.objective[lost] = np.inf

    def all_but_lost(controls: np.ndarray, used: Prior) -> Minima:
        found = minimise(controls, used)
        found.status[lost] = int(Status.DIVERGED)
        return found

    found = in_common(first, prior, D, np.full(W, 1e9), all_but_lost)
    counted = [w for w in range(W) if w != lost]
    # All states and the parameters as one system.
    size = len(counted) * D + P
    whole, right = np.zeros((size, size)), np.zeros(size)
    for k, w in enumerate(counted):
        place = np.r_[k * D : (k + 1) * D, size - P : size]
        state_prior = block_diagonal(np.eye(D), np.zeros((P, P)))
        whole[np.ix_(place, place)] += H[w] + state_prior
        right[place] += H[w] @ centre[w] + state_prior @ mean
    whole[-P:, -P:] += np.diag([2.0, 0.5])
    right[-P:] += np.diag([2.0, 0.5]) @ mean[D:]
    solved = np.linalg.solve(whole, right)
    np.testing.assert_allclose(found.control[:, 0, D:], np.tile(solved[-P:], (W, 1)), rtol=1e-6)
    states = found.control[counted, 0, :D]
    np.testing.assert_allclose(states, solved[:-P].reshape(-1, D), rtol=1e-5, atol=1e-6)
    # Each window's Hessian has all that is known of the parameters.
    covariance = np.linalg.inv(whole)[-P:, -P:]
    for w in counted:
        own = np.linalg.inv(found.hessian[w, 0])[D:, D:]
        np.testing.assert_allclose(own, covariance, rtol=1e-4)
    assert found.iterations[0, 0] == 1 + len(asked[1:]) + 1  # the last round has two starts
    assert len(asked) < 8


def test_parameters_that_no_window_counts_for_are_said() -> None:
    H, _ = quadratics()
    prior = Prior(np.zeros(C), np.eye(C), np.ones(C))
    found = Minima(np.zeros((W, 1, C)), H[:, None], np.ones((W, 1)), np.ones((W, 1), int),
                   np.full((W, 1), int(Status.CONVERGED)))  # fmt: skip

    def as_before(controls: np.ndarray, used: Prior) -> Minima:
        return found

    with pytest.warns(Notice, match=f"none of {W} windows fits .*wider prior .parameter_stdev"):
        in_common(found, prior, D, np.zeros(W), as_before)
