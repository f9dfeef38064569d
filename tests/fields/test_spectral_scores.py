import numpy as np
import pytest

from pyvda.fields.spectral_scores import map_scores


def maps(times=96, ny=3, nx=128, seed=0):
    """Return maps that are white noise in space and time, and the axes of a grid at the equator."""
    truth = np.random.default_rng(seed).normal(size=(times, ny, nx))
    return truth, np.zeros(ny), np.arange(nx) * 0.25


def low_pass(values, axis, cut):
    """Return values without the frequencies from `cut` cycles a point on."""
    spectrum = np.fft.fft(values, axis=axis)
    frequency = np.abs(np.fft.fftfreq(values.shape[axis]))
    shape = [-1 if k == axis else 1 for k in range(values.ndim)]
    return np.fft.ifft(spectrum * (frequency < cut).reshape(shape), axis=axis).real


@pytest.mark.parametrize(("cut", "axis"), [(0.1, 2), (0.25, 2), (0.125, 0)])
def test_what_is_missing_is_not_resolved(cut, axis) -> None:
    truth, latitude, longitude = maps()
    found = map_scores(low_pass(truth, axis, cut), truth, latitude, longitude, days=2.0)
    km = 0.25 * 6371 * np.pi / 180
    expected, got = (km / cut, found.lambda_x) if axis == 2 else (2.0 / cut, found.lambda_t)
    np.testing.assert_allclose(got, expected, rtol=0.1)


def test_ratios_are_those_of_each_time() -> None:
    truth, latitude, longitude = maps()
    scale = np.linspace(0.1, 0.5, len(truth))[:, None, None]
    truth[:, 1, 5] = np.nan
    found = map_scores(truth * (1 - scale), truth, latitude, longitude)
    np.testing.assert_allclose([found.mu, found.sigma], [1 - scale.mean(), scale.std()])
    assert np.isnan(map_scores(0 * truth, truth, latitude, longitude).lambda_x)
