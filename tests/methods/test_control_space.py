"""Controls of a window against dense matrices."""

from itertools import pairwise

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
    np.testing.assert_array_equal(space.start(w), B.sqrt(w))
    assert space.forcing(w, 0, T - 1) is None
    gradient, found = RNG.normal(size=(T, D)), np.ones(D)
    space.add_adjoint(gradient, 0, found)
    np.testing.assert_allclose(found, 1 + B.sqrt_adjoint(gradient[0]), rtol=1e-14)


@pytest.mark.parametrize("bounds", [(0,), (0, 2), (0, T - 1), (0, 1, 3, T - 1)])
def test_the_adjoint_is_the_transpose(bounds) -> None:
    """Whether the steps are looked at together or in segments."""
    space = ControlSpace(B, Q, T)
    assert space.rank == D + (T - 1) * Q.rank
    one = np.eye(space.rank)
    steps = bounds[-1] + 1
    matrix = np.concatenate([space.start(one)[:, None], space.forcing(one, 0, steps - 1)], 1)
    gradient, found = RNG.normal(size=(steps, D)), np.zeros(space.rank)
    for first, last in pairwise(bounds) if len(bounds) > 1 else [(0, 0)]:
        space.add_adjoint(gradient[first : last + 1], first, found)
    np.testing.assert_allclose(found, np.einsum("ktd,td->k", matrix, gradient), atol=1e-14)


def test_the_controls_have_the_covariances() -> None:
    one, space = np.eye(D + (T - 1) * Q.rank), ControlSpace(B, Q, T)
    start, forcing = space.start(one), space.forcing(one, 0, T - 1)
    np.testing.assert_allclose(start.T @ start, B.dense(), atol=1e-14)
    np.testing.assert_allclose(forcing[:, 2].T @ forcing[:, 2], Q.dense(), atol=1e-14)
    np.testing.assert_allclose(forcing[:, 1].T @ forcing[:, 2], 0)
