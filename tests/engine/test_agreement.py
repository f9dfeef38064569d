"""The torch and Julia engines agree for each deterministic method and model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from julia_files import ROSSLER as ROSSLER_IN_JULIA
from problems import ROSSLER, drawn_problem, random_points, rossler

import pyvda
from pyvda.engine import CostSettings, Engine, get_engine
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.torch.engine import TorchEngine
from pyvda.methods import Problem, Solution
from pyvda.models.model import Model
from pyvda.models.registry import get_model
from pyvda.settings import configured

# The whole field moves by a cell a step, and nothing is lost of it.
ADVECTION = """
struct Advection <: VectorModel
    n::Int
end
Advection(; n = 6) = Advection(n)
variables(::Type{Advection}) = ("u",)
time_step(::Type{Advection}) = 1.0
dimensions(m::Advection) = (x = m.n,)
step!(x1, m::Advection, x, work) = circshift!(x1, x, 1)
tangent_linear!(dy, m::Advection, x, dx, work) = circshift!(dy, dx, 1)
adjoint!(xbar, m::Advection, x, ybar, work) = circshift!(xbar, ybar, -1)
"""


def own_model(folder: Path, text: str, **in_torch: Any) -> Model:
    """Return a user's model that has both forms."""
    file = folder / "model.jl"
    file.write_text(text)
    model = pyvda.julia_model(file)
    names = [variable.name for variable in model.state_space.variables]
    other = pyvda.torch_model(**in_torch, variables=names, time_step=model.time_step)
    return replace(model, torch=other.torch)


MODELS: dict[str, Callable[[Path], Model]] = {
    "lorenz63": lambda _: get_model("lorenz63"),
    "lorenz96": lambda _: get_model("lorenz96", state_size=6),
    "rossler": lambda folder: own_model(
        folder, ROSSLER_IN_JULIA, tendency=rossler, parameters=ROSSLER
    ),
    "advection": lambda folder: own_model(
        folder, ADVECTION, step=lambda x: torch.roll(x, 1, -1), dimensions={"x": 6}
    ),
}
# Minimisations run until rounding stops them, so that the minima are compared.
TIGHT = {"tolerance": 1e-12}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fsgd": ("fsgd", {"iterations": 200}),
    "weighted": ("gauss-newton", TIGHT),
    "statistical": ("gauss-newton", {"form": "statistical", **TIGHT}),
    "nodes apart": (
        "gauss-newton", {"form": "statistical", "every": 3, "substeps": 2, **TIGHT},
    ),
    "annealed": ("annealed", {"restarts": 1, "hops": 1}),
    "from a library": ("strong-constraint", {"members": 2000}),
    "grown": ("strong-constraint", {"starts": "mean", "growth": 8, **TIGHT}),
    "many minima": ("strong-constraint", {"starts": "climatology", "minima": True, "growth": 8}),
    "own parameters": ("strong-constraint", {"parameters": True, "members": 2000}),
    "shared parameters": ("strong-constraint", {"parameters": "shared", "members": 2000}),
    "plain smoother": ("ensemble-smoother", {"members": 12, "depth": 0, "mixing": 0}),
    "smoother that goes back": ("ensemble-smoother", {"members": 12, "depth": 2, "lag": 4}),
    "local filter": ("letkf", {"members": 12, "inflation": 1.05}),
    "local smoother": ("letkf", {"members": 12, "lag": 3, "rotation": True}),
    "members alone": ("posterior-mean", {"members": 4000, "draws": 0}),
    "with draws": ("posterior-mean", {"members": 4000, "draws": 64}),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    get_engine("julia")
    model = MODELS[request.param](tmp_path_factory.mktemp(request.param))
    return drawn_problem(model, engine="julia")


def assert_close(found: np.ndarray, expected: np.ndarray, what: str, tolerance: float) -> None:
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * np.nanmax(np.abs(expected), initial=1.0),
        err_msg=what,
    )  # fmt: skip


# What `test_two_languages.py` compares for the two models of a user's own.
COMPARED_BY_ASSIMILATE = {
    "fsgd", "weighted", "statistical", "nodes apart", "from a library", "grown", "members alone",
    "local filter",
}  # fmt: skip


def cases_of(model: str) -> list[str]:
    """Return what the model can do: linear advection is a step, without parameters."""
    if model in ("lorenz63", "lorenz96"):
        return list(CASES)
    cut = {"parameters"} if model == "advection" else set()
    return [
        case
        for case, (_, options) in CASES.items()
        if case not in COMPARED_BY_ASSIMILATE and not cut & set(options)
    ]


