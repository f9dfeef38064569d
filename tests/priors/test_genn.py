"""GENN: no point predicts itself, derivatives of any order, counts of parameters."""

import pytest
import torch
import torch.nn.functional as F
from dense import jacobian, normal
from kernels import with_both_kernels

from pyvda.errors import InputError
from pyvda.priors import (
    GENN,
    TwoScaleGENN,
    folded,
)
from pyvda.priors.spacetime import SpaceTime

pytestmark = pytest.mark.usefixtures("kernels")


def genns():
    torch.manual_seed(4)
    small = {"features": 6, "latent": 4}
    return {
        "time": (GENN(3, width=5, **small), (9, 3)),
        "time and component": (GENN(1, 2, True, width=5, **small), (7, 6)),
        "time, y and x": (GENN(1, 3, width=3, **small), (4, 3, 4)),
        "two scales": (TwoScaleGENN(3, width=3, **small), (13, 3)),
        "two scales, periodic": (TwoScaleGENN(1, 2, True, width=(3, 5), **small, merge=5), (9, 6)),
        "two scales, y and x": (
            TwoScaleGENN(1, 3, width=3, factors=(1, 2, 3), **small, merge=2),
            (3, 5, 4),
        ),
        "groups": (GENN(3, width=5, every=4, **small), (12, 3)),
        "groups, periodic": (GENN(1, 2, True, width=3, every=2, **small), (8, 6)),
    }


GENNS = {name: (prior.double(), shape) for name, (prior, shape) in genns().items()}


each_genn = pytest.mark.parametrize(("prior", "shape"), GENNS.values(), ids=GENNS.keys())


@each_genn
def test_the_prediction_of_a_point_does_not_depend_on_it(prior, shape):
    dense = jacobian(prior, normal(*shape))
    assert dense.abs().max() > 1e-3
    assert not dense.diagonal().any()
    space = prior.prepare().layout.space
    if space.dimension == 1:
        steps, size = shape
        groups, own = steps // space.every, space.every * size
        blocks = dense.reshape(groups, own, groups, own)
        assert not torch.stack([blocks[g, :, g] for g in range(groups)]).any()
    elif space.every > 1:
        groups, size = shape[0] // space.every, shape[1]
        blocks = dense.reshape(groups, space.every, size, groups, space.every, size)
        own = [blocks[g, :, k, g, :, k] for g in range(groups) for k in range(size)]
        assert not torch.stack(own).any()


def test_the_channels_of_a_group_are_its_steps():
    x = normal(2, 6, 3)
    line, circle = SpaceTime(3, every=2), SpaceTime(1, 2, True, every=2)
    torch.testing.assert_close(line.split(x)[1, :, 1], x[1, 2:4].flatten(), rtol=0, atol=0)
    torch.testing.assert_close(circle.split(x)[1, :, 1, 2], x[1, 2:4, 2], rtol=0, atol=0)
    for space in (line, circle):
        assert torch.equal(space.join(space.split(x)), x)


@each_genn
def test_the_vjp_of_a_genn_is_that_of_the_dense_jacobian(prior, shape):
    x, r = normal(2, 2, *shape)
    got = prior.vjp(x, r)
    for w in range(2):
        expected = (jacobian(prior, x[w]).T @ r[w].flatten()).reshape(shape)
        torch.testing.assert_close(got[w], expected, rtol=1e-10, atol=1e-12)


@with_both_kernels
def test_the_kernels_are_those_asked_for(kernels):
    prior, shape = GENNS["two scales"]
    assert (prior.prepare().engine(normal(2, *shape)) is not None) == (kernels == "julia")


@pytest.mark.parametrize(
    ("kernels", "block"),
    [("torch", 1), ("torch", 2), ("torch", 10), pytest.param("julia", 10, marks=pytest.mark.julia)],
    indirect=["kernels"],
)
@each_genn
@pytest.mark.parametrize("frozen", [False, True])
def test_the_residual_gradient_is_autograd_s_to_second_order(
    prior, shape, frozen, block, monkeypatch
):
    monkeypatch.setattr(folded, "windows_in_block", lambda *_: block)
    x, direction = normal(2, 3, *shape)
    x.requires_grad_(True)
    inputs = [x] if frozen else [x, *prior.parameters()]
    energy = 0.5 * (x - prior(x)).square().sum()
    (plain,) = torch.autograd.grad(energy, x, create_graph=True)
    expected = torch.autograd.grad((plain * direction).sum(), inputs)
    prior.requires_grad_(not frozen)
    ours = prior.prepare().residual_gradient(x)
    got = torch.autograd.grad((ours * direction).sum(), inputs)
    prior.requires_grad_(True)
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-11)


