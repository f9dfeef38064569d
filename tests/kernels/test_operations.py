"""Learned priors and solvers on the Julia engine, against torch and autograd."""

import dataclasses

import numpy as np
import pytest
import torch

from pyvda.cost import VariationalCost
from pyvda.engine import get_engine
from pyvda.engine.choice import kernel_engine
from pyvda.engine.julia.kernels import GENNScales, convolutions, residual_gradient
from pyvda.errors import InputError
from pyvda.priors import GENN, TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia

PRIORS = {
    "one-scale": lambda: GENN(12, width=5, features=20, latent=7),
    "two-scale": lambda: TwoScaleGENN(3),
    "cells": lambda: GENN(3, width=5, features=30, latent=9, every=2),
    "few": lambda: TwoScaleGENN(4, width=3, features=30, latent=9, factors=7),
    "one-channel": lambda: GENN(1, width=7, features=20, latent=15),
    "circle": lambda: GENN(1, 2, True, width=(3, 5), features=20, latent=7),
    "circle-of-cells": lambda: GENN(1, 2, True, width=5, features=30, latent=9, every=4),
    "circle-two-scale": lambda: TwoScaleGENN(1, 2, True, features=50, latent=50, merge=50),
    "strip": lambda: TwoScaleGENN(1, 2, width=(5, 3), features=12, latent=4, factors=3),
    "strip-of-cells": lambda: GENN(1, 2, width=(1, 3), features=18, latent=21, every=2),
}
SHAPES = [(1, 5), (3, 41), (5, 200)]  # windows, steps
ACROSS = {5: 5, 41: 13, 200: 40}  # components of dimension 2, by steps


