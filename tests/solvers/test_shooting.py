"""Regression and shooting solver: their parts, and properties that hold for any weights."""

import numpy as np
import pytest
import torch

from pyvda.cost import VariationalCost
from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, RegressionSection, ShootingSection
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.models.in_torch import module_of
from pyvda.models.registry import get_model, get_preset
from pyvda.priors import GENN, ODEPrior, ScaledPrior
from pyvda.solvers.step_groups import StepGroupNetwork, StepGroups
from pyvda.state.batch import Batch
from pyvda.training.configuration import Configuration
from pyvda.validation_errors import validated

MODELS = {name: get_model(name) for name in ("lorenz63", "lorenz96")}


def states(name, *shape, seed=0):
    model = MODELS[name]
    random = np.random.default_rng(seed)
    centre = np.array([0.0, 0.0, 25.0]) if name == "lorenz63" else 2.0
    return torch.tensor(centre + 4.0 * random.standard_normal((*shape, model.state_size)))


def batch_of(name, windows=5, steps=24, seed=0):
    x = states(name, windows, steps, seed=seed)
    mask = torch.zeros_like(x)
    mask[:, ::8, :1] = 1.0
    mask[2] = 0.0  # a window without observations
    return Batch(x * mask, mask, torch.zeros_like(x), x)


def solver_of(name, kind, stages=2):
    """Return a model whose networks have an effect; initially they change nothing."""
    start = RegressionSection(kind="regression", width=6, dilations=(1, 2))
    section = (
        ShootingSection(kind="shooting", start=start, stages=stages, width=5, dilations=(1, 2))
        if kind == "shooting"
        else start
    )
    architecture = Architecture.model_validate(
        {"prior": {"kind": "rk4"}, "cost": {"learnable": False}, "solver": section.model_dump()}
    )
    torch.manual_seed(3)
    pattern = Pattern.of(name, get_preset(name))
    model = LearnedModel(architecture, pattern, 2.0, 5.0, stages).double()
    with torch.no_grad():
        for network in model.modules():
            if isinstance(network, StepGroupNetwork):
                network.last.weight.normal_(std=0.1)
    return model


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("steps", [24, 19])
def test_step_groups_and_back(dimension, steps):
    groups = StepGroups(8, dimension)
    x = torch.randn(3, steps, 5)
    split = groups.split(x)
    assert split.shape == (3, 3, 8, 5)
    assert torch.equal(split[:, 1, 3], x[:, 11])
    assert not split.flatten(1, 2)[:, steps:].any()
    grid = groups.grid(split)
    assert grid.shape == ((3, 40, 3) if dimension == 1 else (3, 8, 3, 5))
    assert grid.shape[1] == groups.channels(5)
    assert torch.equal(groups.ungrid(grid, 5), split)
    assert torch.equal(groups.join(split, steps), x)


@pytest.mark.parametrize("name", MODELS)
def test_runs_are_steps_and_their_adjoint(name):
    model = MODELS[name]
    physical = ODEPrior(module_of(model), model.time_step)
    prior = ScaledPrior(physical, 2.0, 5.0).double()
    z = ((states(name, 4) - 2.0) / 5.0).requires_grad_()
    run, end, pullback = prior.run(z, 3)
    x = z.detach() * 5.0 + 2.0
    for k in range(3):
        torch.testing.assert_close(run[:, k], (x - 2.0) / 5.0, rtol=1e-12, atol=1e-12)
        x = physical.step(x)
    torch.testing.assert_close(end, (x - 2.0) / 5.0, rtol=1e-12, atol=1e-12)
    v = torch.randn_like(z)
    (expected,) = torch.autograd.grad((end * v).sum(), z)
    torch.testing.assert_close(pullback(v), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_truth_has_no_defect(name):
    model = solver_of(name, "shooting")
    every = model.solver.start.groups.every
    x = [states(name, 2)]
    for _ in range(3 * every):
        x.append(model.prior.prior.step(x[-1]))
    z = model.to_normalised(torch.stack(x, 1))
    run, defects = model.solver._linearised(model.prior, z)
    assert defects.abs().max() < 1e-12
    steps = z.shape[1]
    torch.testing.assert_close(
        model.solver.start.groups.join(run, steps), z, rtol=1e-12, atol=1e-12
    )
    z[:, every] += 0.01
    _, defects = model.solver._linearised(model.prior, z)
    assert defects[:, 1, 0].sub(0.01).abs().max() < 1e-12
    assert (defects[:, 0, 1].abs() > 1e-4).any()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["regression", "shooting"])