@with_both_kernels
def test_the_residual_gradient_agrees_with_finite_differences():
    prior = TwoScaleGENN(2, width=3, features=4, latent=2).double()
    x = normal(1, 6, 2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda w: prior.prepare().residual_gradient(w), (x,))


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_genn_is_its_chain_of_convolutions(dimension):
    size = 3 if dimension == 1 else 6
    prior = GENNS["time" if dimension == 1 else "time and component"][0]
    scale, one = prior.scale, (1,) * dimension
    convolve = (F.conv1d, F.conv2d)[dimension - 1]

    def layer(weight, h):
        return convolve(h, weight.reshape(*weight.shape, *one))

    x = normal(2, 7, size)
    grid = x.transpose(1, 2) if dimension == 1 else x[:, None]
    if dimension == 2:
        grid = F.pad(grid, (2, 2, 0, 0), mode="circular")
    padded = F.pad(grid, (2, 2) if dimension == 1 else (0, 0, 2, 2))
    kernel = scale.kernel().reshape(6, -1, *(5,) * dimension)
    h = layer(scale.reduce, torch.relu(convolve(padded, kernel)))
    h = torch.cat((layer(scale.linear, h), layer(scale.left, h) * layer(scale.right, h)), 1)
    y = layer(scale.outputs, h)
    expected = y.transpose(1, 2) if dimension == 1 else y[:, 0]
    torch.testing.assert_close(prior(x), expected)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parameter_counts_are_the_authors_less_the_centres():
    assert count(TwoScaleGENN(3)) == 15_300 - 2 * 3 * 60
    lorenz96 = TwoScaleGENN(1, 2, True, features=50, latent=50, merge=50)
    assert count(lorenz96) == 52_150 - 2 * 50
    assert count(GENN(3, features=40, every=8)) == count(TwoScaleGENN(3))


def test_a_step_of_training_leaves_the_centre_at_zero():
    prior = GENN(3, width=3, features=4, latent=2).double()
    x = normal(2, 6, 3)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.1)
    (x - prior(x)).square().mean().backward()
    optimiser.step()
    assert not jacobian(prior, x[0]).diagonal().any()


@with_both_kernels
def test_float32_agrees_with_float64():
    torch.manual_seed(0)
    prior, x = TwoScaleGENN(3), normal(2, 50, 3)
    single = prior.prepare().residual_gradient(x.float())
    double = prior.double().prepare().residual_gradient(x)
    assert single.dtype == torch.float32
    assert (single - double).norm() < 1e-5 * double.norm()


def test_wrong_windows_and_settings_are_refused():
    with pytest.raises(InputError, match=r"expected \(window, time, 3\)"):
        GENN(3)(torch.zeros(2, 20, 4))
    with pytest.raises(InputError, match="20 steps, expected a multiple of 8"):
        GENN(3, every=8)(torch.zeros(2, 20, 3))
    with pytest.raises(InputError, match="every is 0"):
        GENN(3, every=0)
    with pytest.raises(InputError, match="odd"):
        GENN(3, width=4)
    with pytest.raises(InputError, match="only with dimension 1"):
        GENN(3, dimension=2)
    with pytest.raises(InputError, match="dimension is 4"):
        GENN(1, dimension=4)
    with pytest.raises(InputError, match="factors"):
        TwoScaleGENN(1, 2, factors=(2, 2, 2))
    with pytest.raises(InputError, match="smaller width"):
        GENN(1, 2, True, width=11, features=2, latent=2)(torch.zeros(1, 20, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@each_genn
def test_a_gpu_gives_the_same_numbers(prior, shape):
    x = normal(2, *shape)
    expected = prior.prepare().residual_gradient(x)
    got = prior.cuda().prepare().residual_gradient(x.cuda()).cpu()
    prior.cpu()
    torch.testing.assert_close(got, expected)