def windows_of(prior: torch.nn.Module, windows: int, steps: int, dtype: torch.dtype):
    space = prior.prepare().layout.space
    state = space.channels if space.dimension == 1 else ACROSS[steps]
    return torch.randn(windows, space.every * max(2, steps // space.every), state, dtype=dtype)


def on(monkeypatch: pytest.MonkeyPatch, kernels: str, f):
    monkeypatch.setenv("PYVDA_KERNELS", kernels)
    return f()


def tolerance(dtype: torch.dtype) -> float:
    return 1e-11 if dtype == torch.float64 else 2e-4


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    scale = expected.abs().max().item() or 1.0
    assert (found - expected).abs().max().item() <= tolerance(found.dtype) * scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PRIORS)
def test_gradient_and_its_backward_pass_are_those_of_torch(monkeypatch, name, shape, dtype):
    torch.manual_seed(sum(shape))
    prior = PRIORS[name]().to(dtype)
    start = windows_of(prior, *shape, dtype)
    cotangent = torch.randn_like(start)

    def gradients():
        x = start.clone().requires_grad_()
        g = prior.prepare().residual_gradient(x)
        return [g.detach(), *torch.autograd.grad(g, [x, *prior.parameters()], cotangent)]

    operation = prior.prepare()
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    assert operation.engine(start) is not None
    found = gradients()
    expected = on(monkeypatch, "torch", gradients)
    assert operation.engine(start) is None
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("name", ["two-scale", "circle-of-cells", "circle-two-scale", "strip"])
def test_gradient_is_that_of_the_recorded_graph(monkeypatch, name):
    """Against autograd's own double backward pass of ½‖x − Φ(x)‖²."""
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    torch.manual_seed(1)
    prior = PRIORS[name]().double()
    x = windows_of(prior, 2, 41, torch.float64).requires_grad_()
    cotangent = torch.randn_like(x)
    weights = list(prior.parameters())
    (recorded,) = torch.autograd.grad(0.5 * (x - prior(x)).square().sum(), x, create_graph=True)
    expected = torch.autograd.grad(recorded, [x, *weights], cotangent)
    found = torch.autograd.grad(prior.prepare().residual_gradient(x), [x, *weights], cotangent)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


def test_gradcheck(monkeypatch):
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    torch.manual_seed(2)
    over_time = TwoScaleGENN(2, width=3, features=16, latent=3).double().prepare()
    on_circle = TwoScaleGENN(1, 2, True, 3, features=8, latent=3, factors=2).double().prepare()
    for prior, state in ((over_time, 2), (on_circle, 3)):
        x = torch.randn(2, 6, state, dtype=torch.float64, requires_grad=True)
        assert prior.engine(x) is not None
        assert torch.autograd.gradcheck(prior.residual_gradient, (x,))
    for solver, axes in ((ConvSolver(2), (4, 2, 6)), (ConvSolver(1, 2, True), (2, 2, 3, 4))):
        network = solver.double().network
        grid = torch.randn(*axes, dtype=torch.float64, requires_grad=True)
        assert network.engine(grid) is not None
        assert torch.autograd.gradcheck(network, (grid,))


NETWORKS = {  # and the channels of the grids that they take
    "time": (lambda: ConvSolver(3, width=5).network, 6),
    "circle": (lambda: ConvSolver(1, 2, True).network, 2),
    "strip": (lambda: ConvSolver(1, 2, width=5).network, 2),
    "cells": (lambda: ConvSolver(1, 2, True, hidden=(8, 8), every=4).network, 8),
    "gates": (lambda: LSTMSolver(1, 2, True).gates, 6),
    "gates over time": (lambda: LSTMSolver(3, hidden=4).gates, 7),
    "mixing points": (lambda: ConvSolver(1, 2, True, every=4).update, 4),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_and_their_backward_pass_are_those_of_torch(monkeypatch, name, shape, dtype):
    torch.manual_seed(sum(shape))
    make, channels = NETWORKS[name]
    network = make().to(dtype)
    space = next(m.space for m in network.modules() if hasattr(m, "space"))
    axes = shape if space.dimension == 1 else (*shape, ACROSS[shape[1]])
    start = torch.randn(channels, *axes, dtype=dtype)
    cotangent = torch.randn_like(network(start))

    def gradients():
        grid = start.clone().requires_grad_()
        y = network(grid)
        return [y.detach(), *torch.autograd.grad(y, [grid, *network.parameters()], cotangent)]

    calls = []
    engine = get_engine("julia")
    monkeypatch.setattr(
        engine, "call", lambda name, **a: calls.append(name) or type(engine).call(engine, name, **a)
    )
    found = on(monkeypatch, "julia", gradients)
    assert calls == ["convolutions", "convolutions_back"]
    expected = on(monkeypatch, "torch", gradients)
    assert len(calls) == 2
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


def batch_of(windows: int, dtype: torch.dtype, steps: int = 41, state: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(3)
    shape = (windows, steps, state)
    truth, noise, start = torch.randn(3, *shape, generator=generator, dtype=dtype)
    mask = (torch.rand(*shape, generator=generator) < 0.3).to(dtype)
    return Batch(mask * (truth + 0.1 * noise), mask, start, truth)


SYSTEMS = {  # solver, prior, and what to make a batch of
    "time": (lambda: ConvSolver(3), PRIORS["two-scale"], (41, 3)),
    "circle": (lambda: LSTMSolver(1, 2, True), PRIORS["circle-two-scale"], (21, 12)),
    "cells": (lambda: ConvSolver(1, 2, True, every=4), PRIORS["circle-of-cells"], (20, 12)),
}


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_training_step_is_that_of_torch_and_the_threads_come_back(monkeypatch, system, options):
    torch.manual_seed(4)
    make_solver, make_prior, shape = SYSTEMS[system]
    solver = make_solver().double()
    cost = VariationalCost(make_prior().double(), learnable=True)
    batch = batch_of(5, torch.float64, *shape)
    modules = torch.nn.ModuleList((cost, solver))
    threads = torch.get_num_threads()

    def gradients():
        modules.zero_grad()
        loss = (solver.solve(cost, batch, 5, **options).x - batch.truth).square().mean()
        loss.backward()
        return [loss.detach(), *(p.grad.clone() for p in modules.parameters())]

    found = on(monkeypatch, "julia", gradients)
    assert torch.get_num_threads() == threads
    again = on(monkeypatch, "julia", gradients)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    for a, b in zip(found, on(monkeypatch, "torch", gradients), strict=True):
        assert_close(a, b)


def test_the_threads_come_back_after_a_backward_pass_that_failed(monkeypatch):
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    solver, cost = ConvSolver(3), VariationalCost(TwoScaleGENN(3))
    start = batch_of(3, torch.float32)
    guess = start.first_guess.requires_grad_()

    def fail(gradient):
        raise RuntimeError("failed")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        hook = guess.register_hook(fail)
        with pytest.raises(RuntimeError, match="failed"):
            solver.solve(cost, start, 2).x.sum().backward()
        hook.remove()
        solver.solve(cost, start, 2).x.sum().backward()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_window_does_not_depend_on_its_batch(monkeypatch, system):
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    torch.manual_seed(5)
    make_solver, make_prior, shape = SYSTEMS[system]
    solver, prior = make_solver(), make_prior()
    batch = batch_of(7, torch.float32, *shape)
    lost = batch.first_guess.clone()
    lost[3, shape[0] // 2, 1] = float("nan")
    others = [0, 1, 2, 4, 5, 6]
    operation = prior.prepare()
    with torch.no_grad():
        gradient = operation.residual_gradient(batch.first_guess)
        found = operation.residual_gradient(lost)
        assert found[3].isnan().any()
        assert torch.equal(found[others], gradient[others])
    cost = VariationalCost(prior)
    with torch.no_grad():
        together = solver.solve(cost, batch, 4).x
        alone = torch.cat([solver.solve(cost, batch[k : k + 1], 4).x for k in range(7)])
        assert torch.equal(together, alone)
        found = solver.solve(cost, dataclasses.replace(batch, first_guess=lost), 4).x
    assert found[3].isnan().any()
    assert torch.equal(found[others], together[others])


def test_torch_computes_what_the_engine_does_not_support(monkeypatch):
    monkeypatch.setenv("PYVDA_KERNELS", "julia")
    x = torch.randn(2, 20, 3)
    assert TwoScaleGENN(3).prepare().engine(x) is not None
    assert TwoScaleGENN(3).half().prepare().engine(x.half()) is None
    assert TwoScaleGENN(3).prepare().engine(x.double()) is None
    circle = torch.randn(2, 20, 12)
    assert TwoScaleGENN(1, 2, True).prepare().engine(circle) is not None
    assert TwoScaleGENN(1, 2, True, factors=(2, 1)).prepare().engine(circle) is not None
    assert TwoScaleGENN(1, 2, True, factors=(2, 2)).prepare().engine(circle) is None
    assert TwoScaleGENN(1, 2, True).prepare().engine(circle[..., :4]) is None  # torch refuses it
    assert GENN(1, 3, True).prepare().engine(torch.randn(2, 20, 12, 12)) is None
    assert ConvSolver(3).network.engine(torch.randn(6, 2, 20)) is not None
    with torch.autocast("cpu"):
        assert ConvSolver(3).network.engine(torch.randn(6, 2, 20)) is None
    on_circle = ConvSolver(1, 2, True, width=7).network
    assert on_circle.engine(torch.randn(2, 2, 20, 12)) is not None
    assert on_circle.engine(torch.randn(2, 2, 20, 2)) is None  # torch refuses it
    assert ConvSolver(1, 3).network.engine(torch.randn(2, 2, 20, 4, 4)) is None


def test_the_switch(monkeypatch):
    engine = get_engine("julia")
    monkeypatch.delenv("PYVDA_KERNELS", raising=False)
    assert kernel_engine() is engine  # it runs
    assert on(monkeypatch, "julia", kernel_engine) is engine
    assert on(monkeypatch, "torch", kernel_engine) is None
    with pytest.raises(InputError, match="PYVDA_KERNELS is 'numpy', expected one of"):
        on(monkeypatch, "numpy", kernel_engine)


def test_wrong_arrays_are_refused_before_a_pointer_crosses():
    engine = get_engine("julia")
    x = np.zeros((2, 9, 3))
    weights = (np.zeros((8, 15)), np.zeros((9, 8)), np.zeros((3, 3)))

    def scales(taps=(5, 1), weights=weights, periodic=False):
        return GENNScales(taps, periodic, [1], [False], [weights])

    with pytest.raises(InputError, match="W has shape"):
        residual_gradient(engine, scales((7, 1)), x)
    wrong = (weights[0].astype(np.float32), *weights[1:])
    with pytest.raises(InputError, match="type float32, expected"):
        residual_gradient(engine, scales(weights=wrong), x)
    with pytest.raises(InputError, match="expected \\(window, time, channel"):
        residual_gradient(engine, scales(), x[0])
    for taps, periodic in (((4, 1), False), ((5, 2), False), ((5, 11), True)):
        with pytest.raises(InputError, match="odd numbers that do not reach farther"):
            residual_gradient(engine, scales(taps, periodic=periodic), x[..., None])
    for shape, points in (((4, 3, 2), x), ((4, 3, 3, 5), x[:, :, None, :])):
        with pytest.raises(InputError, match="odd numbers that do not reach farther"):
            convolutions(engine, [np.zeros(shape)], [True], points, periodic=True)
    for shape, points in (((4, 3, 3), x[:, :, None, :]), ((4, 3, 3, 1), x)):
        with pytest.raises(InputError, match="weight has shape"):
            convolutions(engine, [np.zeros(shape)], [True], points)
    empty = residual_gradient(engine, scales(), x[:0])[0]
    assert empty.shape == (0, 9, 3)
