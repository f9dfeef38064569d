"""Lorenz-84 against SciPy: the tendency, a trajectory, and the moments of the attractor."""

import numpy as np
import pytest
import torch
from problems import drawn_problem
from scipy.integrate import solve_ivp

from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.methods.strong_constraint import StrongConstraintOptions, solve
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model
from pyvda.models.torch_trial import derivatives_verdict


def by_hand(_, x, a=0.25, b=4.0, F=8.0, G=1.0):
    u, v, w = x
    return [-(v**2) - w**2 - a * (u - F), u * v - b * u * w - v + G, b * u * v + u * w - w]


def test_the_tendency_is_that_of_the_paper() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    found = known("lorenz84", F=7.0)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, [by_hand(0, y, F=7.0) for y in x], rtol=1e-13, atol=1e-13)


def test_derivatives_by_hand_are_right() -> None:
    verdict = derivatives_verdict(get_model("lorenz84"))
    assert [entry.what for entry in verdict.worst] == ["tangent_linear", "adjoint"]
    assert verdict.passed


def test_the_simulation_is_scipy_s() -> None:
    start = [1.0, 0.5, -0.5]
    found = get_engine("torch").simulate(
        get_model("lorenz84"), np.array([start]), time_step=0.05, steps=101
    )[0]
    times = 0.05 * np.arange(101)
    expected = solve_ivp(by_hand, (0, 5), start, t_eval=times, rtol=1e-11, atol=1e-11).y.T
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_the_attractor_has_scipy_s_moments(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path))
    times = np.arange(100.0, 2000.0, 0.5)
    x = solve_ivp(by_hand, (0, 2000), [1.0, 0.0, 0.5], t_eval=times, rtol=1e-8, atol=1e-8).y.T
    found = climatology(get_model("lorenz84"), get_engine())
    np.testing.assert_allclose(found.mean, x.mean(0), atol=0.03)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), x.std(0), rtol=0.04)
    np.testing.assert_allclose(found.mean, [1.01, 0.06, 0.27], atol=0.02)


def test_the_reference_score_of_four_dvar() -> None:
    """Twin windows, 70 % of the components seen at every fourth step; see the model's docstring."""
    model = get_model("lorenz84")
    problem = drawn_problem(model, 8, 41, every=4, variance=0.01)
    found = solve(problem, StrongConstraintOptions(members=5000, count=1))
    score = ((found.x - np.asarray(problem.batch.truth)) ** 2).mean()
    assert score == pytest.approx(0.001366, rel=0.05)
