"""The measures of the checks: differences, Taylor orders, adjoint products, norms."""

import numpy as np

from pyvda.checks import derivatives


def test_difference_is_right_to_its_error() -> None:
    x, d = np.array([0.3, 1.1]), np.array([1.0, -0.5])
    found = derivatives.difference(np.sin, x, d)
    assert np.abs(found - np.cos(x) * d).max() < 10 * derivatives.DIFFERENCE_ERROR


def test_taylor_orders_distinguish_correct_from_slightly_wrong() -> None:
    rng = np.random.default_rng(1)
    x, d = rng.standard_normal((2, 4, 5, 3))

    def f(x):
        return (x**2).sum((1, 2)) + np.sin(x).sum((1, 2))

    right = 2 * x + np.cos(x)
    orders, noise = derivatives.taylor_orders(f, x, right, d)
    assert np.abs(orders - 2).max() < 0.01
    assert noise.max() < 1e-3
    orders, _ = derivatives.taylor_orders(f, x, right + 0.01 * d, d)
    assert orders.max() < 1.5


def test_adjoint_mismatch_is_relative_to_the_norms() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((7, 7))
    d, v = rng.standard_normal((2, 10, 7))
    right = derivatives.adjoint_mismatch(d @ matrix.T, v, d, v @ matrix)
    wrong = derivatives.adjoint_mismatch(d @ matrix.T, v, d, v @ matrix.T)
    assert right.max() < 1e-14
    assert wrong.max() > 1e-2


def test_relative_differences_are_of_whole_windows() -> None:
    found, expected = np.zeros((2, 3, 2)), np.zeros((2, 3, 2))
    expected[0, 1, 1], found[0, 1, 1], found[0, 2, 0] = 4.0, 4.0, 3.0
    np.testing.assert_allclose(derivatives.relative(found, expected), [0.75, 0.0])
    np.testing.assert_allclose(derivatives.relative(np.array([1.5]), np.array([1.0])), [0.5])
    assert derivatives.relative(np.ones(1), np.zeros(1))[0] > 1e300


def test_directions_get_a_size_and_zero_stays_zero() -> None:
    direction = np.random.default_rng(3).standard_normal((3, 4, 5))
    direction[1] = 0
    found = derivatives.as_large_as(direction, 2.5)
    rms = np.sqrt((found**2).mean((1, 2)))
    np.testing.assert_allclose(rms, [2.5, 0.0, 2.5], rtol=1e-14)
    cosine = (
        (found[2] * direction[2]).sum() / np.linalg.norm(found[2]) / np.linalg.norm(direction[2])
    )
    assert abs(cosine - 1) < 1e-14
