"""The length and deviation of a diffusion are found again from its draws."""

import numpy as np
import pytest

from pyvda.covariances.diffusion_fit import diffusion_fit
from pyvda.errors import InputError
from pyvda.io.cf.spacing import Spacing
from pyvda.operators import Diffusion

SHAPE = (18, 20)
ONES = np.ones(SHAPE)
LAND = np.zeros(SHAPE, bool)
LAND[6:10, 8:12] = True
LAND[:, 0] = True


@pytest.mark.parametrize(
    ("length", "spacing"), [(3.0, (1.0, 1.0)), (1.5, (1.0, 1.0)), (30.0, (8.0, 12.0))]
)
def test_the_constants_are_found_again(length, spacing) -> None:
    stdev = 0.5 + 0.01 * np.arange(20) * ONES
    true = Diffusion(length, stdev, LAND, spacing=spacing)
    samples = true.sample(np.random.default_rng(1), 400).reshape(-1, *SHAPE)
    fit = diffusion_fit(samples, LAND, Spacing(spacing[0] * ONES, spacing[1] * ONES, "km"))
    assert fit.length[0, 0] == pytest.approx(length, rel=0.04)
    ratio = fit.stdev[~LAND] / stdev[~LAND]
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert (fit.stdev[LAND] == 0).all()
    found, exact = fit.operator().dense(), true.dense()
    assert np.linalg.norm(found - exact) < 0.15 * np.linalg.norm(exact)


def test_a_length_that_varies_is_followed() -> None:
    shape = (24, 48)
    land = np.zeros(shape, bool)
    land[10:14, 20:24] = True
    length = np.linspace(1.5, 4.0, 48) * np.ones((24, 1))
    samples = Diffusion(length, land=land).sample(np.random.default_rng(3), 300)
    ones = np.ones(shape)
    spacing = Spacing(ones, ones, "grid spacings")
    fit = diffusion_fit(samples.reshape(-1, *shape), land, spacing, varying=True)
    inside = np.s_[:, 9:-9]
    ratio = (fit.length / length)[inside][~land[inside]]
    assert 0.85 < ratio.min() < ratio.max() < 1.15
    one = diffusion_fit(samples.reshape(-1, *shape), land, spacing)
    assert np.ptp(one.length) == 0
    assert 2 < one.length[0, 0] < 3.2


def test_a_floor_is_added() -> None:
    samples = np.random.default_rng(2).normal(size=(50, *SHAPE)).cumsum(1)
    spacing = Spacing(ONES, ONES, "grid spacings")
    without, more = (diffusion_fit(samples, LAND, spacing, floor=f).stdev[~LAND] for f in (0, 0.2))
    np.testing.assert_allclose(more**2, without**2 + 0.2 * (without**2).mean())


def test_invalid_samples() -> None:
    spacing = Spacing(ONES, ONES, "grid spacings")
    noise = np.random.default_rng(2).normal(size=(50, *SHAPE))
    with pytest.raises(InputError, match="hardly correlated"):
        diffusion_fit(noise, LAND, spacing)
    with pytest.raises(InputError, match="do not vary everywhere"):
        diffusion_fit(0 * noise, LAND, spacing)
