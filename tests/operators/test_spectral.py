"""Spectral covariances against dense matrices and correlation functions."""

import numpy as np
import pytest
from scipy.fft import dct, dst

from pyvda.errors import InputError
from pyvda.operators import Spectral, gaussian, power

SHAPE = (6, 9)
BOUNDARIES = ["wall", "open", "periodic"]


def root(C) -> np.ndarray:
    return C.sqrt(np.eye(C.rank)).T


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("uniform", [True, False])
def test_the_products_belong_to_one_matrix(boundary, uniform) -> None:
    stdev = np.linspace(0.5, 2, np.prod(SHAPE)).reshape(SHAPE)
    C = Spectral(SHAPE, power(1.5, 2.0), stdev, boundary=boundary, uniform=uniform)
    S, dense = root(C), C.dense()
    np.testing.assert_allclose(S @ S.T, dense, atol=1e-13)
    np.testing.assert_allclose(C.sqrt_adjoint(np.eye(C.size)), S, atol=1e-13)
    np.testing.assert_allclose(np.diag(dense), C.variance(), atol=1e-13)


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_solve_is_the_inverse(boundary) -> None:
    C = Spectral(SHAPE, power(1.5, 2.0), 0.7, boundary=boundary)
    np.testing.assert_allclose(C.solve(C.dense()), np.eye(C.size), atol=1e-10)


def test_periodic_is_the_gaussian_correlation() -> None:
    n, length = 64, 3.0
    C = Spectral((n,) * 2, gaussian(length), 2.0, boundary="periodic")
    impulse = np.zeros((n, n))
    impulse[0, 0] = 1.0
    d = np.minimum(np.arange(n), n - np.arange(n))
    expected = 4 * np.exp(-(d[:, None] ** 2 + d**2) / (2 * length**2))
    np.testing.assert_allclose(C.apply(impulse.ravel()).reshape(n, n), expected, atol=1e-7)


def test_transforms_are_those_of_the_boundary() -> None:
    """In one dimension: sine modes between walls, cosine modes between open edges."""
    n, modes = 7, np.arange(1.0, 8.0)
    for boundary, matrix in (
        ("wall", dst(np.eye(n), 1, norm="ortho", axis=0)),
        ("open", dct(np.eye(n), 2, norm="ortho", axis=0).T),
    ):
        shape = (n + 2,) if boundary == "wall" else (n,)
        C = Spectral(shape, lambda k: modes, boundary=boundary, uniform=False)
        expected = matrix @ np.diag(modes) @ matrix.T
        found = C.dense()[1:-1, 1:-1] if boundary == "wall" else C.dense()
        np.testing.assert_allclose(found, expected / np.diag(expected).mean(), atol=1e-13)


def test_walls_have_no_variance_and_no_inverse() -> None:
    wall = Spectral(SHAPE, gaussian(1.0), 3.0, boundary="wall")
    np.testing.assert_allclose(wall.variance().reshape(SHAPE)[1:-1, 1:-1], 9.0)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert not wall.variance().reshape(SHAPE)[edge].any()
    with pytest.raises(InputError, match="singular"):
        wall.solve(np.ones(wall.size))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2, 5), gaussian(1.0)), "at least three points"),
        ((SHAPE, lambda k: -k), "negative or infinite"),
        ((SHAPE, lambda k: 0 * k), "0 everywhere"),
        ((SHAPE, gaussian(1.0), np.ones(3)), "standard deviation has the shape"),
        ((SHAPE, gaussian(1.0), -1.0), "values from -1.0 to"),
        ((SHAPE, gaussian(1.0), np.inf), "finite and not negative"),
    ],
)
def test_invalid_arguments(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        Spectral(*arguments)
