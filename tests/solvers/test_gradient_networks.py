"""Networks of the gradient: counts of parameters, windows without a gradient."""

import pytest
import torch
from kernels import with_both_kernels
from problems import random_batch

from pyvda.cost import VariationalCost
from pyvda.priors import GENN, TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch

pytestmark = pytest.mark.usefixtures("kernels")


@with_both_kernels
@pytest.mark.parametrize("solver", [LSTMSolver(3), ConvSolver(3)])
def test_a_window_without_a_gradient_does_not_move_or_affect_others(solver):
    solver = solver.double()
    cost = VariationalCost(GENN(3, width=3, features=4, latent=2).double())
    zero = torch.zeros(2, 6, 3, dtype=torch.float64)
    batch = Batch(zero, zero, zero, zero)
    if isinstance(solver, LSTMSolver):
        with torch.no_grad():
            solver.gates.bias.zero_()
    result = solver.solve(cost, batch, 3)
    assert torch.equal(result.x, zero)
    parameters = [*solver.parameters(), *cost.parameters()]
    found = torch.autograd.grad(
        result.x.sum(), parameters, allow_unused=True, materialize_grads=True
    )
    assert all(value.isfinite().all() for value in found)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parameter_counts_are_the_authors_with_the_weights_of_the_cost():
    assert count(LSTMSolver(3)) + 2 == 3_348
    assert count(LSTMSolver(1, 2, True)) + 2 == 1_108
    assert count(ConvSolver(3)) + 2 == 4_340
    assert count(ConvSolver(1, 2, True)) + 2 == 1_444


@pytest.mark.parametrize("solver", [LSTMSolver, ConvSolver])
def test_half_precision_trains_with_a_gradient_in_full_precision(solver):
    torch.manual_seed(0)
    module = solver(3)
    cost = VariationalCost(TwoScaleGENN(3, width=3, features=6, latent=4), learnable=True)
    batch = random_batch().to(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = module.solve(cost, batch, 3).x
        gradient = cost.gradient(batch.first_guess, batch)
    assert torch.equal(gradient, cost.gradient(batch.first_guess, batch))
    x.float().square().mean().backward()
    with torch.no_grad():
        full = module.solve(cost, batch, 3).x
    assert 0.0 < (x - full).norm() < 0.05 * full.norm()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
