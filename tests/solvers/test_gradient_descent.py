"""Gradient descent as a solver: powers of a matrix, usual steps, fields."""

import pytest
import torch
from problems import random_batch
from solver_problems import PROBLEMS

from pyvda.cost import VariationalCost
from pyvda.models.in_torch import known
from pyvda.priors import RK4Prior
from pyvda.solvers import GradientDescent
from pyvda.state.batch import Batch

pytestmark = pytest.mark.usefixtures("kernels")


def test_gradient_descent_is_the_power_of_a_matrix():
    # With a linear model U is quadratic: every iterate is known from dense algebra.
    matrix = torch.tensor([[0.0, 1.0], [-1.0, -0.1]], dtype=torch.float64)
    cost = VariationalCost(RK4Prior(lambda x: x @ matrix.T, 0.1), 0.5, 2.0)
    batch = random_batch(1, 5, 2)
    n, step, x = 10, 0.05, batch.first_guess

    def total(flat):
        return cost(flat.reshape(1, 5, 2), batch).total.sum()

    hessian = torch.autograd.functional.hessian(total, torch.zeros(n, dtype=torch.float64))
    offset = torch.autograd.functional.jacobian(total, torch.zeros(n, dtype=torch.float64))
    minimum = torch.linalg.solve(hessian, -offset)
    power = torch.matrix_power(torch.eye(n).double() - step * n * hessian, 7)
    expected = minimum + power @ (x.flatten() - minimum)
    got = GradientDescent(step).solve(cost, batch, 7).x
    torch.testing.assert_close(got.flatten(), expected)


def test_lorenz63_descends_at_the_usual_step():
    generator = torch.Generator().manual_seed(0)
    x = 8.0 * torch.randn(4, 50, 3, dtype=torch.float64, generator=generator)
    batch = Batch(x, torch.ones_like(x), x)
    cost = VariationalCost(RK4Prior(known("lorenz63"), 0.01))
    costs = GradientDescent(0.13).solve(cost, batch, 200, history=True).history.cost
    assert (costs[1:] <= costs[:-1] * (1 + 1e-12)).all()
    assert (costs[-1] < 0.05 * costs[0]).all()


def test_gradient_descent_lowers_the_cost_of_fields():
    solver, cost, batch = PROBLEMS["GradientDescent, fields"]
    with torch.no_grad():
        result = solver.solve(cost, batch, 20, history=True)
    costs = result.history.cost
    assert result.x.shape == batch.observation.shape
    assert (costs[1:] < costs[:-1]).all()
    assert (costs[-1] < 0.2 * costs[0]).all()
    observed = batch.mask > 0
    misfit = (result.x - batch.observation)[observed].square().mean()
    assert misfit < 0.2 * (batch.first_guess - batch.observation)[observed].square().mean()
