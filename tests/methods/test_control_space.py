"""Controls of a window against dense matrices."""

import numpy as np
import pytest

from pyvda.methods.control_space import ControlSpace
from pyvda.operators import Dense, FromEnsemble

D, T = 4, 5
RNG = np.random.default_rng(1)
B = Dense(np.eye(D) + 0.3)
Q = FromEnsemble(RNG.normal(size=(3, D)))  # of another rank than B


def test_without_a_model_error_the_control_is_that_of_the_first_state() -> None:
    space = ControlSpace(B, None, T)
    assert space.rank == D
    w = RNG.normal(size=(2, D))
    start, forcing = space.applied(w, T)
    np.testing.assert_array_equal(start, B.sqrt(w))
    assert forcing is None
    gradient = RNG.normal(size=(T, D))
    np.testing.assert_array_equal(space.adjoint(gradient), B.sqrt_adjoint(gradient[0]))


@pytest.mark.parametrize("steps", [1, 3, T])
def test_the_adjoint_is_the_transpose(steps) -> None:
    space = ControlSpace(B, Q, T)
    assert space.rank == D + (T - 1) * Q.rank
    start, forcing = space.applied(np.eye(space.rank), steps)
    matrix = np.concatenate([start[:, None], forcing], 1)  # (rank, steps, D)
    gradient = RNG.normal(size=(steps, D))
    np.testing.assert_allclose(
        space.adjoint(gradient), np.einsum("ktd,td->k", matrix, gradient), atol=1e-14
    )


def test_the_controls_have_the_covariances() -> None:
    start, forcing = ControlSpace(B, Q, T).applied(np.eye(D + (T - 1) * Q.rank), T)
    np.testing.assert_allclose(start.T @ start, B.dense(), atol=1e-14)
    np.testing.assert_allclose(forcing[:, 2].T @ forcing[:, 2], Q.dense(), atol=1e-14)
    np.testing.assert_allclose(forcing[:, 1].T @ forcing[:, 2], 0)
