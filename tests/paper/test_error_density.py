"""The kernel estimate of a density against known densities, in the middle and in the tails."""

import numpy as np
import pytest

from pyvda.paper.error_density import error_density


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_the_density_of_long_tails_is_found(scale) -> None:
    # Laplace: (1/2s) exp(-|e|/s). Its peak is a corner, which a kernel rounds.
    errors = scale * np.random.default_rng(3).laplace(size=(200, 100, 10))
    at = scale * np.array([-9.0, -5.0, -2.0, -0.7, 0.7, 2.0, 5.0, 9.0])
    expected = np.exp(-np.abs(at) / scale) / (2 * scale)
    np.testing.assert_allclose(error_density(errors, at[1:-1]), expected[1:-1], rtol=0.1)
    # Nine scales out, where one error of 8000 lies, the kernel is as wide as the density falls.
    np.testing.assert_allclose(error_density(errors, at), expected, rtol=0.8)
    assert error_density(errors, np.zeros(1)) == pytest.approx(0.5 / scale, rel=0.15)


def test_its_integral_is_one_and_its_place_that_of_the_errors() -> None:
    errors = 2.0 + np.random.default_rng(4).normal(size=20_000)
    at = np.linspace(-10, 15, 5001)
    density = error_density(errors, at)
    assert np.trapezoid(density, at) == pytest.approx(1.0, abs=1e-3)
    assert np.trapezoid(at * density, at) == pytest.approx(2.0, abs=0.05)


def test_an_isolated_large_error_is_not_a_spike() -> None:
    errors = np.append(np.random.default_rng(5).normal(size=9999), 80.0)
    near = error_density(errors, np.linspace(70, 90, 201))
    assert near.max() < 2e-5  # in a histogram of cells of 0.5 it would be 2e-4
    assert (near > 0).all()


def test_errors_that_are_all_zero_have_a_finite_density() -> None:
    assert np.isfinite(error_density(np.zeros(10), np.linspace(-1, 1, 5))).all()
