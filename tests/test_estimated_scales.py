"""B's scale and the model error's variance, against the maximum of a dense likelihood."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize

import pyvda
from pyvda import names
from pyvda.engine.torch.arrays import tensor
from pyvda.errors import InputError
from pyvda.settings import chosen_method, settled

WINDOWS, STEPS, R, SCALE, Q = 256, 24, 0.2, 3.0, 0.05
M = np.array([[0.9, 0.3], [-0.3, 0.9]])
B0 = np.array([[1.0, 0.4], [0.4, 2.0]])
MEAN = np.array([1.0, -2.0])


def simulated(q: float) -> tuple[xr.Dataset, np.ndarray]:
    """Return windows of data of the first component, as a Dataset and (W, T)."""
    random = np.random.default_rng(12)
    x = random.multivariate_normal(MEAN, SCALE * B0, WINDOWS)
    y = np.full((WINDOWS, STEPS, 2), np.nan)
    for t in range(STEPS):
        y[:, t, 0] = x[:, 0] + np.sqrt(R) * random.standard_normal(WINDOWS)
        x = x @ M.T + np.sqrt(q) * random.standard_normal(x.shape)
    ds = xr.Dataset(
        {names.OBSERVATION: (names.DIMENSIONS, y)}, attrs={"observation_error_variance": R}
    )
    return ds.assign_coords(time=np.arange(float(STEPS))), y[..., 0]


def most_likely(y: np.ndarray, *, exact: bool) -> np.ndarray:
    """Return the scale and the variance (0 if the model is exact) of the largest likelihood."""
    power = np.stack([np.linalg.matrix_power(M, t) for t in range(STEPS)])
    of_start = power[:, 0]  # H Mᵗ
    noise = np.zeros((STEPS, STEPS))
    for k in range(1, STEPS):  # the error of the step to time k acts from then on
        effect = np.zeros((STEPS, 2))
        effect[k:] = power[: STEPS - k, 0]
        noise += effect @ effect.T
    d = y - of_start @ MEAN

    def cost(logs: np.ndarray) -> float:
        s, q = np.exp(logs[0]), 0.0 if exact else np.exp(logs[1])
        covariance = s * of_start @ B0 @ of_start.T + q * noise + R * np.eye(STEPS)
        _, log = np.linalg.slogdet(covariance)
        return float(len(d) * log + np.einsum("wi,ij,wj->", d, np.linalg.inv(covariance), d))

    found = minimize(cost, np.log([1.0, 0.01][: 1 if exact else 2]), method="Nelder-Mead")
    return np.exp(found.x)


def model() -> Any:
    return pyvda.torch_model(
        step=lambda x: x @ tensor(M).to(x.dtype).T, variables=("a", "b"), time_step=1.0
    )


def test_both_scales_are_the_most_likely_ones() -> None:
    observed, y = simulated(Q)
    found = pyvda.assimilate(
        observed, model=model(), climatology=(MEAN, B0), method="gauss-newton", form="statistical",
        background=(MEAN, B0), covariance="estimate", model_error="estimate",
    )  # fmt: skip
    options = json.loads(found.attrs["pyvda_configuration"])["options"]
    estimates = [json.loads(found.attrs["pyvda_background_scale"]), options["model_error"]]
    np.testing.assert_allclose(estimates, most_likely(y, exact=False), rtol=0.02)
    np.testing.assert_allclose(estimates, [SCALE, Q], rtol=0.1)
    assert float(found["fit"].mean()) == pytest.approx(1.0, abs=0.05)


def test_the_scale_with_an_exact_model() -> None:
    observed, y = simulated(0.0)
    observed, y = observed.isel(window=slice(0, 64)), y[:64]
    found = pyvda.assimilate(
        observed, model=model(), climatology=(MEAN, B0), method="strong-constraint",
        background=(MEAN, B0), covariance="estimate",
    )  # fmt: skip
    estimate = json.loads(found.attrs["pyvda_background_scale"])
    np.testing.assert_allclose(estimate, most_likely(y, exact=True), rtol=0.01)


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": "annealed", "model_error": "estimate"},
        {"method": "gauss-newton", "model_error": "estimate"},
        {"method": "strong-constraint", "covariance": "estimate", "cycle": 20},
        {"method": "strong-constraint", "covariance": "estimate",
         "observation_variance": "estimate"},
    ],
)  # fmt: skip
def test_what_cannot_estimate_is_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="give numbers"):
        chosen_method(*settled(keywords))
