"""Solvers: windows on their own, unrolled gradients, checkpointing, histories, fields."""

from dataclasses import replace

import pytest
import torch
from kernels import with_both_kernels
from problems import random_batch
from solver_problems import PROBLEMS

from pyvda import load
from pyvda.cost import BackgroundTerm, VariationalCost
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods import Problem
from pyvda.models.registry import get_model
from pyvda.names import Status
from pyvda.solvers import GradientDescent, Regression
from pyvda.state.batch import Batch

pytestmark = pytest.mark.usefixtures("kernels")


each_problem = pytest.mark.parametrize(
    ("solver", "cost", "batch"), PROBLEMS.values(), ids=PROBLEMS.keys()
)


def gradients(solver, cost, batch, **options):
    parameters = [*solver.parameters(), *cost.parameters()]
    result = solver.solve(cost, batch, 6, **options)
    loss = (result.x - batch.truth).square().mean()
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return loss.detach(), found


@with_both_kernels
@each_problem
def test_a_window_s_answer_does_not_depend_on_its_batch_mates(solver, cost, batch):
    with torch.no_grad():
        together = solver.solve(cost, batch, 4).x
        order = torch.tensor([3, 0, 4, 2, 1])
        permuted = solver.solve(cost, batch[order], 4).x
        halves = [solver.solve(cost, batch[part], 4).x for part in (slice(0, 2), slice(2, 5))]
    torch.testing.assert_close(permuted, together[order], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.cat(halves), together, rtol=1e-10, atol=1e-10)


@with_both_kernels
def test_the_kernels_are_those_asked_for(kernels):
    solver, cost, batch = PROBLEMS["ConvSolver, line"]
    bound = cost.bind(batch)
    assert solver.on_engine(bound, batch.first_guess) == (kernels == "julia")


@with_both_kernels
@each_problem
def test_solving_twice_gives_the_same_bits(solver, cost, batch):
    with torch.no_grad():
        assert torch.equal(solver.solve(cost, batch, 3).x, solver.solve(cost, batch, 3).x)


@with_both_kernels
@each_problem
def test_checkpointing_changes_no_gradient(solver, cost, batch):
    loss, expected = gradients(solver, cost, batch)
    for every in (1, 4):
        same, got = gradients(solver, cost, batch, checkpoint_every=every, history=True)
        assert same == loss
        for value, reference in zip(got, expected, strict=True):
            torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-12)


@each_problem
def test_detaching_keeps_the_answer_and_cuts_the_gradient(solver, cost, batch):
    loss, full = gradients(solver, cost, batch)
    same, cut = gradients(solver, cost, batch, detach_every=3)
    assert same == loss
    differs = any(not torch.allclose(a, b) for a, b in zip(full, cut, strict=True))
    assert differs
    assert all(value.isfinite().all() for value in cut)


