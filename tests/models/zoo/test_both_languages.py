"""Every model of the zoo is the same in Julia and in torch."""

import numpy as np
import pytest

from pyvda.engine import get_engine
from pyvda.models.registry import families, get_model

pytestmark = pytest.mark.julia


@pytest.mark.parametrize("name", families())
def test_step_tangent_linear_and_adjoint(name) -> None:
    julia, torch = get_engine("julia"), get_engine("torch")
    model = get_model(name)
    rng = np.random.default_rng(11)
    x, dx, y = rng.normal(size=(3, 4, model.state_size))
    how = {"time_step": model.time_step}
    for found, expected in (
        (julia.forecast(model, x, **how), torch.forecast(model, x, **how)),
        (julia.tangent_linear(model, x, dx, **how), torch.tangent_linear(model, x, dx, **how)),
        (julia.adjoint(model, x, y, **how), torch.adjoint(model, x, y, **how)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", families())
def test_the_derivatives_in_julia_are_right(name) -> None:
    verdict = get_engine("julia").verdict(get_model(name), parameters=True)
    assert verdict.passed, str(verdict)
    assert len(verdict.worst) >= 2
