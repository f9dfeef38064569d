"""Backgrounds: Mahalanobis distances against a dense solve, and invalid covariances."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from pyvda.climate.background import Background
from pyvda.errors import InputError

RANDOM = np.random.default_rng(5)
L = np.tril(RANDOM.standard_normal((3, 3))) + 2 * np.eye(3)
MEAN = np.array([1.0, -2.0, 20.0])


@pytest.mark.parametrize(
    ("background", "B"),
    [
        (Background.full(MEAN, L @ L.T), L @ L.T),
        (Background.factor(MEAN, L), L @ L.T),
        (Background.diagonal(MEAN, [1.0, 2.0, 50.0]), np.diag([1.0, 2.0, 50.0])),
        (Background.full(MEAN, 1e-12 * np.eye(3)), 1e-12 * np.eye(3)),
    ],
)
def test_is_the_logarithm_of_a_gaussian(background: Background, B: np.ndarray) -> None:
    x = MEAN + np.sqrt(np.diag(B)) * RANDOM.standard_normal((7, 3))
    density = multivariate_normal(MEAN, B)
    np.testing.assert_allclose(background.cost(x), density.logpdf(MEAN) - density.logpdf(x), 1e-9)
    difference = approx_fprime(x[0], background.cost, 1e-7 * np.sqrt(np.diag(B)))
    np.testing.assert_allclose(background.gradient(x)[0], difference, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Background.full(MEAN, np.ones((3, 3))), "singular"),
        (
            lambda: Background.full(MEAN, np.diag([1.0, 1.0, 0.0])),
            "no variance at 1 of 3 components, such as those of walls",
        ),
        (lambda: Background.full(MEAN, np.diag([1.0, -1.0, 1.0])), "singular"),
        (lambda: Background.full(MEAN, L), "symmetric"),
        (lambda: Background.full(MEAN, np.eye(2)), "shape"),
        (lambda: Background.full(MEAN, np.nan * np.eye(3)), "NaN"),
        (lambda: Background.factor(MEAN, np.ones((3, 3))), "singular"),
        (lambda: Background.diagonal(MEAN, [1.0, 0.0, 1.0]), "positive"),
        (lambda: Background.diagonal(MEAN, [1.0, 1.0]), "shape"),
        (lambda: Background.diagonal(MEAN, ["1", "2", "3"]), "variance is of type <U1"),
        (lambda: Background.diagonal(MEAN + 1j, np.ones(3)), "mean is of type complex128"),
    ],
)
def test_an_invalid_covariance_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