def test_checkpointing_keeps_less_for_the_backward_pass():
    solver, cost, batch = PROBLEMS["ConvSolver, line"]

    def bytes_kept(**options):
        kept = {}

        def pack(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = solver.solve(cost, batch, 12, **options)
        assert result.x.requires_grad
        return sum(kept.values())

    assert bytes_kept(checkpoint_every=3) < bytes_kept() / 4


@with_both_kernels
@pytest.mark.parametrize("name", ["LSTMSolver, line", "ConvSolver, line", "ConvSolver, groups"])
def test_the_gradient_of_the_unrolled_solver_is_the_finite_difference(name):
    solver, cost, batch = PROBLEMS[name]
    parameters = [*solver.parameters(), *cost.parameters()]
    _, expected = gradients(solver, cost, batch)
    torch.manual_seed(0)
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((g * d).sum() for g, d in zip(expected, directions, strict=True))

    def loss(step):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(step * d)
            value = (solver.solve(cost, batch, 6).x - batch.truth).square().mean()
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(step * d)
        return value

    step = 1e-7
    assert (loss(step) - loss(-step)) / (2 * step) == pytest.approx(slope.item(), rel=1e-4)


def test_history_has_the_cost_and_the_error_of_every_iteration():
    solver, cost, batch = PROBLEMS["LSTMSolver, line"]
    with torch.no_grad():
        history = solver.solve(cost, batch, 4, history=True).history
        for k in range(5):
            x = solver.solve(cost, batch, k).x
            torch.testing.assert_close(history.cost[k], cost(x, batch).total)
            torch.testing.assert_close(
                history.r_score[k], (x - batch.truth).square().mean(dim=(1, 2))
            )
        norm = cost.gradient(batch.first_guess, batch).flatten(1).norm(dim=1)
    torch.testing.assert_close(history.gradient_norm[0], norm)
    assert history.gradient_norm.shape == (4, 5)
    assert solver.solve(cost, batch, 2).history is None


def test_the_status_distinguishes_windows():
    solver, cost, batch = PROBLEMS["GradientDescent, lorenz63"]
    mask, guess = batch.mask.clone(), batch.first_guess.clone()
    mask[1] = 0.0
    guess[2] = 1e200
    result = solver.solve(cost, Batch(batch.observation, mask, guess), 3)
    assert result.iterations == 3
    expected = [Status.ITERATION_LIMIT] * 5
    expected[1], expected[2] = Status.NO_OBSERVATIONS, Status.DIVERGED
    assert result.status.tolist() == [int(status) for status in expected]


@each_problem
def test_float32_agrees_with_float64(solver, cost, batch):
    with torch.no_grad():
        double = solver.solve(cost, batch, 3).x
        single = solver.float().solve(cost.float(), batch.to(dtype=torch.float32), 3).x
        solver.double()
        cost.double()
    assert single.dtype == torch.float32
    assert (single - double).norm() < 1e-3 * double.norm()


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name.endswith("fields")])
def test_masked_values_of_a_field_are_ignored(name):
    solver, cost, batch = PROBLEMS[name]
    other = replace(batch, observation=batch.observation + 7.0 * (batch.mask == 0))
    hidden = batch.mask.clone()
    hidden[2] = 0.0
    with torch.no_grad():
        expected = solver.solve(cost, batch, 4)
        assert torch.equal(solver.solve(cost, other, 4).x, expected.x)
        blind = solver.solve(cost, replace(batch, mask=hidden), 4)
    moved = (blind.x - expected.x).flatten(1).abs().amax(1)
    assert (moved > 1e-6).tolist() == [False, False, True, False, False]
    assert blind.status[2] == int(Status.NO_OBSERVATIONS)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name.endswith("fields")])
def test_the_gradient_that_a_solver_of_fields_follows_is_autograd_s(name):
    solver, cost, batch = PROBLEMS[name]
    x = batch.first_guess.clone()
    carry = solver.init(x)
    for _ in range(3):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(cost(x, batch).total.sum(), x)
        with torch.no_grad():
            x, carry = solver.step(x, carry, gradient)
    with torch.no_grad():
        torch.testing.assert_close(solver.solve(cost, batch, 3).x, x)


def test_functions_of_components_refuse_fields():
    _, cost, batch = PROBLEMS["GradientDescent, fields"]
    with pytest.raises(ValueError, match=r"\(window, time, state\) or \(window, time, y, x\)"):
        random_batch(state=(2, 2, 2))
    with_background = VariationalCost(cost.prior, background=BackgroundTerm(precision=[1.0] * 5))
    with pytest.raises(InputError, match="a background term expects"):
        with_background.bind(batch)
    with pytest.raises(InputError, match="a regression expects"):
        Regression(5, 1, 2, 4, (1,)).double().solve(cost, batch)
    arrays = Batch(*(a.numpy() for a in (batch.observation, batch.mask, batch.first_guess)))
    with pytest.raises(InputError, match="an assimilation expects"):
        Problem(arrays, get_model("lorenz63"), CostSettings(0.01), get_engine("torch"))
    with pytest.raises(InputError, match="a trained model expects"):
        load("lorenz63-genn-conv")(batch)


def test_bad_settings_are_refused():
    solver, cost, batch = PROBLEMS["ConvSolver, line"]
    with pytest.raises(InputError, match="iterations is -1"):
        solver.solve(cost, batch, -1)
    with pytest.raises(InputError, match="positive number"):
        GradientDescent(0.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@each_problem
def test_a_gpu_gives_the_same_answer(solver, cost, batch):
    with torch.no_grad():
        expected = solver.solve(cost, batch, 3).x
        got = solver.cuda().solve(cost.cuda(), batch.to(device="cuda"), 3).x.cpu()
    solver.cpu()
    cost.cpu()
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)
