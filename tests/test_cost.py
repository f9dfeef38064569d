"""The cost against a loop in NumPy; its gradient against autograd and finite differences."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from kernels import with_both_kernels
from problems import random_batch

from pyvda.cost import BackgroundTerm, VariationalCost
from pyvda.errors import InputError
from pyvda.models.in_torch import bilinear, known
from pyvda.priors import GENN, EulerPrior, RK4Prior, ScaledPrior, TwoScaleGENN
from pyvda.priors.ode import ODEPrior
from pyvda.state.batch import Batch

pytestmark = pytest.mark.usefixtures("kernels")


def make_batch(count=3):
    """Return windows, the second of them without observations, and states to take the cost at."""
    batch = random_batch(count, 9)
    return batch, batch.truth


def make_priors():
    torch.manual_seed(1)
    return {
        "euler": EulerPrior(known("lorenz63"), 0.02),
        "rk4": RK4Prior(known("lorenz63"), 0.02),
        "rk4 of a function": RK4Prior(lambda x: torch.sin(x).roll(1, -1), 0.1),
        "bilinear": RK4Prior(bilinear("lorenz63"), 0.1).double(),
        "scaled": ScaledPrior(RK4Prior(known("lorenz63"), 0.02), [0.1, 0.2, 2.0], [1.0, 2.0, 3.0]),
        "genn": GENN(3, width=5, features=6, latent=4).double(),
        "two scales": TwoScaleGENN(3, width=3, features=6, latent=4).double(),
        "plain module": torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh()).double(),
    }


PRIORS = make_priors()
each_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS.keys())


def numpy_cost(prior, x, batch, lambda1, lambda2):
    phi, first = prior(x).detach().numpy(), getattr(prior, "first_predicted", 0)
    values = []
    for w in range(len(x)):
        weight, residual = batch.mask[w].numpy(), x[w].numpy() - phi[w]
        n = np.count_nonzero(weight)
        misfit = (weight * (x[w] - batch.observation[w]).numpy() ** 2).sum()
        data = misfit / n if n else 0.0
        values.append(lambda1 * data + lambda2 * np.mean(residual[first:] ** 2))
    return np.array(values)


@each_prior
def test_the_cost_is_equation_4(prior):
    batch, x = make_batch()
    terms = VariationalCost(prior, 0.3, 0.7)(x, batch)
    np.testing.assert_allclose(
        terms.total.detach(), numpy_cost(prior, x, batch, 0.3, 0.7), rtol=1e-12
    )
    torch.testing.assert_close(terms.total, terms.observation + terms.dynamics)
    assert terms.observation[1] == 0.0


@with_both_kernels
@each_prior
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_is_autograd_s(prior, create_graph):
    batch, x = make_batch()
    cost = VariationalCost(prior, 0.3, 0.7, background=BackgroundTerm(precision=[1.0, 2.0, 3.0]))
    x.requires_grad_(True)
    (expected,) = torch.autograd.grad(cost(x, batch).total.sum(), x)
    gradient = cost.gradient(x, batch, create_graph)
    assert gradient.requires_grad == create_graph
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


@with_both_kernels
@each_prior
def test_the_second_derivatives_are_double_backward_s(prior):
    batch, x = make_batch()
    cost = VariationalCost(prior, 0.3, 0.7, learnable=True).double()
    x.requires_grad_(True)
    direction = torch.linspace(-1.0, 1.0, x.numel(), dtype=torch.float64).reshape(x.shape)
    inputs = [x, *cost.parameters()]
    (plain,) = torch.autograd.grad(cost(x, batch).total.sum(), x, create_graph=True)
    expected = torch.autograd.grad((plain * direction).sum(), inputs)
    ours = cost.gradient(x, batch, create_graph=True)
    got = torch.autograd.grad((ours * direction).sum(), inputs)
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-11)


@each_prior
def test_the_gradient_passes_the_taylor_test(prior):
    batch, x = make_batch(1)
    cost = VariationalCost(prior, 0.3, 0.7)
    direction = torch.sin(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)
    slope = (cost.gradient(x, batch) * direction).sum()
    value = cost(x, batch).total

    def remainder(step):
        return (cost(x + step * direction, batch).total - value - step * slope).abs().item()

    assert remainder(1e-3) / remainder(5e-4) == pytest.approx(4.0, rel=0.1)


@with_both_kernels
def test_a_window_s_gradient_does_not_depend_on_its_batch():
    batch, x = make_batch(4)
    cost = VariationalCost(PRIORS["two scales"])
    together = cost.gradient(x, batch)
    for w in range(4):
        alone = cost.gradient(x[w : w + 1], batch[slice(w, w + 1)])
        torch.testing.assert_close(alone[0], together[w], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("full", [False, True])
def test_the_background_is_a_quadratic_form_on_the_first_state(full):
    batch, x = make_batch()
    factor = torch.tensor([[2.0, 0, 0], [0.5, 1.0, 0], [0.3, -0.2, 0.7]], dtype=torch.float64)
    precision = factor @ factor.T if full else torch.diag(torch.tensor([1.0, 4.0, 9.0]).double())
    mean = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    how = {"cholesky": factor} if full else {"precision": [1.0, 4.0, 9.0]}
    cost = VariationalCost(PRIORS["rk4"], background=BackgroundTerm(mean, weight=0.5, **how))
    terms = cost(x, batch)
    anomaly = x[:, 0] - mean
    expected = 0.5 * torch.einsum("bi,ij,bj->b", anomaly, precision, anomaly) / 3
    torch.testing.assert_close(terms.background, expected)
    torch.testing.assert_close(terms.total, terms.observation + terms.dynamics + terms.background)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(cost(x, batch).total.sum(), x)
    torch.testing.assert_close(cost.gradient(x, batch), gradient)


def test_the_background_is_the_first_guess_where_no_mean_is_given():
    batch, _ = make_batch()
    cost = VariationalCost(PRIORS["rk4"], background=BackgroundTerm(precision=[1.0, 1.0, 1.0]))
    assert torch.equal(cost(batch.first_guess, batch).background, torch.zeros(3).double())


def test_learnable_weights_stay_positive_and_are_trained():
    batch, x = make_batch()
    cost = VariationalCost(PRIORS["rk4"], 0.01, 1.0, learnable=True)
    assert cost.lambda1.item() == pytest.approx(0.01)
    # Adam changes each parameter by about its rate a step, whatever the gradient: numbers that were
    # the weights themselves would be below zero after the first.
    optimiser = torch.optim.Adam(cost.parameters(), lr=1.5)
    for _ in range(5):
        optimiser.zero_grad()
        cost(x, batch).total.mean().backward()
        optimiser.step()
    for start, weight in ((0.01, cost.lambda1.item()), (1.0, cost.lambda2.item())):
        assert 1e-5 * start < weight < 0.1 * start
    assert not list(VariationalCost(PRIORS["rk4"]).parameters())


@each_prior
def test_float32_agrees_with_float64(prior):
    batch, x = make_batch()
    cost = VariationalCost(prior)
    expected = cost.gradient(x, batch)
    cost.float()
    single = cost.gradient(x.float(), batch.to(dtype=torch.float32))
    cost.double()
    assert single.dtype == torch.float32
    error = (single - expected).norm() / expected.norm()
    assert error < 1e-5


def test_bad_input_is_refused():
    batch, x = make_batch()
    numpy_batch = Batch(*(a.numpy() for a in (batch.observation, batch.mask, batch.first_guess)))
    with pytest.raises(InputError, match="expected a torch tensor"):
        VariationalCost(PRIORS["rk4"])(x, numpy_batch)
    with pytest.raises(InputError, match="lambda1 is -1"):
        VariationalCost(PRIORS["rk4"], lambda1=-1.0)
    with pytest.raises(InputError, match="lambda2 is 0"):
        VariationalCost(PRIORS["rk4"], lambda2=0.0, learnable=True)
    with pytest.raises(InputError, match="exactly one"):
        BackgroundTerm([0.0])
    with pytest.raises(InputError, match="shape"):
        BackgroundTerm([0.0, 1.0], precision=[1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="negative"):
        BackgroundTerm(precision=[1.0, -1.0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_gradient_is_the_same():
    # Two stages compile in half the time of rk4's four.
    cost = VariationalCost(ODEPrior(known("lorenz63"), 0.02, "midpoint"))
    batch, x = make_batch()

    def both():
        at = x.clone().requires_grad_()
        gradient = cost.gradient(at, batch, create_graph=True)
        return gradient, torch.autograd.grad(gradient.square().sum(), at)[0]

    expected, second = both()
    cost.compile()
    found, also_second = both()
    assert cost._half_gradient.chosen is not cost._half_gradient.eager
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(also_second, second, rtol=1e-11, atol=1e-13)


def test_without_a_compiler_the_gradient_is_still_computed(monkeypatch):
    cost, (batch, x) = VariationalCost(PRIORS["rk4"]), make_batch()
    expected = cost.gradient(x, batch)

    def broken(function, **options):
        def run(*arguments):
            raise RuntimeError("no C++ compiler\nwas found")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    cost.compile()
    with pytest.warns(
        UserWarning, match="torch.compile failed, continuing without it: no C.. comp"
    ):
        found = cost.gradient(x, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cost.gradient(x, batch)
