"""Conjugate gradients and Ritz pairs against dense linear algebra."""

import numpy as np
import pytest

from pyvda.methods.inner_loop import Directions, Ritz, solve

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


def test_directions_that_rounding_has_made_alike_are_left_out() -> None:
    """The product is symmetric to three digits only, as that of a model that amplifies errors."""
    for seed in range(50):
        random = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        rough = (turn * [1e6, 1e3, 1.0]) @ turn.T + 1e3 * random.normal(size=(3, 3))
        ritz = solve(lambda v, A=rough: A @ v, random.normal(size=3), Ritz.none(3), 20, 1e-2).ritz
        assert len(ritz.values) <= 3
        expected = np.eye(len(ritz.values))
        np.testing.assert_allclose(ritz.vectors @ ritz.vectors.T, expected, rtol=0, atol=1e-6)


def test_all_pairs_are_those_of_the_matrix_though_eigenvalues_are_equal() -> None:
    """Of a matrix or of its rows: 12 of them, of which 4 and 5 have one eigenvalue."""
    lengths = np.sqrt([1.0] * 4 + [9.0] * 5 + [1e-3, 50.0, 1e4])
    turn, _ = np.linalg.qr(RNG.normal(size=(12, 12)))
    G = turn @ (lengths[:, None] * Q[:, :12].T)
    matrix = np.eye(SIZE) + G.T @ G
    for ritz in (Ritz.of_matrix(matrix), Ritz.of_rows(G)):
        np.testing.assert_allclose(
            ritz.power(np.eye(SIZE), -1.0), np.linalg.inv(matrix), rtol=0, atol=1e-9
        )
        many = ritz.values > 1 + 1e-8
        np.testing.assert_allclose(ritz.values[many], 1 + np.sort(lengths**2), rtol=1e-9)
        vectors = ritz.vectors[many]
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(12), rtol=0, atol=1e-9)
    assert len(Ritz.of_rows(G[:0]).values) == 0


@pytest.mark.parametrize("room", [0, 1, 3, 100])
def test_solutions_that_share_directions_are_those_of_a_dense_solver(room) -> None:
    directions, products = Directions(room, SIZE), []

    def counted(v):
        products[-1] += 1
        return A @ v

    for b in RNG.normal(size=(4, SIZE)):
        products.append(0)
        found = directions.solve(counted, b, 100, 1e-10)
        np.testing.assert_allclose(found, np.linalg.solve(A, b), rtol=0, atol=1e-8)
    # 7 distinct eigenvalues. Then all directions are known whose eigenvalues are not 1.
    assert products == [7, 1, 1, 1] if room == 100 else max(products) < 12


def test_directions_end_at_their_limit_and_where_there_is_no_curvature() -> None:
    error = Directions(9, SIZE).solve(product, B, 2, 1e-12) - np.linalg.solve(A, B)
    assert 0 < error @ A @ error < B @ np.linalg.solve(A, B)
    assert not Directions(9, SIZE).solve(lambda v: -v, B, 5, 1e-12).any()
