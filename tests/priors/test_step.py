"""The prior of a step: windows shifted by one, runs, and adjoints as of dense matrices."""

import pytest
import torch
from dense import jacobian, normal

from pyvda.priors.step import StepPrior

M = normal(3, 3, seed=1) / 2


class Linear(torch.nn.Module):
    def forward(self, x):
        return x @ M.T


class WithAdjoint(Linear):
    def __init__(self):
        super().__init__()
        self.called = 0

    def adjoint(self, x, v):
        self.called += 1
        return v @ M


@pytest.mark.parametrize("function", [Linear, WithAdjoint])
def test_windows_are_shifted_by_a_step(function) -> None:
    prior, x = StepPrior(function(), 0.5), normal(2, 6, 3)
    expected = torch.cat((x[:, :1], x[:, :-1] @ M.T), 1)
    torch.testing.assert_close(prior(x), expected)
    value, pullback = prior.linearise(x)
    torch.testing.assert_close(value, expected)
    r = normal(2, 6, 3, seed=2)
    J = jacobian(prior, x[0])
    torch.testing.assert_close(pullback(r)[0].flatten(), J.T @ r[0].flatten())
    torch.testing.assert_close(prior.vjp(x, r), pullback(r))


@pytest.mark.parametrize("function", [Linear, WithAdjoint])
def test_runs_are_powers_of_the_matrix(function) -> None:
    model = function()
    x, v = normal(4, 3), normal(4, 3, seed=3)
    states, end, pullback = StepPrior(model, 1.0).run(x, 3)
    power = torch.linalg.matrix_power
    torch.testing.assert_close(states, torch.stack([x @ power(M, k).T for k in range(3)], -2))
    torch.testing.assert_close(end, x @ power(M, 3).T)
    torch.testing.assert_close(pullback(v), v @ power(M, 3))
    assert getattr(model, "called", 3) == 3