def test_a_window_does_not_depend_on_its_batch(name, kind):
    model = solver_of(name, kind)
    batch = batch_of(name)
    together = model(batch).x
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(model(batch[order]).x, together[order], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model(batch[1:2]).x, together[1:2], rtol=1e-10, atol=1e-10)
    assert model(batch).status.tolist() == [1, 1, 2, 1, 1]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["regression", "shooting"])
def test_the_widest_layer_is_counted(name, kind):
    model, batch = solver_of(name, kind), batch_of(name, steps=19)
    seen = []
    for network in model.modules():
        if isinstance(network, StepGroupNetwork):
            network.first.register_forward_hook(lambda _, taken, given: seen.append(given.numel()))
    with torch.no_grad():
        model(batch, 2)
    assert model.solver.widest(*batch.truth.shape[1:]) == max(seen) / len(batch)


@pytest.mark.parametrize("kind", ["regression", "shooting"])
def test_unobserved_values_are_not_used(kind):
    model = solver_of("lorenz63", kind)
    batch = batch_of("lorenz63")
    other = Batch(batch.observation + 7.0 * (1 - batch.mask), batch.mask, batch.first_guess)
    torch.testing.assert_close(model(other).x, model(batch).x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["regression", "shooting"])
def test_the_circle_of_lorenz96_has_no_beginning(kind):
    model = solver_of("lorenz96", kind)
    batch = batch_of("lorenz96")
    turned = Batch(*(a.roll(7, 2) for a in (batch.observation, batch.mask, batch.first_guess)))
    torch.testing.assert_close(model(turned).x, model(batch).x.roll(7, 2), rtol=1e-9, atol=1e-9)


def test_each_stage_is_trained_by_its_own_states():
    model = solver_of("lorenz63", "shooting")
    batch = model.normalised(batch_of("lorenz63"))
    path = model.solver.solve(model.cost, batch, 2).path
    networks = [model.solver.start, *model.solver.stages]
    assert len(path) == len(networks)
    for k, x in enumerate(path):
        model.zero_grad()
        x.square().sum().backward(retain_graph=True)
        moved = [any(p.grad is not None for p in network.parameters()) for network in networks]
        assert moved == [j == k for j in range(len(networks))]


def test_iterations_are_chosen_for_each_run():
    model = solver_of("lorenz63", "shooting")
    batch = batch_of("lorenz63")
    path = model.solver.solve(model.cost, model.normalised(batch), 4).path
    for k in range(5):
        found = model(batch, k)
        assert found.iterations == k
        torch.testing.assert_close(model.to_normalised(found.x), path[k], rtol=1e-12, atol=1e-12)


def test_a_prior_that_is_not_a_model_is_refused():
    model = solver_of("lorenz63", "shooting")
    cost = VariationalCost(GENN(3).double())
    with pytest.raises(InputError, match="needs a prior that is a known model's step, the GENN"):
        model.solver.solve(cost, model.normalised(batch_of("lorenz63")), 1)


def test_a_configuration_without_a_model_is_refused():
    sections = {"prior": {"kind": "genn"}, "solver": {"kind": "shooting"}}
    with pytest.raises(InputError, match="a shooting solver needs a known model"):
        validated(Configuration, {**sections, "loss": {"kind": "supervised"}}, "here")


def test_the_mirror_image_of_lorenz63():
    model = solver_of("lorenz63", "shooting")
    signs = torch.tensor([-1.0, -1.0, 1.0]).double()
    batch = batch_of("lorenz63")
    image = Batch(signs * batch.observation, batch.mask, signs * batch.first_guess)
    once, of_image = model(batch).x, model(image).x
    assert not torch.allclose(once, signs * of_image)
    model.architecture = model.architecture.model_copy(update={"mirrored": True})
    torch.testing.assert_close(model(batch).x, (once + signs * of_image) / 2)
    torch.testing.assert_close(model(image).x, signs * model(batch).x)
    sections = {"prior": {"kind": "rk4"}, "solver": {"kind": "shooting"}, "mirrored": True}
    sections |= {"loss": {"kind": "supervised"}, "data": {"preset": "lorenz96"}}
    with pytest.raises(InputError, match="the model of lorenz96 has no mirror image"):
        validated(Configuration, sections, "here")


def test_stored_and_loaded(tmp_path):
    model = solver_of("lorenz96", "shooting").float()
    model.save(tmp_path)
    batch = batch_of("lorenz96").to(None, torch.float32)
    assert torch.equal(LearnedModel.load(tmp_path)(batch).x, model(batch).x)
