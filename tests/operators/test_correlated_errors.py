"""Correlated observation errors, against a dense weighted least squares."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import CorrelatedErrors


@pytest.mark.parametrize("shape", ["exponential", "gaussian"])
def test_whitened_data_have_the_least_squares_estimate_of_the_dense_covariance(shape):
    rng = np.random.default_rng(0)
    N, D = 12, 4
    H, y, sigma = rng.normal(size=(N, D)), rng.normal(size=N), rng.uniform(0.5, 2, N)
    at, group = rng.uniform(0, 5, (N, 2)), rng.integers(0, 3, N)
    errors = CorrelatedErrors(1.5, ("y", "x"), shape)
    distance = np.linalg.norm(at[:, None] - at[None], axis=-1) / 1.5
    R = np.exp(-distance if shape == "exponential" else -0.5 * distance**2)
    R = R * (group[:, None] == group) * np.outer(sigma, sigma)
    expected = np.linalg.solve(H.T @ np.linalg.solve(R, H), H.T @ np.linalg.solve(R, y))

    value, rows, error = errors.whitened(y, H, sigma, at, group)
    found = np.linalg.lstsq(rows / error[:, None], value / error, rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    x = rng.normal(size=D)
    d = y - H @ x
    cost = (((value - rows @ x) / error) ** 2).sum()
    assert cost == pytest.approx(d @ np.linalg.solve(R, d), rel=1e-11)
    for g in range(3):
        own = group == g
        assert np.ptp(error[own]) == 0
        assert error[own][0] ** 2 == pytest.approx(np.mean(sigma[own] ** 2))


def test_a_lone_datum_is_unchanged():
    y, H, sigma = np.array([1.0, 2.0]), np.eye(2), np.array([0.5, 2.0])
    found = CorrelatedErrors(1.0, "x").whitened(y, H, sigma, np.zeros((2, 1)), np.array([0, 1]))
    for one, expected in zip(found, (y, H, sigma), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_data_at_one_place_and_time_are_refused():
    with pytest.raises(InputError, match="not positive definite: some lie at one place"):
        CorrelatedErrors(1.0, "x").whitened(
            np.ones(2), np.eye(2), np.ones(2), np.zeros((2, 1)), np.zeros(2, int)
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0.0, "x"), "correlation length is 0.0"),
        ((np.nan, "x"), "correlation length is nan"),
        (("2", "x"), "correlation length is '2'"),
        ((None, "x"), "correlation length is None"),
        ((True, "x"), "correlation length is True"),
        (([1.0, 2.0], "x"), "correlation length is"),
        ((1j, "x"), "correlation length is 1j"),
        ((1.0, ()), "give coordinates"),
        ((1.0, None), "found None; give coordinates"),
        ((1.0, [1]), r"found \[1\]; give coordinates"),
        ((1.0, "x", "cubic"), "choose exponential or gaussian"),
    ],
)
def test_settings_without_a_valid_covariance_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        CorrelatedErrors(*arguments)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -0.5])
def test_an_error_that_is_no_positive_number_is_refused(wrong):
    """Before it spreads to all the data of its time."""
    error = np.array([1.0, wrong, 1.0])
    with pytest.raises(InputError, match=f"error of a datum is {wrong}, expected a positive"):
        CorrelatedErrors(1.0, "x").whitened(
            np.ones(3), np.eye(3), error, np.arange(3.0)[:, None], np.zeros(3, int)
        )
