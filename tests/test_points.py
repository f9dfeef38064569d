"""Observations at arbitrary times: the engines against each other; files; what is found."""

import numpy as np
import pytest

from pyvda.engine import CostSettings, get_engine
from pyvda.models import get_model
from pyvda.points import Points


def random_points(model, windows, steps, count=6, seed=0):
    """Data at random times of random combinations; every fifth has weight 0."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2.0, (windows, count))
    weight[:, ::5] = 0
    return Points(
        rng.integers(0, steps, (windows, count)),
        rng.uniform(0, 1, (windows, count)),
        5 * rng.standard_normal((windows, count)),
        weight,
        rng.standard_normal((windows, count, model.state_size)),
    )


def noisy(model, windows=5, steps=9, seed=1):
    rng = np.random.default_rng(seed)
    x = 5 * rng.standard_normal((windows, steps, model.state_size))
    mask = rng.random(x.shape) < 0.3
    mask[0] = False  # a window with points alone
    return x, (x + rng.standard_normal(x.shape)) * mask, mask.astype(float)


@pytest.mark.parametrize("scheme", ["rk4", "euler"])
@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_julia_agrees_with_autograd(name, scheme):
    model = get_model(name)
    x, y, mask = noisy(model)
    points = random_points(model, *x.shape[:2])
    settings = CostSettings(model.time_step, 0.3, 2.0, scheme)
    found, expected = (
        get_engine(engine).cost(model, settings, x, y, mask, points=points)
        for engine in ("julia", "torch")
    )
    np.testing.assert_allclose(found.observation, expected.observation, rtol=1e-12)
    np.testing.assert_allclose(found.dynamics, expected.dynamics, rtol=1e-12)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-12 * scale)
    without = get_engine("torch").cost(model, settings, x, y, mask)
    assert np.all(without.observation != expected.observation)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_engines_descend_alike(dtype):
    model = get_model("lorenz63")
    x, y, mask = (a.astype(dtype) for a in noisy(model, windows=11))
    points = random_points(model, *x.shape[:2])
    found, expected = (
        get_engine(engine).descend(
            model, CostSettings(0.01), x, y, mask, step=2.0, iterations=20, points=points
        )
        for engine in ("julia", "torch")
    )
    assert found.dtype == dtype
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(x).max())


def test_chosen_windows_have_their_own_points():
    model = get_model("lorenz63")
    points = random_points(model, 7, 9)
    chosen = points[np.array([False, True, False, False, True, False, False])]
    np.testing.assert_array_equal(chosen.step, points.step[[1, 4]])
    np.testing.assert_array_equal(chosen.operator, points.operator[[1, 4]])
    np.testing.assert_array_equal(points.counted(), np.count_nonzero(points.weight, axis=1))


def test_arrays_that_do_not_fit_are_refused():
    model = get_model("lorenz63")
    points = random_points(model, 2, 9)
    with pytest.raises(ValueError, match="weight has shape"):
        Points(points.step, points.fraction, points.value, points.weight[:, :3], points.operator)
    x, y, mask = noisy(model, windows=2)
    with pytest.raises(ValueError, match="outside the 4 steps"):
        get_engine("torch").cost(
            model, CostSettings(0.01), x[:, :4], y[:, :4], mask[:, :4], points=points
        )
