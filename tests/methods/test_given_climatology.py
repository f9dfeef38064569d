"""A climatology of the user's holds at the first step of a window, for every method: Kalman."""

import numpy as np
import pytest
import xarray as xr
from kalman import of_mask

import pyvda
from pyvda.models.from_torch import torch_model

STEPS, MEAN, VARIANCE, NOISE = 21, 3.0, 0.5, 0.04
STEP = 0.05
RUNGE_KUTTA = sum((-STEP) ** k / f for k, f in enumerate((1, 1, 2, 6, 24)))

METHODS = {
    "gauss-newton": ({"form": "statistical", "model_error": 1e-10}, 1e-4),
    "ensemble-smoother": ({"members": 8000, "mixing": 0}, 0.01),
    "strong-constraint": ({}, 1e-4),
    "posterior-mean": ({}, 0.01),
}


def decay(x):
    return -x


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_give_the_kalman_answer(method: str) -> None:
    model = torch_model(decay, variables=("x",), time_step=STEP)
    y = np.full((STEPS, 1), np.nan)
    y[::5, 0] = 2.2 * np.exp(-STEP * np.arange(0, STEPS, 5)) + [0.1, -0.2, 0.15, 0.0, -0.1]
    exact = of_mask(
        np.array([[RUNGE_KUTTA]]), np.array([MEAN]), np.array([[VARIANCE]]), y,
        np.where(np.isnan(y), np.inf, NOISE), np.zeros((1, 1)),
    )  # fmt: skip
    observations = xr.Dataset(
        {"x": (("window", "time"), y.T)},
        {"time": STEP * np.arange(STEPS)},
        {"observation_error_variance": NOISE},
    )
    options, near = METHODS[method]
    found = pyvda.assimilate(
        observations, model=model, method=method, time_step=STEP,
        climatology=(np.array([MEAN]), np.array([[VARIANCE]])), **options,
    )  # fmt: skip
    np.testing.assert_allclose(found["x"].values[0], exact.mean[:, 0], rtol=near)
    spread = next(found[name] for name in found.data_vars if str(name).endswith("stdev"))
    np.testing.assert_allclose(spread.values.ravel(), exact.stdev[:, 0], rtol=max(near, 0.05))
