"""One step of a model in torch: against the schemes by hand, differences and SciPy."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import pyvda
from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.steps import Steps
from pyvda.errors import InputError
from pyvda.models.registry import get_model

h = 0.02


@pytest.fixture(autouse=True)
def _as_the_methods_call_it():
    with torch.no_grad():
        yield


def f(x: np.ndarray, rho: float = 28.0) -> np.ndarray:
    """Lorenz-63, states first, written again."""
    return np.array([10 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def euler(x: np.ndarray, h: float) -> np.ndarray:
    return x + h * f(x)


def rk4(x: np.ndarray, h: float) -> np.ndarray:
    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    k4 = f(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def states(count: int = 4) -> np.ndarray:
    return 5 * np.random.default_rng(2).standard_normal((count, 3)) + [0, 0, 20]


def differences(function, x: np.ndarray) -> np.ndarray:
    """Jacobian (n, m) of a function of x (m,), by central differences."""
    e = 1e-5 * np.eye(len(x))
    return np.stack([(function(x + d) - function(x - d)) / 2e-5 for d in e], -1)


@pytest.mark.parametrize(("scheme", "by_hand"), [("euler", euler), ("rk4", rk4)])
@pytest.mark.parametrize("substeps", [1, 3])
def test_a_step_and_its_jacobian(scheme, by_hand, substeps) -> None:
    steps = Steps(get_model("lorenz63"), CostSettings(h, scheme=scheme), substeps)

    def expected(x: np.ndarray) -> np.ndarray:
        for _ in range(substeps):
            x = by_hand(x, h / substeps)
        return x

    x = states()
    found, jacobian = steps.linearised(tensor(x))
    np.testing.assert_allclose(found, expected(x.T).T, rtol=1e-13)
    np.testing.assert_array_equal(steps.step(tensor(x)), found)
    for row, J in zip(x, jacobian, strict=True):
        np.testing.assert_allclose(J, differences(expected, row), rtol=0, atol=1e-7)


def test_between_two_steps_is_where_the_model_is_then() -> None:
    steps = Steps(get_model("lorenz63"), CostSettings(h))
    x, fraction = states(), np.array([0.0, 0.3, 0.5, 1.0])
    found = steps.between(tensor(x), tensor(fraction)).numpy()
    np.testing.assert_array_equal(found[0], x[0])
    np.testing.assert_allclose(found[3], steps.step(tensor(x))[3], rtol=1e-14)
    for start, part, there in zip(x, fraction, found, strict=True):
        exact = solve_ivp(lambda _, s: f(s), (0, max(part * h, 1e-9)), start, rtol=1e-11)
        np.testing.assert_allclose(there, exact.y[:, -1], rtol=2e-4)


def test_estimated_parameters_are_carried_and_have_derivatives() -> None:
    model = get_model("lorenz63")
    steps = Steps(model, CostSettings(h, scheme="euler"), estimated=True)
    assert steps.size == 6
    rho = model.parameter_names.index("rho")
    z = np.concatenate([states(1)[0], model.parameters])
    z[3 + rho] = 20.0
    found, (jacobian,) = steps.linearised(tensor(z[None]))
    np.testing.assert_allclose(found[0, :3], z[:3] + h * f(z[:3], 20.0), rtol=1e-14)
    np.testing.assert_array_equal(found[0, 3:], z[3:])
    np.testing.assert_allclose(jacobian[:3, 3 + rho], [0, h * z[0], 0], rtol=1e-13, atol=1e-16)
    np.testing.assert_array_equal(jacobian[3:], np.eye(6)[3:])


def test_jacobians_are_made_in_parts_that_fit() -> None:
    M = np.random.default_rng(3).standard_normal((300, 300)) / 20
    model = pyvda.torch_model(
        step=lambda x: x @ tensor(M).T, variables=("u",), time_step=1.0, dimensions={"x": 300}
    )
    x = np.random.default_rng(4).standard_normal((5, 300))  # 450 000 numbers: two parts
    found, jacobian = Steps(model, CostSettings(1.0)).linearised(tensor(x))
    np.testing.assert_allclose(found, x @ M.T, atol=1e-13)
    np.testing.assert_allclose(jacobian, np.broadcast_to(M, (5, 300, 300)), atol=1e-15)


def test_the_model_s_own_adjoint_is_used() -> None:
    class Squares(torch.nn.Module):
        def forward(self, x):
            return x * x

        def tangent_linear(self, x, dx):
            return 2 * x * dx

        def adjoint(self, x, v):
            called.append(len(v))
            return 2 * x * v

    called: list[int] = []
    model = pyvda.torch_model(step=Squares(), variables=("a", "b"), time_step=1.0)
    called.clear()  # the derivatives of a model are checked when it is made
    _, jacobian = Steps(model, CostSettings(1.0)).linearised(tensor(np.array([[1.0, 3.0]])))
    np.testing.assert_array_equal(jacobian[0], np.diag([2.0, 6.0]))
    assert called == [1]


def test_between_two_steps_of_its_own_a_model_is_interpolated() -> None:
    model = pyvda.torch_model(step=lambda x: 3 * x, variables=("u",), time_step=1.0)
    with pytest.raises(InputError, match="cannot be cut into 2 substeps"):
        Steps(model, CostSettings(1.0), substeps=2)
    steps = Steps(model, CostSettings(1.0))
    fraction = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    found = steps.between(torch.ones(3, 1, dtype=torch.float64), fraction)
    assert found[:, 0].tolist() == [1.0, 1.5, 3.0]
