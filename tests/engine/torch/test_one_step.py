"""Forecast, tangent linear and adjoint by autograd, against differences and the dot product."""

import numpy as np
import pytest

from pyvda.engine import CostSettings
from pyvda.engine.torch.one_step import step, step_adjoint, step_tangent
from pyvda.engine.torch.steps import Steps
from pyvda.models.registry import get_model


@pytest.mark.parametrize("estimated", [False, True])
@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_derivatives(name: str, estimated: bool) -> None:
    model = get_model(name)
    steps = Steps(model, CostSettings(0.01), estimated=estimated)
    rng = np.random.default_rng(0)
    x, dx, v = 3 * rng.standard_normal((3, 2, 4, steps.size))  # windows and times in front
    if estimated:
        x[..., model.state_size :] = np.asarray(model.parameters)
    assert step(steps, x).shape == x.shape
    e = 1e-6
    difference = (step(steps, x + e * dx) - step(steps, x - e * dx)) / (2 * e)
    along = step_tangent(steps, x, dx)
    np.testing.assert_allclose(along, difference, rtol=0, atol=1e-7 * np.abs(along).max())
    left, right = (along * v).sum(-1), (dx * step_adjoint(steps, x, v)).sum(-1)
    np.testing.assert_allclose(left, right, rtol=1e-11)


def test_another_state_size_is_refused_by_name() -> None:
    steps = Steps(get_model("lorenz63"), CostSettings(0.01))
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="dx"):
        step_tangent(steps, x, np.ones((2, 4)))
