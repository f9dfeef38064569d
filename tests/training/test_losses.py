"""The training losses against their formulas, written out in numpy for the Euler step."""

import numpy as np
import pytest
import torch

from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.models.registry import get_preset
from pyvda.state.batch import Batch
from pyvda.training import losses
from pyvda.training.configuration import Supervised, Unsupervised
from pyvda.validation_errors import validated

MEAN, STD = np.array([0.5, -1.0, 23.0]), np.array([8.0, 9.0, 7.0])
STEP = get_preset("lorenz63").model.time_step
WINDOWS, STEPS = 3, 7


def residual(z: np.ndarray) -> np.ndarray:
    """Return z − Φ(z), normalised, of all steps but the first, which nothing predicts."""
    x, y, w = np.moveaxis(MEAN + STD * z, -1, 0)
    slope = np.stack([10.0 * (y - x), x * (28.0 - w) - y, x * y - 8.0 / 3.0 * w], -1)
    predicted = MEAN + STD * z + STEP * slope
    return z[:, 1:] - (predicted[:, :-1] - MEAN) / STD


@pytest.fixture(scope="module")
def model() -> LearnedModel:
    sections = {"prior": {"kind": "euler"}, "solver": {"kind": "gradient-descent"}}
    pattern = Pattern.of("lorenz63", get_preset("lorenz63"))
    return LearnedModel(validated(Architecture, sections, "here"), pattern, MEAN, STD, 1).double()


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    z, truth, observation = rng.standard_normal((3, WINDOWS, STEPS, 3))
    mask = (rng.random((WINDOWS, STEPS, 3)) < 0.4).astype(float)
    return {"z": z, "truth": truth, "observation": observation, "mask": mask}


@pytest.fixture(scope="module")
def batch(arrays) -> Batch:
    tensors = {name: torch.as_tensor(value) for name, value in arrays.items()}
    return Batch(tensors["observation"], tensors["mask"], tensors["z"], tensors["truth"])


def mean_square(difference: np.ndarray) -> np.ndarray:
    return (difference**2).mean((1, 2))


@pytest.mark.parametrize(
    ("prior_analysis", "prior_truth"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.3, 0.7)]
)
def test_supervised_loss_is_that_of_the_formula(
    model, arrays, batch, prior_analysis, prior_truth
) -> None:
    weights = Supervised(kind="supervised", prior_analysis=prior_analysis, prior_truth=prior_truth)
    found = losses.supervised(model, batch.first_guess, batch, weights).detach().numpy()
    expected = (
        mean_square(arrays["z"] - arrays["truth"])
        + prior_analysis * mean_square(residual(arrays["z"]))
        + prior_truth * mean_square(residual(arrays["truth"]))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_identification_is_the_error_of_a_step_on_the_truth(model, arrays, batch) -> None:
    found = losses.identification(model, batch).detach().numpy()
    np.testing.assert_allclose(found, mean_square(residual(arrays["truth"])), rtol=1e-12)


def test_unsupervised_loss_is_the_cost_in_physical_units(model, arrays, batch) -> None:
    weights = Unsupervised(kind="unsupervised", lambda1=0.02, lambda2=1.5)
    found = losses.unsupervised(model, batch.first_guess, batch, weights).detach().numpy()
    misfit = arrays["mask"] * (STD * (arrays["z"] - arrays["observation"])) ** 2
    observed = arrays["mask"].sum((1, 2))
    expected = 0.02 * misfit.sum((1, 2)) / observed + 1.5 * mean_square(STD * residual(arrays["z"]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
