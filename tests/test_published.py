"""Priors, cost and solvers of the paper against a plain restatement, in values and gradients.

`published.py` records the inner gradient by autograd and uses torch's own convolutions; of pyvda it
takes the weights alone.
"""

import pytest
import torch
from published import EndToEnd

from pyvda.cost import VariationalCost
from pyvda.priors import TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch

ITERATIONS = 4

SYSTEMS = {  # prior, arguments of the solver, steps and size of the state
    "time": (lambda: TwoScaleGENN(3, width=5, features=6, latent=4), (3,), (16, 3)),
    "time, one component": (lambda: TwoScaleGENN(1, width=3, features=6, latent=9), (1,), (12, 1)),
    "circle": (
        lambda: TwoScaleGENN(1, 2, True, width=3, features=6, latent=4, factors=(4, 1), merge=5),
        (1, 2, True),
        (12, 6),
    ),
    "circle of wider cells": (
        lambda: TwoScaleGENN(1, 2, True, width=3, features=6, latent=4, factors=(3, 2)),
        (1, 2, True),
        (9, 8),
    ),
}


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.fixture(params=["torch", pytest.param("julia", marks=pytest.mark.julia)], autouse=True)
def kernels(request, monkeypatch):
    monkeypatch.setenv("PYVDA_KERNELS", request.param)


@pytest.fixture(params=SYSTEMS)
def system(request):
    torch.manual_seed(7)
    make_prior, arguments, shape = SYSTEMS[request.param]
    prior = make_prior().double()
    # At their random start the weights are so small that Φ is hardly seen in an analysis.
    with torch.no_grad():
        for weight in prior.parameters():
            weight.mul_(1.5)
    truth, noise, guess = torch.randn(3, 3, *shape, dtype=torch.float64)
    mask = (torch.rand_like(truth) < 0.5).double()
    return prior, arguments, Batch(mask * (truth + 0.1 * noise), mask, guess, truth)


def scale_gradients(network):
    """Gradients of a scale's weights in the order and the shapes of pyvda's `ScaleBlock`."""
    kernel = network.first.weight.grad.flatten(2)
    centre = kernel.shape[2] // 2
    found = {"neighbours": torch.cat((kernel[..., :centre], kernel[..., centre + 1 :]), 2)}
    for name in ("reduce", "linear", "left", "right", "outputs"):
        found[name] = getattr(network, name).weight.grad.flatten(1)
    return found


def gradients(published):
    """Gradients of all the restatement's weights, by the name and in the shape of pyvda's."""
    prior, found = published.prior, {}
    for name, network in (("fine.scale", prior.fine), ("coarse", prior.coarse)):
        for weight, value in scale_gradients(network).items():
            found[f"prior.{name}.{weight}"] = value
    found["prior.up"] = prior.up.weight.grad.transpose(0, 1).flatten(2)
    if isinstance(prior.merge, torch.nn.modules.conv._ConvNd):
        found["prior.merge"] = prior.merge.weight.grad.flatten(1)
    # λ is the square of the one's parameter and the exponential of the other's.
    for k in (0, 1):
        found[f"log_lambda{k + 1}"] = 0.5 * published.weights[k] * published.weights.grad[k]
    if published.lstm:
        found["alpha"] = published.alpha.grad
        found["gates.weight"] = published.gates.weight.grad
        found["gates.bias"] = published.gates.bias.grad
    else:
        for k, layer in enumerate(published.layers):
            found[f"network.{k}.weight"] = layer.weight.grad
    found["update.weight"] = published.update.weight.grad
    return found


def test_the_two_scale_prior_is_equation_10(system):
    prior, arguments, batch = system
    published = EndToEnd(prior, LSTMSolver(*arguments).double(), 1.0, 1.0).prior
    expected = published(batch.first_guess)
    both = expected.std()
    with torch.no_grad():
        published.up.weight.zero_()
    assert (expected - published(batch.first_guess)).std() > 0.1 * both  # the coarse scale counts
    assert_close(prior(batch.first_guess), expected)


@pytest.mark.parametrize("make_solver", [LSTMSolver, ConvSolver])
def test_analyses_and_gradients_are_those_of_equations_4_10_11_and_12(system, make_solver):
    prior, arguments, batch = system
    solver = make_solver(*arguments).double()
    with torch.no_grad():  # so that g, and with it the atan, leaves its linear part
        solver.update.weight.mul_(3.0)
    cost = VariationalCost(prior, 0.3, 0.7, learnable=True).double()
    published = EndToEnd(prior, solver, cost.lambda1.item(), cost.lambda2.item())

    expected = published(batch, ITERATIONS)
    found = solver.solve(cost, batch, ITERATIONS).x
    assert_close(found, expected)
    with torch.no_grad():
        assert_close(solver.solve(cost, batch, ITERATIONS).x, expected.detach())

    (expected - batch.truth).square().mean().backward()
    (found - batch.truth).square().mean().backward()
    reference = gradients(published)
    ours = dict(cost.named_parameters()) | dict(solver.named_parameters())
    assert ours.keys() == reference.keys()
    for name, parameter in ours.items():
        assert reference[name].abs().max() > 1e-8, name
        torch.testing.assert_close(
            parameter.grad,
            reference[name],
            rtol=1e-8,
            atol=1e-9 * reference[name].abs().max().item(),
            msg=lambda text, name=name: f"{name}: {text}",
        )
