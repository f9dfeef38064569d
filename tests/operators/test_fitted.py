"""A covariance is found again from draws of it."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import Spectral, fitted_spectral, power

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