@pytest.mark.julia
@pytest.mark.parametrize(
    ("drawn", "case"),
    [(model, case) for model in MODELS for case in cases_of(model)],
    indirect=["drawn"],
)
def test_methods_agree(drawn, case: str) -> None:
    name, options = CASES[case]
    method, checked = configured(name, options)
    julia, in_torch = (
        method.solve(replace(drawn, engine=get_engine(engine)), checked)
        for engine in ("julia", "torch")
    )
    assert isinstance(julia, Solution)
    assert np.isfinite(julia.x).all()
    assert_close(in_torch.x, julia.x, "analysis", 1e-9)
    np.testing.assert_array_equal(in_torch.status, julia.status)
    if julia.stdev is not None:
        # Where few samples carry all weight the variance is a small difference of large squares.
        tolerance = 1e-4 if name == "posterior-mean" else 1e-8
        assert_close(in_torch.stdev, julia.stdev, "standard deviation", tolerance)
    assert set(in_torch.per_window) == set(julia.per_window)
    for key, expected in julia.per_window.items():
        assert_close(in_torch.per_window[key], expected, key, 1e-8)


def engines() -> list[Engine]:
    return [get_engine(name) for name in ("julia", "torch")]


@pytest.mark.julia
@pytest.mark.parametrize("every", [1, 3, 100])
def test_objectives_agree_with_data_between_steps(drawn, every: int) -> None:
    batch, model = drawn.batch, drawn.model
    rng = np.random.default_rng(0)
    windows, steps, size = batch.observation.shape
    points = random_points(size, windows, steps)
    x = np.asarray(batch.truth) + 0.1 * rng.standard_normal(batch.observation.shape)
    b, precision = rng.standard_normal((windows, size)), np.diag(rng.random(size))
    settings = CostSettings(model.time_step)
    (value, gradient), (value_, gradient_) = (
        engine.shooting_objective(
            model, settings, x, batch.observation, batch.mask, b, precision, weight=3.0,
            every=every, points=points,
        )
        for engine in engines()
    )  # fmt: skip
    np.testing.assert_allclose(value_, value, rtol=1e-12)
    assert_close(gradient_, gradient, "gradient", 1e-11)
    (value, gradient), (value_, gradient_) = (
        engine.strong_objective(
            model, settings, x[:, 0], batch.observation, batch.mask, b[0], precision, lead=2,
            points=points,
        )
        for engine in engines()
    )  # fmt: skip
    np.testing.assert_allclose(value_, value, rtol=1e-12)
    assert_close(gradient_, gradient, "gradient", 1e-11)


@pytest.mark.julia
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_steps_with_parameters_agree(drawn, scheme: str) -> None:
    model, settings = drawn.model, CostSettings(drawn.model.time_step, scheme=scheme)
    rng = np.random.default_rng(0)
    states = np.asarray(drawn.batch.truth)
    parameters = np.broadcast_to(model.parameters, (*states.shape[:2], len(model.parameters)))
    z = np.concatenate([states, parameters * rng.uniform(0.9, 1.1, parameters.shape)], -1)
    v = rng.standard_normal(z.shape)
    julia, other = engines()
    for verb, arguments in (
        ("forecast_with_parameters", (z,)),
        ("tangent_linear_with_parameters", (z, v)),
        ("adjoint_with_parameters", (z, v)),
    ):
        expected = getattr(julia, verb)(model, settings, *arguments)
        assert_close(getattr(other, verb)(model, settings, *arguments), expected, verb, 1e-13)


@pytest.mark.parametrize("engine", [JuliaEngine, TorchEngine])
def test_engines_have_the_verbs_of_the_protocol(engine: type) -> None:
    verbs = {name for name, value in vars(Engine).items() if callable(value) and name[0] != "_"}
    assert "weak_constraint" in verbs
    for verb in verbs:
        wanted = list(signature(getattr(Engine, verb)).parameters.values())[1:]
        found = list(signature(getattr(engine, verb)).parameters.values())
        static = isinstance(vars(engine)[verb], staticmethod)
        described = [[(p.name, p.kind, p.default) for p in each] for each in (found, wanted)]
        assert (described[0] if static else described[0][1:]) == described[1], verb
