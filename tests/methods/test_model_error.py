"""Model errors: the weight of the model, and draws whose sample moments are exact."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.methods.model_error import drawn, model_noise, model_weight
from pyvda.operators.covariance import Dense


def test_noise_has_the_covariance() -> None:
    random = np.random.default_rng(3)
    G = random.standard_normal((3, 3))
    Q = Dense(G @ G.T + np.eye(3))
    for count in (6, 40):
        members = random.standard_normal((count, 3))
        noise = model_noise(Q, members, 5, 1)
        assert noise.shape == (5, 3, count)
        assert np.abs(noise.mean(2)).max() < 1e-12
        for of_step in noise:
            assert np.allclose(np.cov(of_step), Q.dense(), rtol=1e-10)
        if count == 40:  # enough for all steps: uncorrelated with each other and with the members
            flat = noise.reshape(15, count)
            between = flat @ flat.T / (count - 1) - np.kron(np.eye(5), Q.dense())
            assert np.abs(between).max() < 1e-10
            assert np.abs(flat @ (members - members.mean(0))).max() < 1e-10
    assert np.array_equal(noise, model_noise(Q, members, 5, 1))
    few = model_noise(Q, random.standard_normal((3, 3)), 2, 1)
    assert few.shape == (2, 3, 3)
    assert np.isfinite(few).all()


def test_a_number_is_a_weight_and_a_matrix_a_precision() -> None:
    assert model_weight(0.25, 3) == (4.0, None)
    Q = np.array([[2.0, 0.5], [0.5, 1.0]])
    for given in (Q, Dense(Q)):
        weight, precision = model_weight(given, 2)
        assert weight == 1.0
        np.testing.assert_allclose(precision @ Q, np.eye(2), atol=1e-14)
    with pytest.raises(InputError, match="model_error"):
        model_weight(Q, 3)
    with pytest.raises(InputError, match="model_error"):
        model_weight(np.ones((2, 2)), 2)


def test_drawn_states_have_the_mean_and_with_enough_of_them_the_covariance() -> None:
    B, mean = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([3.0, -1.0])
    many = drawn(mean, Dense(B), 7, seed=1)
    np.testing.assert_allclose(many.mean(0), mean, atol=1e-14)
    np.testing.assert_allclose(np.cov(many.T), B, rtol=1e-12)
    few = drawn(mean, Dense(B), 2, seed=1)
    np.testing.assert_allclose(few.mean(0), mean, atol=1e-14)
    np.testing.assert_array_equal(many, drawn(mean, Dense(B), 7, seed=1))
    assert not np.array_equal(many, drawn(mean, Dense(B), 7, seed=2))
