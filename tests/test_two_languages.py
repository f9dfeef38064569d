"""The same model in Julia and in torch gives the same analysis with every method.

Rössler's system (one tuple of components, nonlinear) and linear advection with an upstream
difference (an array). The Julia engine runs hand-written adjoints and its own minimisers; the torch
engine autograd and minimisers of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from julia_files import ADVECTION, ROSSLER_WITH_DERIVATIVES
from problems import rossler_model

import pyvda
from pyvda.climate.climatology import Climatology, climatology
from pyvda.engine import get_engine
from pyvda.models.model import Model

WINDOWS, STEPS, VARIANCE = 3, 17, 0.04

pytestmark = pytest.mark.julia


def advection(u: torch.Tensor, speed: float = 1.2) -> torch.Tensor:
    return speed * (u.roll(1, -1) - u)


class Twin:
    """A model in both languages, with one climatology, and windows of its truth with noise."""

    def __init__(self, name: str, folder) -> None:
        path = folder / f"{name}.jl"
        path.write_text(ROSSLER_WITH_DERIVATIVES if name == "rossler" else ADVECTION)
        julia = pyvda.julia_model(path)
        if name == "rossler":
            in_torch = rossler_model()
            known = climatology(julia, get_engine("julia"))
        else:
            in_torch = pyvda.torch_model(
                advection, variables=("u",), dimensions={"x": 8}, time_step=0.05,
                parameters={"speed": 1.2},
            )  # fmt: skip
            # It has no attractor: what is known is a Gaussian.
            distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
            B = 2.0 * np.exp(-np.minimum(distance, 8 - distance) / 2.0)
            states = np.random.default_rng(3).multivariate_normal(np.zeros(8), B, 4096)
            known = Climatology(np.zeros(8), B, states)
        self.models: dict[str, Model] = {
            "julia": replace(julia, climatology=known),
            "torch": replace(in_torch, climatology=known),
        }
        truth = get_engine("julia").simulate(
            julia, known.states[:WINDOWS], time_step=0.05, steps=STEPS
        )
        random = np.random.default_rng(5)
        y = truth + np.sqrt(VARIANCE) * random.standard_normal(truth.shape)
        y[random.random(y.shape) < 0.6] = np.nan
        y[:, 0] = truth[:, 0] + 0.2
        self.truth = truth
        self.observed = xr.Dataset(
            {"observation": (("window", "time", "state"), y)},
            {"time": np.arange(STEPS) * 0.05},
            {"observation_error_variance": VARIANCE},
        )

    def analyses(self, **options: object) -> list[xr.Dataset]:
        return [
            pyvda.assimilate(self.observed, model=model, engine=engine, **options)
            for engine, model in self.models.items()
        ]


@pytest.fixture(scope="module", params=["rossler", "advection"])
def twin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin(request.param, tmp_path_factory.mktemp("models"))


def full(size: int) -> np.ndarray:
    G = np.random.default_rng(6).standard_normal((size, size + 2))
    return 1e-3 * (G @ G.T / size + np.eye(size))


METHODS = {
    "fsgd": {"method": "fsgd", "iterations": 40},
    "gauss-newton": {"method": "gauss-newton"},
    "gauss-newton, statistical": {
        "method": "gauss-newton", "form": "statistical", "model_error": 1e-3,
    },
    "gauss-newton, Q": {"method": "gauss-newton", "form": "statistical", "model_error": "full"},
    "gauss-newton, nodes": {
        "method": "gauss-newton", "form": "statistical", "model_error": 1e-2, "every": 4,
    },
    "strong-constraint, grown": {
        "method": "strong-constraint", "starts": "mean", "growth": 4, "background_lead": 0,
    },
    "strong-constraint, library": {
        "method": "strong-constraint", "starts": "library", "members": 2000,
        "background_lead": 0,
    },
    "strong-constraint, Q": {
        "method": "strong-constraint", "starts": "mean", "growth": 4, "model_error": "full",
    },
    "posterior-mean": {"method": "posterior-mean", "members": 2000},
    "ensemble-smoother": {"method": "ensemble-smoother", "members": 40},
    "letkf": {"method": "letkf", "members": 12, "lag": 2, "rotation": True},
    "ensemble-smoother, Q": {
        "method": "ensemble-smoother", "members": 40, "model_error": "full",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_the_analysis_is_the_same(twin: Twin, name: str) -> None:
    options = dict(METHODS[name])
    if options.get("model_error") == "full":
        options["model_error"] = full(twin.truth.shape[-1])
    in_julia, in_torch = twin.analyses(**options)
    scale = np.abs(in_julia["analysis"].values).max()
    difference = np.abs(in_julia["analysis"].values - in_torch["analysis"].values).max()
    assert difference < 1e-9 * scale
    assert np.array_equal(in_julia["status"].values, in_torch["status"].values)
    for variable in ("state_stdev", "final_covariance"):
        if variable in in_julia:
            one, other = in_julia[variable].values, in_torch[variable].values
            assert np.isfinite(one).all()
            assert np.abs(one - other).max() < 1e-8 * np.abs(one).max()


def test_the_derivatives_are_the_same(twin: Twin) -> None:
    random = np.random.default_rng(7)
    x = twin.truth[:, 0]
    v = random.standard_normal(x.shape)
    for verb in ("tangent_linear", "adjoint"):
        one, other = (
            getattr(get_engine(engine), verb)(model, x, v, time_step=0.05)
            for engine, model in twin.models.items()
        )
        assert np.abs(one - other).max() < 1e-13 * np.abs(one).max()


def test_the_analysis_is_near_the_truth(twin: Twin) -> None:
    for found in twin.analyses(method="gauss-newton", form="statistical", model_error=1e-4):
        error = found["analysis"].values - twin.truth
        assert np.sqrt((error**2).mean()) < 0.15
