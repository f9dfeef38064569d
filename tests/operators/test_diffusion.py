"""Diffusion on grids with land against dense matrices and the Matérn correlation."""

import numpy as np
import pytest
from scipy.special import gamma, kv

from pyvda.errors import InputError
from pyvda.operators import Diffusion

RNG = np.random.default_rng(5)
SHAPE = (7, 8)
LAND = np.zeros(SHAPE, bool)
LAND[:, 3] = True
LAND[2, :3] = True


def varying(shape=SHAPE, land=LAND, steps=6):
    y, x = np.mgrid[: shape[0], : shape[1]]
    spacing = (1.0 + 0.1 * y, 2.0 - 0.05 * x)
    return Diffusion(2 + 0.1 * x, 0.5 + 0.02 * y, land, spacing=spacing, steps=steps)


def dense_by_hand(steps):
    """Solve the steps with dense matrices, cell by cell and face by face."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    dy, dx = 1.0 + 0.1 * y, 2.0 - 0.05 * x
    kappa = (2 + 0.1 * x) ** 2 / (2 * (steps - 2))
    cells = [tuple(c) for c in np.argwhere(~LAND)]
    number = {c: k for k, c in enumerate(cells)}
    W = np.diag([dy[c] * dx[c] for c in cells])
    A = W.copy()
    for (i, j), k in number.items():
        for di, dj, along, across in ((0, 1, dx, dy), (1, 0, dy, dx)):
            other = (i + di, j + dj)
            if other in number:
                m = number[other]
                flux = sum(kappa[c] * across[c] / along[c] for c in ((i, j), other)) / 2
                A[k, k] += flux
                A[m, m] += flux
                A[k, m] -= flux
                A[m, k] -= flux
    one = np.linalg.solve(A, W)
    C = np.linalg.matrix_power(one, steps) @ np.linalg.inv(W)
    deviation = np.array([0.5 + 0.02 * c[0] for c in cells]) / np.sqrt(np.diag(C))
    whole = np.zeros((LAND.size, LAND.size))
    sea = np.flatnonzero(~LAND.ravel())
    whole[np.ix_(sea, sea)] = deviation[:, None] * C * deviation
    return whole


@pytest.mark.parametrize("steps", [4, 10])
def test_it_is_the_dense_matrix(steps) -> None:
    C = varying(steps=steps)
    np.testing.assert_allclose(C.dense(), dense_by_hand(steps), atol=1e-12)
    S = C.sqrt(np.eye(C.rank)).T
    np.testing.assert_allclose(S @ S.T, C.dense(), atol=1e-13)
    np.testing.assert_allclose(C.sqrt_adjoint(np.eye(C.size)), S, atol=1e-13)
    np.testing.assert_allclose(np.diag(C.dense()), C.variance(), atol=1e-13)


def test_nothing_crosses_land() -> None:
    C = varying().dense().reshape(*SHAPE, *SHAPE)
    assert not C[0, 0, :, 4:].any()
    assert not C[0, 0, 3:, :].any()
    assert C[0, 0, 1, 2] > 0


def test_solve_is_the_inverse_without_land() -> None:
    C = varying(land=np.zeros(SHAPE, bool))
    np.testing.assert_allclose(C.solve(C.dense()), np.eye(C.size), atol=1e-7)
    with pytest.raises(InputError, match="no variance on land"):
        varying().solve(np.ones(LAND.size))


def test_far_from_land_the_correlation_is_that_of_matern() -> None:
    n, length, steps = 61, 6.0, 10
    C = Diffusion(length, shape=(n, n), steps=steps)
    impulse = np.zeros((n, n))
    impulse[30, 30] = 1.0
    found = C.apply(impulse.ravel()).reshape(n, n)[30, 31:45]
    nu, scaled = steps - 1, np.arange(1, 15) / (length / np.sqrt(2 * steps - 4))
    expected = 2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_draws_give_the_variance_of_a_large_grid(monkeypatch) -> None:
    monkeypatch.setattr("pyvda.operators.diffusion._MOST", 10)
    drawn, exact = varying().dense(), dense_by_hand(6)
    sea = ~LAND.ravel()
    ratio = np.diag(drawn)[sea] / np.diag(exact)[sea]
    assert 0.01 < np.abs(ratio - 1).max() < 0.2


@pytest.mark.parametrize("steps", [4, 10])
def test_points_that_share_a_vector_have_the_variance_of_single_ones(steps, monkeypatch) -> None:
    land = np.zeros((40, 44), bool)
    land[10:14, 5:30] = True
    shared = Diffusion(np.linspace(1.0, 2.0, 44) * np.ones((40, 1)), land=land, steps=steps)
    assert max(shared._apart) < 22
    monkeypatch.setattr("pyvda.operators.diffusion._apart", lambda *_: 1000)
    single = Diffusion(np.linspace(1.0, 2.0, 44) * np.ones((40, 1)), land=land, steps=steps)
    np.testing.assert_allclose(shared._scale, single._scale, rtol=2e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": 1.0}, "expected one shape"),
        ({"length": np.ones((3, 3)), "land": np.zeros((4, 3))}, "expected one shape"),
        ({"length": 1.0, "land": np.ones((3, 3))}, "land everywhere"),
        ({"length": 0.0, "shape": (3, 3)}, "smallest length is 0"),
        ({"length": 1.0, "shape": (3, 3), "steps": 5}, "expected an even number"),
    ],
)
def test_invalid_arguments(given, message) -> None:
    with pytest.raises(InputError, match=message):
        Diffusion(**given)
