"""Covariance operators against dense matrices."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators.covariance import Covariance, Dense, Diagonal, FromEnsemble

SIZE = 6


def matrix(seed: int = 1) -> np.ndarray:
    """Return a positive definite matrix whose components differ by four orders in their units."""
    G = np.random.default_rng(seed).standard_normal((SIZE, SIZE + 3))
    scale = np.logspace(-2, 2, SIZE)
    return (G @ G.T) * np.outer(scale, scale)


def ensemble(count: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, SIZE)) * np.arange(1, SIZE + 1)


def correlation() -> np.ndarray:
    distance = np.abs(np.subtract.outer(np.arange(SIZE), np.arange(SIZE)))
    return np.exp(-0.5 * (distance / 1.5) ** 2)


def sample_covariance(members: np.ndarray) -> np.ndarray:
    return np.cov(members, rowvar=False)


CASES = {
    "diagonal": (lambda: Diagonal(np.logspace(-4, 4, SIZE)), np.diag(np.logspace(-4, 4, SIZE))),
    "dense": (lambda: Dense(matrix()), matrix()),
    "factor": (lambda: Dense.from_factor(np.linalg.cholesky(matrix())), matrix()),
    "ensemble": (lambda: FromEnsemble(ensemble(20)), sample_covariance(ensemble(20))),
    "few members": (lambda: FromEnsemble(ensemble(4)), sample_covariance(ensemble(4))),
    "localised": (
        lambda: FromEnsemble(ensemble(4), Dense(correlation())),
        sample_covariance(ensemble(4)) * correlation(),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Covariance, np.ndarray]:
    make, expected = CASES[request.param]
    return make(), expected


def scaled(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the difference in units of the components' standard deviations."""
    deviation = np.sqrt(np.diag(expected))
    return np.abs(found - expected) / np.outer(deviation, deviation)


def test_dense_and_variance_are_the_matrix(case: tuple[Covariance, np.ndarray]) -> None:
    C, expected = case
    assert C.size == SIZE
    assert scaled(C.dense(), expected).max() < 1e-13
    assert np.allclose(C.variance(), np.diag(expected), rtol=1e-13)


def test_sqrt_times_its_adjoint_is_the_matrix(case: tuple[Covariance, np.ndarray]) -> None:
    C, expected = case
    S = C.sqrt(np.eye(C.rank)).T
    assert S.shape == (SIZE, C.rank)
    assert scaled(S @ S.T, expected).max() < 1e-13


def test_products_act_on_the_last_axis(case: tuple[Covariance, np.ndarray]) -> None:
    C, expected = case
    random = np.random.default_rng(3)
    v, w = random.standard_normal((2, 5, SIZE)), random.standard_normal((2, 5, C.rank))
    assert np.allclose(C.apply(v), v @ expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    left, right = (C.sqrt(w) * v).sum(), (w * C.sqrt_adjoint(v)).sum()
    assert abs(left - right) < 1e-12 * np.linalg.norm(C.sqrt(w)) * np.linalg.norm(v)
    assert C.apply(v[1, 2]).shape == (SIZE,)
    assert C.sqrt(w[0, 0]).shape == (SIZE,)


@pytest.mark.parametrize("name", [name for name in CASES if name != "few members"])
def test_solve_is_the_inverse(name: str) -> None:
    make, expected = CASES[name]
    C = make()
    deviation = np.sqrt(np.diag(expected))
    found = C.precision() * np.outer(deviation, deviation)
    wanted = np.linalg.inv(expected / np.outer(deviation, deviation))
    assert np.abs(found - wanted).max() < 1e-11 * np.abs(wanted).max()
    assert np.array_equal(C.precision(), C.precision().T)
    v = np.random.default_rng(4).standard_normal((3, SIZE))
    assert np.allclose(C.solve(C.apply(v)), v, atol=1e-9)


def test_samples_have_the_covariance() -> None:
    C = Dense(matrix())
    draws = C.sample(np.random.default_rng(5), 20_000)
    deviation = np.sqrt(np.diag(matrix()))
    assert scaled(np.cov(draws, rowvar=False), matrix()).max() < 0.05
    assert np.abs(draws.mean(0) / deviation).max() < 0.03


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Diagonal([1.0, 0.0]), "smallest of the variances is 0.0"),
        (lambda: Diagonal([1.0, np.nan]), "NaN"),
        (lambda: Diagonal(2.0), r"found \(\)"),
        (lambda: Diagonal(["a"]), "real numbers"),
        (lambda: Dense([[1.0, 0.0]]), r"found \(1, 2\)"),
        (lambda: Dense([[1.0, 2.0], [0.0, 5.0]]), r"entry \(0, 1\) is 2.0"),
        (lambda: Dense([[1.0, 1.0], [1.0, 1.0]]), "not positive definite"),
        (lambda: Dense([[1.0, 2.0], [2.0, 1.0]]), "not positive definite"),
        (lambda: Dense([[-1.0, 0.0], [0.0, 1.0]]), "not positive definite"),
        (lambda: Dense([[np.inf, 0.0], [0.0, 1.0]]), "NaN or infinite"),
        (lambda: Dense(np.zeros((0, 0))), r"found \(0, 0\)"),
        (lambda: FromEnsemble([[1.0, 2.0]]), "1 members"),
        (lambda: FromEnsemble(ensemble(4)).solve(np.ones(SIZE)), "4 members in 6 dimensions"),
        (lambda: FromEnsemble(ensemble(4), Diagonal([1.0])), "taper is for 1 components"),
        (lambda: FromEnsemble(ensemble(4), Diagonal([2.0] * SIZE)), "2.0 on its diagonal"),
    ],
)
def test_invalid_covariances_are_refused_in_one_sentence(make, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 2\)"):
        Diagonal([1.0, 1.0]).apply([1.0, 2.0, 3.0])


def test_covariances_are_public() -> None:
    import pyvda.operators

    assert {"Covariance", "Dense", "Diagonal", "FromEnsemble"} <= set(dir(pyvda.operators))
    assert pyvda.operators.Dense is Dense
