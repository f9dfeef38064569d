"""Wrong derivatives in torch fail in the rows that they concern, and in no others."""

import numpy as np
import pytest
import torch

from pyvda.checks.on_torch import torch_cost
from pyvda.checks.run import (
    Check,
    check_cost,
    check_model,
    failed,
    point,
)
from pyvda.checks.windows import twin_windows
from pyvda.cost import VariationalCost
from pyvda.models.in_torch import LinearisedDynamics, known
from pyvda.models.registry import get_model
from pyvda.priors import RK4Prior


def names(checks: list[Check]) -> set[str]:
    return {check.name for check in checks}


@pytest.fixture(scope="module")
def l63_batch():
    return twin_windows(get_model("lorenz63"))


class Lorenz63(LinearisedDynamics):
    def __init__(self):
        super().__init__(get_model("lorenz63"))


class WrongSign(Lorenz63):
    def adjoint(self, x, dy):
        right = super().adjoint(x, dy)
        x1, _, _ = x.split(1, -1)
        return right - torch.cat((0 * x1, 2 * x1 * dy[..., 2:], 0 * x1), -1)


class DroppedTerm(LinearisedDynamics):
    def __init__(self):
        super().__init__(get_model("lorenz96"))

    def adjoint(self, x, dy):
        return super().adjoint(x, dy) + dy


class WrongTangent(Lorenz63):
    def tangent_linear(self, x, dx):
        right = super().tangent_linear(x, dx)
        return right * torch.tensor([1.0, 1.0, 1.0 + 1e-6], dtype=x.dtype)


class Recorder(Lorenz63):
    """A tendency that keeps the directions of its tangent linear."""

    def __init__(self):
        super().__init__()
        self.directions = []

    def tangent_linear(self, x, dx):
        self.directions.append(dx)
        return super().tangent_linear(x, dx)


class WrongInFloat32(Lorenz63):
    """Correct in float64, the precision of all other checks."""

    def forward(self, x):
        right = super().forward(x)
        return right * (1 + 1e-2) if x.dtype == torch.float32 else right


class WithoutDerivatives(torch.nn.Module):
    def forward(self, x):
        return known("lorenz63")(x)


@pytest.mark.parametrize(
    ("model", "tendency"), [("lorenz63", WrongSign), ("lorenz96", DroppedTerm)]
)
def test_a_broken_adjoint_in_torch_fails(model, tendency) -> None:
    checks = check_model(get_model(model), engine="torch", tendency=tendency())
    schemes = ("torch euler", "torch rk4")
    assert names(failed(checks)) == {
        "torch tendency: adjoint, in ulps",
        *(f"{scheme}: adjoint, in ulps" for scheme in schemes),
        *(f"{scheme}: gradient, by differences" for scheme in schemes),
        *(f"{scheme}: gradient, Taylor test" for scheme in schemes),
        *(f"{scheme}: gradient, by autograd" for scheme in schemes),
    }


def test_a_tangent_linear_wrong_in_the_sixth_digit_fails() -> None:
    checks = check_model(get_model("lorenz63"), engine="torch", tendency=WrongTangent())
    assert names(failed(checks)) == {
        "torch tendency: tangent linear, by differences",
        "torch tendency: adjoint, in ulps",
    }


def test_the_tendency_is_checked_along_the_gradient_of_the_cost(l63_batch) -> None:
    tendency = Recorder()
    check_model(get_model("lorenz63"), l63_batch, engine="torch", tendency=tendency)
    _, along = (direction.numpy() for direction in tendency.directions[:2])
    cost = torch_cost(VariationalCost(RK4Prior(known("lorenz63"), 0.01)), l63_batch)
    gradient = cost.gradient(point(l63_batch)).reshape(-1, 3)
    cosine = (along * gradient).sum(1) / np.linalg.norm(along, axis=1)
    np.testing.assert_allclose(cosine / np.linalg.norm(gradient, axis=1), 1.0)


def test_a_tendency_wrong_only_in_float32_fails() -> None:
    checks = check_model(get_model("lorenz63"), engine="torch", tendency=WrongInFloat32())
    assert names(failed(checks)) == {
        "torch euler: float32 against float64",
        "torch rk4: float32 against float64",
    }


def test_a_tendency_without_hand_written_derivatives(l63_batch) -> None:
    checks = check_model(
        get_model("lorenz63"), l63_batch, engine="torch", tendency=WithoutDerivatives()
    )
    assert failed(checks) == []
    not_run = [check for check in checks if check.name.startswith("torch tendency")]
    assert [check.passed for check in not_run] == [None, None]
    assert "does not define tangent_linear" in not_run[0].detail


def test_a_cost_without_its_data_fails(l63_batch) -> None:
    class Forgetful(VariationalCost):
        def bind(self, batch):
            bound = super().bind(batch)
            object.__setattr__(bound, "_add_data", lambda x, half: half)
            return bound

    class Right(VariationalCost):
        pass

    prior = RK4Prior(known("lorenz63"), 0.01)
    assert failed(check_cost(Right(prior), l63_batch)) == []
    failing = names(failed(check_cost(Forgetful(prior), l63_batch)))
    assert {"cost: gradient, Taylor test", "cost: gradient, by autograd"} <= failing
