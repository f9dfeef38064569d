"""Modules of an architecture: layouts that follow from the model, sizes, time steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pyvda
from pyvda.errors import InputError
from pyvda.learned.architecture import (
    AutoEncoderSection,
    ConvSection,
    DescentSection,
    GENNSection,
    LSTMSection,
    ODESection,
    RegressionSection,
)
from pyvda.learned.build import build_prior, build_solver
from pyvda.learned.description import OwnModel, Pattern
from pyvda.models.model import Model
from pyvda.models.registry import get_preset
from pyvda.priors import ODEPrior
from pyvda.priors.step import StepPrior


def pattern(preset: str = "lorenz63") -> Pattern:
    return Pattern.of(preset, get_preset(preset))


def own(model: Model, steps: int = 8) -> Pattern:
    fields = pattern().model_dump() | {
        "name": "obs.nc", "model": model.name, "parameters": model.parameters,
        "state_size": model.state_size, "time_step": model.time_step, "steps": steps,
        "own": OwnModel.of(model, "models.py:m", np.zeros(model.state_size)),
    }  # fmt: skip
    return Pattern.model_validate(fields)


@pytest.mark.parametrize(
    "section",
    [
        ODESection(kind="rk4"), ODESection(kind="bilinear-rk4"),
        GENNSection(kind="genn", width=3, features=4, latent=2),
        GENNSection(kind="two-scale-genn", width=3, features=4, latent=2, merge=3),
        AutoEncoderSection(kind="autoencoder", width=3, features=4),
    ],
)  # fmt: skip
@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_priors_keep_the_shape_and_respect_a_circle(preset: str, section) -> None:
    torch.manual_seed(0)
    given = pattern(preset)
    prior = build_prior(section, given).double()
    x = torch.randn(2, 16, given.state_size, dtype=torch.float64)
    found = prior(x)
    assert found.shape == x.shape
    turned = prior(x.roll(8, -1)).roll(-8, -1)
    assert torch.allclose(turned, found, atol=1e-10) == (preset == "lorenz96")


@pytest.mark.parametrize(("kind", "scheme"), [("rk4", "rk4"), ("euler", "euler")])
def test_a_known_equation_has_the_pattern_s_time_step(kind: str, scheme: str) -> None:
    prior = build_prior(ODESection(kind=kind), pattern())
    assert isinstance(prior, ODEPrior)
    engine = pyvda.get_engine("torch")
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    expected = engine.forecast(get_preset("lorenz63").model, x[:, :-1], time_step=0.01,
                               scheme=scheme)  # fmt: skip
    np.testing.assert_allclose(prior(torch.from_numpy(x))[:, 1:], expected, rtol=1e-12)


def test_a_model_of_the_user_s_own_is_computed_in_double() -> None:
    seen = []

    def f(x, a):
        seen.append(x.dtype)
        return a * x

    model = pyvda.torch_model(f, variables=("x", "y"), time_step=0.1, parameters={"a": -2.0})
    prior = build_prior(ODESection(kind="euler"), own(model), model)
    x = torch.ones(1, 3, 2)
    seen.clear()
    found = prior(x)
    assert set(seen) == {torch.float64}
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 1:], torch.full((1, 2, 2), 0.8))
    step = pyvda.torch_model(step=lambda x: x / 2, variables=("x", "y"), time_step=0.1)
    assert isinstance(build_prior(ODESection(kind="step"), own(step), step), StepPrior)
    for kind, given in (("step", model), ("rk4", step)):
        with pytest.raises(InputError, match="is given by its"):
            build_prior(ODESection(kind=kind), own(given), given)
    in_julia = replace(model, torch=None, julia=get_preset("lorenz63").model.julia)
    with pytest.raises(InputError, match="written only in Julia, and the prior rk4 runs"):
        build_prior(ODESection(kind="rk4"), own(in_julia), in_julia)


@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_solvers(preset: str) -> None:
    given = pattern(preset)
    lstm = build_solver(LSTMSection(kind="lstm", hidden=6, start=0.0001), given)
    assert lstm.update.weight.abs().max() < 1e-3
    assert build_solver(DescentSection(kind="gradient-descent", step=0.25), given).step_size == 0.25
    conv = build_solver(ConvSection(kind="conv", hidden=(4, 5)), given)
    assert type(conv) is not type(lstm)
    regression = build_solver(RegressionSection(kind="regression", width=4, dilations=(1,)), given)
    assert sum(p.numel() for p in regression.parameters()) > 0
