"""Conjugate gradients and Ritz pairs against dense linear algebra."""

import numpy as np
import pytest

from pyvda.methods.inner_loop import Ritz, solve

SIZE = 40
RNG = np.random.default_rng(8)
Q, _ = np.linalg.qr(RNG.normal(size=(SIZE, SIZE)))
VALUES = np.ones(SIZE)
VALUES[:6] = [3, 10, 30, 100, 300, 1000]
A = (Q * VALUES) @ Q.T
B = RNG.normal(size=SIZE)


def product(v):
    return A @ v


def test_the_solution_is_that_of_a_dense_solver() -> None:
    found = solve(product, B, Ritz.none(SIZE), 100, 1e-12)
    np.testing.assert_allclose(found.x, np.linalg.solve(A, B), rtol=1e-9)
    assert found.residual < 1e-12
    # As many iterations as there are distinct eigenvalues.
    assert found.iterations == 7


def test_the_ritz_pairs_are_the_eigenpairs_above_one() -> None:
    ritz = solve(product, B, Ritz.none(SIZE), 100, 1e-12).ritz
    np.testing.assert_allclose(ritz.values, VALUES[:6], rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.sum(ritz.vectors * Q[:, :6].T, 1)), 1, rtol=1e-8)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.5])
def test_powers_are_those_of_the_matrix(exponent) -> None:
    ritz = Ritz(VALUES[:6], Q[:, :6].T)
    expected = (Q * VALUES**exponent) @ Q.T @ B
    np.testing.assert_allclose(ritz.power(B, exponent), expected, rtol=1e-10, atol=1e-12)


def test_known_pairs_spare_iterations_and_are_found_again() -> None:
    ritz = Ritz(VALUES[2:6], Q[:, 2:6].T)
    found = solve(product, B, ritz, 100, 1e-12)
    assert found.iterations == 3
    np.testing.assert_allclose(found.x, np.linalg.solve(A, B), rtol=1e-9)


def test_the_loop_ends_at_its_limit_or_at_a_direction_without_curvature() -> None:
    assert solve(product, B, Ritz.none(SIZE), 2, 1e-12).iterations == 2
    flat = solve(lambda v: -v, B, Ritz.none(SIZE), 5, 1e-12)
    assert flat.iterations == 0
    assert not flat.x.any()
