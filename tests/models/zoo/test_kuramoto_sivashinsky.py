"""Kuramoto-Sivashinsky against an implicit solver by SciPy, and the variance of its attractor."""

import numpy as np
import pytest
import torch
from problems import drawn_problem
from scipy.integrate import solve_ivp

from pyvda.climate.climatology import attractor_states
from pyvda.engine import get_engine
from pyvda.methods.strong_constraint import StrongConstraintOptions, solve
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model
from pyvda.models.torch_trial import derivatives_verdict


def by_hand(_, u, length=22.0):
    k = 2 * np.pi / length * np.arange(len(u) // 2 + 1)
    k_odd = np.where(np.arange(len(k)) * 2 == len(u), 0, k)
    linear = (k**2 - k**4) * np.fft.rfft(u)
    return np.fft.irfft(linear - 0.5j * k_odd * np.fft.rfft(u * u), len(u))


def smooth(n):
    x = 2 * np.pi * np.arange(n) / n
    return np.cos(x) * (1 + np.sin(2 * x))


def test_steps_are_those_of_an_implicit_solver() -> None:
    u = smooth(32)
    module = known("kuramoto-sivashinsky", state_size=32)
    found = torch.from_numpy(u)
    for _ in range(8):
        found = module(found)
    expected = solve_ivp(by_hand, (0, 2), u, method="Radau", rtol=1e-9, atol=1e-10).y[:, -1]
    # The step has the fourth order: its error at 0.25 is about 1e-5 of the amplitude.
    np.testing.assert_allclose(found.numpy(), expected, atol=3e-4)


def test_derivatives_by_hand_are_right() -> None:
    for size in (16, 9):
        verdict = derivatives_verdict(get_model("kuramoto-sivashinsky", state_size=size))
        assert verdict.passed
        assert len(verdict.worst) == 2


def test_the_length_can_be_differentiated() -> None:
    module = known("kuramoto-sivashinsky", state_size=16)
    u = torch.from_numpy(smooth(16))

    def end(length):
        return torch.func.functional_call(module, {"length": length}, (u,))

    at = torch.tensor(22.0, dtype=torch.float64)
    _, slope = torch.func.jvp(end, (at,), (torch.ones_like(at),))
    torch.testing.assert_close(
        slope, (end(at + 1e-4) - end(at - 1e-4)) / 2e-4, rtol=1e-6, atol=1e-9
    )


@pytest.mark.slow
def test_the_mean_is_conserved_and_the_variance_is_the_attractor_s() -> None:
    model = get_model("kuramoto-sivashinsky")
    start = np.random.default_rng(0).standard_normal((16, 64))
    x = attractor_states(model, get_engine(), start)
    np.testing.assert_allclose(x.mean(2), np.tile(start.mean(1)[:, None], x.shape[1]), atol=1e-9)
    assert abs(x.var(2).mean() - 1.41) < 0.06


def test_the_reference_score_of_four_dvar() -> None:
    """Twin windows, 70 % of the components seen at every fourth step; see the model's docstring."""
    model = get_model("kuramoto-sivashinsky", state_size=32)
    problem = drawn_problem(model, 8, 25, every=4, variance=0.01)
    found = solve(problem, StrongConstraintOptions())
    score = ((found.x - np.asarray(problem.batch.truth)) ** 2).mean()
    assert score == pytest.approx(0.00058, rel=0.2)
