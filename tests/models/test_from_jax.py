"""Models from JAX functions against the same function in torch."""

import builtins

import numpy as np
import pytest
import torch
import xarray as xr

import pyvda
from pyvda.climate.background import Background
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.from_jax import _to_jax
from pyvda.models.from_torch import torch_model
from pyvda.models.in_torch import module_of

RULES = {
    "variables": ("x", "y", "z"),
    "time_step": 0.05,
    "parameters": {"a": 0.2, "b": 0.2, "c": 5.7},
}


def in_torch(x, a, b, c):
    u, v, w = x.unbind(-1)
    return torch.stack((-v - w, u + a * v, b + w * (u - c)), -1)


def test_without_jax_the_extra_is_named(monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "jax":
            raise ImportError("No module named 'jax'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"install the extra jax \(pip install 'pyvda\[jax\]'\)"):
        pyvda.jax_model(lambda x: -x, variables=("x",), time_step=1.0)


@pytest.fixture(scope="module")
def models():
    jnp = pytest.importorskip("jax.numpy")

    def rossler(x, a, b, c):
        u, v, w = x[..., 0], x[..., 1], x[..., 2]
        return jnp.stack((-v - w, u + a * v, b + w * (u - c)), -1)

    return pyvda.jax_model(rossler, **RULES), torch_model(in_torch, **RULES)


def test_values_and_derivatives_are_those_of_torch(models) -> None:
    mine, known = map(module_of, models)
    x, dx, dy = torch.randn(3, 4, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(mine(x), known(x))
    for transform in (
        lambda f: torch.func.vjp(f, x)[1](dy)[0],
        lambda f: torch.func.jvp(f, (x,), (dx,))[1],
        lambda f: torch.func.vmap(f)(x),
        lambda f: torch.func.jacrev(f)(x[0, 0]),
        lambda f: torch.func.jacrev(torch.func.grad(lambda y: f(y).square().sum()))(x[0, 0]),
    ):
        torch.testing.assert_close(transform(mine), transform(known))
    assert torch.autograd.gradcheck(mine, (x.clone().requires_grad_(),))
    assert torch.autograd.gradgradcheck(mine, (x[:1, :2].clone().requires_grad_(),))


def test_derivatives_by_the_parameters_are_those_of_torch(models) -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    theta = torch.tensor([0.3, 0.1, 4.0], dtype=torch.float64)

    def of(module):
        def f(theta):
            own = dict(zip("abc", theta.unbind(), strict=True))
            return torch.func.functional_call(module, own, (x,))

        return torch.func.jacrev(f)(theta)

    torch.testing.assert_close(*(of(module_of(model)) for model in models))


def test_simulation_and_gradient_of_the_cost_are_those_of_torch(models) -> None:
    engine = get_engine("torch")
    settings = pyvda.engine.CostSettings(0.05)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 2, 10, 3))
    mask = (rng.random(x.shape) < 0.5).astype(float)
    found, expected = (engine.cost(model, settings, x, y, mask) for model in models)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-11, atol=1e-13)
    found, expected = (
        engine.simulate(model, x[:, 0], time_step=0.05, steps=20) for model in models
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_analysis_is_that_of_torch(models) -> None:
    start = np.array([[1.0, -2.0, 0.5]])
    x = get_engine("torch").simulate(models[1], start, time_step=0.05, steps=17)[0]
    y = x + 0.1 * np.random.default_rng(1).standard_normal(x.shape)
    y[1::2] = np.nan
    ds = xr.Dataset({"observation": (("time", "state"), y)}, {"time": 0.05 * np.arange(17)})
    found, expected = (
        pyvda.assimilate(
            ds, model=model, method="gauss-newton", form="statistical", model_error=1e-3,
            observation_variance=0.01, background=Background.full(start[0] + 0.3, np.eye(3)),
            engine="torch",
        )
        for model in models
    )  # fmt: skip
    for name in ("analysis", "state_stdev"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)
    assert np.abs(found["analysis"].values - x).max() < 0.3


@pytest.mark.usefixtures("models")
def test_jax_reads_the_memory_of_torch() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    assert _to_jax(x).unsafe_buffer_pointer() == x.data_ptr()


def test_a_malformed_function_is_refused(models) -> None:
    with pytest.raises(InputError, match="keep the shape"):
        pyvda.jax_model(lambda x, a, b, c: x[..., :2], **RULES)
    with pytest.raises(InputError, match="fails on states"):
        pyvda.jax_model(lambda x: x, **RULES)
    with pytest.raises(InputError, match="exactly one"):
        pyvda.jax_model(**RULES)
    with pytest.raises(InputError, match="expected a function"):
        pyvda.jax_model(3, **RULES)
