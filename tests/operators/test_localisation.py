"""The taper of an ensemble against its formula, dense matrices and Schur products."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import (
    Diffusion,
    FromEnsemble,
    Shared,
    Spectral,
    gaspari_cohn,
    gaspari_cohn_spectrum,
    gaussian,
)
from pyvda.operators.localisation import daley_length

RNG = np.random.default_rng(7)


def test_the_correlation_is_the_convolution_that_it_was_made_from() -> None:
    """In three dimensions: the cone 1 − r/c convolved with itself (Gaspari and Cohn, 1999)."""
    r, h = np.linspace(0, 1, 4001)[1:], 1 / 4000
    k = np.linspace(0.01, 60, 600)
    cone = 4 * np.pi * np.sum(np.sinc(k[:, None] * r / np.pi) * (1 - r) * r**2, 1) * h
    for distance in (0.3, 0.8, 1.2, 1.7):
        shape = np.sinc(k * np.array([[0.0], [distance]]) / np.pi) * cone**2 * k**2
        zero, there = shape.sum(1)
        assert gaspari_cohn(distance, 2.0) == pytest.approx(there / zero, abs=2e-3)
    assert gaspari_cohn([0.0, 2.0, 3.0, -3.0], 2.0).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_spectrum_is_that_of_the_correlation(dimensions) -> None:
    n, radius = 40, 12.0
    C = Spectral((n,) * dimensions, gaspari_cohn_spectrum(radius, dimensions), boundary="periodic")
    d = np.minimum(np.arange(n), n - np.arange(n))
    distance = np.sqrt(sum(x**2.0 for x in np.ix_(*[d] * dimensions)))
    impulse = np.zeros((n,) * dimensions)
    impulse[(0,) * dimensions] = 1.0
    found = C.apply(impulse.ravel()).reshape(distance.shape)
    np.testing.assert_allclose(found, gaspari_cohn(distance, radius), atol=5e-4)


def test_short_controls_hold_nearly_all_of_a_long_correlation() -> None:
    whole = Spectral((30, 30), gaspari_cohn_spectrum(20.0, 2))
    short = Spectral((30, 30), gaspari_cohn_spectrum(20.0, 2), least=1e-3)
    assert short.rank < whole.rank / 15
    np.testing.assert_allclose(short.dense(), whole.dense(), atol=0.02)
    S = short.sqrt(np.eye(short.rank)).T
    np.testing.assert_allclose(S @ S.T, short.dense(), atol=1e-13)
    np.testing.assert_allclose(short.sqrt_adjoint(np.eye(900)), S, atol=1e-13)
    np.testing.assert_allclose(short.variance(), 1.0)
    with pytest.raises(InputError, match="singular"):
        short.solve(np.ones(900))
    with pytest.raises(InputError, match="fraction"):
        Spectral((5, 5), gaussian(1.0), least=1.0)


def test_a_localised_ensemble_is_a_schur_product() -> None:
    members = RNG.normal(size=(5, 2 * 48)) * np.linspace(1, 2, 96)
    one = Spectral((6, 8), gaspari_cohn_spectrum(4.0, 2), least=1e-4)
    C = FromEnsemble(members, Shared(one, 2))
    expected = np.cov(members, rowvar=False) * np.tile(one.dense(), (2, 2))
    np.testing.assert_allclose(C.dense(), expected, atol=1e-13)
    S = C.sqrt(np.eye(C.rank)).T
    assert C.rank == 5 * one.rank
    np.testing.assert_allclose(S @ S.T, expected, atol=1e-13)
    np.testing.assert_allclose(C.sqrt_adjoint(np.eye(96)), S, atol=1e-13)
    with pytest.raises(InputError, match="singular"):
        Shared(one, 2).solve(np.ones(96))


def test_on_land_members_and_taper_have_no_variance() -> None:
    land = np.zeros((6, 7), bool)
    land[2:4, 3] = True
    members = np.where(land.ravel(), 0.0, RNG.normal(size=(4, 42)))
    C = FromEnsemble(members, Diffusion(daley_length(6.0), land=land))
    expected = np.cov(members, rowvar=False) * Diffusion(daley_length(6.0), land=land).dense()
    np.testing.assert_allclose(C.dense(), expected, atol=1e-13)


def test_the_daley_length_is_the_curvature_at_zero() -> None:
    h, radius = 1e-3, 7.0
    curvature = 2 * 2 * (gaspari_cohn(h, radius) - 1) / h**2  # in two dimensions
    assert daley_length(radius) == pytest.approx(np.sqrt(-2 / curvature), rel=1e-3)


def test_an_inverse_of_a_large_ensemble_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("pyvda.operators.covariance._LARGEST_DENSE", 3)
    with pytest.raises(InputError, match="for up to 3 components"):
        FromEnsemble(RNG.normal(size=(9, 4))).solve(np.ones(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.0, 2), "expected a positive number"), ((np.inf, 2), "positive"), ((1.0, 4), "1 to 3")],
)
def test_invalid_arguments(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        gaspari_cohn_spectrum(*arguments)
