"""The two-scale Lorenz-96 against NumPy, SciPy, and the one-scale model that it contains."""

import numpy as np
import pytest
import torch
from problems import drawn_problem
from scipy.integrate import solve_ivp

from pyvda.engine import get_engine
from pyvda.methods.strong_constraint import StrongConstraintOptions, solve
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model
from pyvda.models.torch_trial import derivatives_verdict

SMALL = {"K": 5, "J": 3}


def by_hand(x, F, h, c, b, K, J):
    X, Y = x[:K], x[K:]
    n = K * J
    slow = [
        X[k - 1] * (X[(k + 1) % K] - X[k - 2]) - X[k] + F - h * c / b * Y[k * J : k * J + J].sum()
        for k in range(K)
    ]
    fast = [
        c * b * Y[(m + 1) % n] * (Y[m - 1] - Y[(m + 2) % n]) - c * Y[m] + h * c / b * X[m // J]
        for m in range(n)
    ]
    return np.array(slow + fast)


def test_the_tendency_is_that_of_the_paper() -> None:
    x = np.random.default_rng(0).standard_normal((10, 20))
    numbers = {"F": 9.0, "h": 0.8, "c": 7.0, "b": 6.0, **SMALL}
    found = known("lorenz96-two-scale", **numbers)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, [by_hand(y, **numbers) for y in x], rtol=1e-12, atol=1e-12)


def test_without_coupling_the_slow_variables_are_lorenz_96_s() -> None:
    x = torch.randn(4, 20, dtype=torch.float64)
    slow = known("lorenz96-two-scale", h=0.0, **SMALL)(x)[..., :5]
    torch.testing.assert_close(slow, known("lorenz96", forcing=10.0, state_size=5)(x[..., :5]))


def test_derivatives_by_hand_are_right() -> None:
    assert derivatives_verdict(get_model("lorenz96-two-scale", **SMALL)).passed


def test_the_simulation_is_scipy_s_and_the_state_has_two_variables() -> None:
    model = get_model("lorenz96-two-scale", **SMALL)
    assert [(v.name, v.dims, v.shape) for v in model.state_space.variables] == [
        ("X", ("k",), (5,)),
        ("Y", ("k", "j"), (5, 3)),
    ]
    start = np.random.default_rng(1).standard_normal(20)
    found = get_engine("torch").simulate(model, start[None], time_step=0.005, steps=101)[0]
    expected = solve_ivp(
        lambda _, x: by_hand(x, 10.0, 1.0, 10.0, 10.0, 5, 3), (0, 0.5), start,
        t_eval=0.005 * np.arange(101), rtol=1e-11, atol=1e-11,
    ).y.T  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.julia
def test_the_reference_score_of_four_dvar() -> None:
    """Twin windows, 70 % of the components seen at every fourth step; see the model's docstring."""
    model = get_model("lorenz96-two-scale", K=8, J=4)
    problem = drawn_problem(model, 8, 41, every=4, variance=0.01, engine="julia")
    found = solve(problem, StrongConstraintOptions())
    score = ((found.x - np.asarray(problem.batch.truth)) ** 2).mean()
    assert score == pytest.approx(0.001201, rel=0.05)
