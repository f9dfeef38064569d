"""A covariance is found again from draws of it."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import Spectral, fitted_spectral, power
from pyvda.operators.fitted import spectral_fit

SHAPE = (17, 17)


@pytest.mark.parametrize("boundary", ["wall", "open", "periodic"])
def test_draws_give_back_the_covariance(boundary) -> None:
    y, x = np.mgrid[:17, :17] / 16
    stdev = 1.3 if boundary == "periodic" else 1 + 0.5 * x * y
    true = Spectral(SHAPE, power(1.5, 3.0), stdev, boundary=boundary)
    samples = 3.0 + true.sample(np.random.default_rng(1), 400)
    found = fitted_spectral(samples, SHAPE, boundary)
    error = np.linalg.norm(found.dense() - true.dense()) / np.linalg.norm(true.dense())
    assert error < 0.1
    # Better than the sample covariance, which has as many numbers as pairs of points.
    raw = np.cov(samples, rowvar=False)
    assert error < 0.5 * np.linalg.norm(raw - true.dense()) / np.linalg.norm(true.dense())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((1, 289)), "at least two states"),
        (np.ones((5, 288)), "at least two states"),
        (np.ones((5, 289)), "do not vary everywhere"),
        (np.full((5, 289), np.nan), "NaN or infinite"),
    ],
)
def test_invalid_samples(samples, message) -> None:
    with pytest.raises(InputError, match=message):
        fitted_spectral(samples, SHAPE)


@pytest.mark.parametrize("boundary", ["wall", "open", "periodic"])
def test_the_constants_of_a_power_law_are_found(boundary) -> None:
    true = Spectral((33, 33), power(2.5, 3.0), 0.7, boundary=boundary)
    fit = spectral_fit(
        true.sample(np.random.default_rng(2), 400), (33, 33), boundary, spectrum="power"
    )
    assert fit.length == pytest.approx(2.5, rel=0.03)
    assert fit.exponent == pytest.approx(3.0, rel=0.03)
    inside = fit.stdev[1:-1, 1:-1]
    assert inside.mean() == pytest.approx(0.7, rel=0.03)  # 14 independent areas
    found, exact = fit.operator().dense(), true.dense()
    assert np.linalg.norm(found - exact) < 0.08 * np.linalg.norm(exact)


def test_a_floor_is_added_to_the_variance() -> None:
    samples = Spectral(SHAPE, power(1.5, 3.0)).sample(np.random.default_rng(3), 20)
    without, with_floor = (spectral_fit(samples, SHAPE, floor=f).stdev ** 2 for f in (0, 0.09))
    np.testing.assert_allclose(with_floor, without + 0.09 * without.mean())
