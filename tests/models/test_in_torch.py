"""Tendencies against NumPy, their Jacobians against autograd and finite differences."""

import numpy as np
import pytest
import torch
from problems import true_form

from pyvda.errors import InputError
from pyvda.models import in_torch
from pyvda.models.in_torch import known
from pyvda.models.model import Model
from pyvda.models.registry import get_model

torch.manual_seed(0)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


TENDENCIES = {
    "lorenz63": (known("lorenz63", sigma=9.0, rho=27.0, beta=2.5), 3),
    "lorenz96": (known("lorenz96", forcing=7.5, state_size=7), 7),
    "lorenz96 of four": (known("lorenz96", state_size=4), 4),
    "bilinear63": (randomised(in_torch.bilinear("lorenz63")), 3),
    "bilinear96": (randomised(in_torch.bilinear("lorenz96")), 6),
}
each_tendency = pytest.mark.parametrize(
    ("tendency", "size"), TENDENCIES.values(), ids=TENDENCIES.keys()
)


def random_states(size, *shape):
    generator = torch.Generator().manual_seed(size)
    return 5.0 * torch.randn(*shape, size, dtype=torch.float64, generator=generator)


def numpy_lorenz63(x, sigma, rho, beta):
    x1, x2, x3 = np.moveaxis(x, -1, 0)
    return np.stack([sigma * (x2 - x1), x1 * (rho - x3) - x2, x1 * x2 - beta * x3], -1)


def numpy_lorenz96(x, forcing):
    size = x.shape[-1]
    result = np.empty_like(x)
    for i in range(size):
        result[..., i] = (x[..., (i + 1) % size] - x[..., i - 2]) * x[..., i - 1] + (
            forcing - x[..., i]
        )
    return result


def test_the_built_in_tendencies_give_the_bits_of_numpy():
    x = random_states(3, 50)
    expected = numpy_lorenz63(x.numpy(), 10.0, 28.0, 8.0 / 3.0)
    assert np.array_equal(known("lorenz63")(x).numpy(), expected)
    x = random_states(9, 50)
    assert np.array_equal(
        known("lorenz96", state_size=9)(x).numpy(), numpy_lorenz96(x.numpy(), 8.0)
    )


@each_tendency
def test_tangent_linear_and_adjoint_are_autograd_s(tendency, size):
    x, dx, dy = random_states(size, 3, 5, 4)
    _, jvp = torch.autograd.functional.jvp(tendency, x, dx)
    _, vjp = torch.autograd.functional.vjp(tendency, x, dy)
    torch.testing.assert_close(tendency.tangent_linear(x, dx), jvp, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tendency.adjoint(x, dy), vjp, rtol=1e-12, atol=1e-12)


@each_tendency
def test_tangent_linear_is_the_central_difference(tendency, size):
    # The tendencies are quadratic, so a central difference has rounding errors only.
    x, dx = random_states(size, 2, 10)
    difference = (tendency(x + dx) - tendency(x - dx)) / 2
    torch.testing.assert_close(tendency.tangent_linear(x, dx), difference, rtol=1e-11, atol=1e-10)


@each_tendency
def test_adjoint_passes_the_dot_product_test(tendency, size):
    x, dx, dy = random_states(size, 3, 20)
    forward, backward = tendency.tangent_linear(x, dx) * dy, dx * tendency.adjoint(x, dy)
    assert abs(forward.sum() - backward.sum()) <= 1e-13 * forward.abs().sum()


@each_tendency
def test_adjoint_can_be_differentiated(tendency, size):
    x, dy = random_states(size, 2, 2)
    x.requires_grad_(True)
    dy.requires_grad_(True)
    assert torch.autograd.gradcheck(tendency.adjoint, (x, dy))


@each_tendency
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_dtype_and_shape_follow_the_state(tendency, size, dtype, shape):
    x = random_states(size, *shape).to(dtype)
    result = tendency.to(dtype)(x) if list(tendency.parameters()) else tendency(x)
    tendency.double()
    assert result.dtype == dtype
    assert result.shape == x.shape


@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_the_bilinear_form_has_nine_parameters_and_contains_the_true_system(name):
    model = get_model(name)
    bilinear = true_form(name, *model.parameters)
    assert sum(parameter.numel() for parameter in bilinear.parameters()) == 9
    x = random_states(model.state_size, 20)
    torch.testing.assert_close(bilinear(x), in_torch.module_of(model)(x), rtol=1e-13, atol=1e-11)


def test_from_model_takes_the_parameters():
    x = random_states(3, 4)
    tendency = in_torch.module_of(get_model("lorenz63", rho=20.0))
    assert torch.equal(tendency(x), known("lorenz63", rho=20.0)(x))


def test_unknown_models_and_wrong_sizes_are_refused():
    with pytest.raises(InputError, match=r"choose one of .*lorenz63.*lorenz96"):
        Model("pendulum", 2, (), 0.1)
    with pytest.raises(InputError, match=r"choose one of .*lorenz63.*lorenz96"):
        in_torch.bilinear("pendulum")
    with pytest.raises(InputError, match="3 components"):
        known("lorenz63")(torch.zeros(5, 4))
    with pytest.raises(InputError, match="40 components"):
        known("lorenz96")(torch.zeros(5, 3))
