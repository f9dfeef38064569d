import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.fields.transforms import Transform


@pytest.mark.parametrize("name", ["log10", "log", None])
def test_back_is_median_and_spread_of_samples(name) -> None:
    transform = Transform(name)
    values = np.array([0.3, 2.0, np.nan])
    mean = transform.forward(values, "chl")
    median, spread = transform.back(mean, np.full(3, 0.2))
    np.testing.assert_allclose(median, values)
    samples = mean[:2, None] + 0.2 * np.random.default_rng(0).normal(size=200_000)
    base = {"log10": 10.0, "log": np.e, None: None}[name]
    np.testing.assert_allclose(
        spread[:2], (samples if base is None else base**samples).std(1), rtol=0.02
    )
    assert (transform.comment() == {}) == (name is None)


def test_errors_are_propagated() -> None:
    value, error = np.array([5.0]), np.array([1e-4])
    difference = np.log10(value + 1e-2) - np.log10(value)
    np.testing.assert_allclose(
        Transform("log10").variance(value, error) ** 0.5, difference, rtol=1e-2
    )


def test_log_of_zero() -> None:
    with pytest.raises(InputError, match="1 values that are zero or negative"):
        Transform("log10").forward(np.array([0.0, 1.0]), "chl")
