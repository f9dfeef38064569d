"""Folded GENN: value, pullback and residual gradient against autograd through a plain form."""

import pytest
import torch
from dense import jacobian, normal

from pyvda.priors import folded as module
from pyvda.priors.folded import Branch, FoldedGENN, Layout, through_relu, windows_in_block
from pyvda.priors.heads import BilinearHead, QuadraticHead
from pyvda.priors.spacetime import SpaceTime

FEATURES = 4


def folded(space: SpaceTime, taps: tuple[int, ...], factors: tuple[int, ...], quadratic: bool):
    outputs = space.grid_channels
    for factor in factors:
        outputs *= factor
    size = space.grid_channels
    for tap in taps:
        size *= tap
    kernel = normal(FEATURES, size, seed=1)
    if quadratic:
        S = normal(outputs, FEATURES, FEATURES, seed=2)
        head = QuadraticHead((S + S.mT).flatten(0, 1), normal(outputs, FEATURES, seed=3))
    else:
        head = BilinearHead(normal(2 * 2 + outputs, FEATURES, seed=2), normal(outputs, 2, seed=3))
    return FoldedGENN(Layout(space, taps, (factors,)), [Branch(kernel, head)])


CASES = [
    (SpaceTime(3), (3,), (1,), (2, 6, 3)),
    (SpaceTime(3), (5,), (2,), (2, 6, 3)),
    (SpaceTime(1, 2, True), (3, 3), (1, 1), (2, 4, 5)),
    (SpaceTime(1, 3), (1, 3, 3), (1, 1, 1), (1, 2, 3, 4)),
]


@pytest.fixture(autouse=True)
def _torch_kernels(monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_KERNELS", "torch")


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize(("space", "taps", "factors", "shape"), CASES)
def test_gradients_are_those_of_the_dense_jacobian(space, taps, factors, shape, quadratic) -> None:
    prior, x = folded(space, taps, factors, quadratic), normal(*shape)
    value, pullback = prior.linearise(x)
    torch.testing.assert_close(value, prior(x))
    r = normal(*shape, seed=4)
    J = jacobian(prior, x[0])
    torch.testing.assert_close(pullback(r)[0].flatten(), J.T @ r[0].flatten())
    residual = (x - value)[0].flatten()
    expected = residual - J.T @ residual
    torch.testing.assert_close(prior.residual_gradient(x)[0].flatten(), expected)


def test_the_residual_gradient_has_a_backward_of_its_own() -> None:
    prior = folded(SpaceTime(3), (3,), (1,), False)
    weights = [w.requires_grad_() for w in prior.branches[0].weights]
    x, bar = normal(2, 6, 3).requires_grad_(), normal(2, 6, 3, seed=5)
    found = torch.autograd.grad((prior.residual_gradient(x) * bar).sum(), (x, *weights))
    value, pullback = prior.linearise(x)
    plain = x - value - pullback(x - value)
    expected = torch.autograd.grad((plain * bar).sum(), (x, *weights))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_windows_are_taken_in_blocks(monkeypatch) -> None:
    prior, x = folded(SpaceTime(3), (3,), (1,), True), normal(7, 6, 3)
    whole = prior(x), prior.residual_gradient(x)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2000)
    assert windows_in_block(prior.layout.space, x, prior.branches) in range(1, 7)
    torch.testing.assert_close(prior(x), whole[0])
    torch.testing.assert_close(prior.residual_gradient(x), whole[1])


def test_rectifiers_pass_where_they_are_open() -> None:
    out = torch.tensor([0.0, 1.0, 1e-300, 0.0], dtype=torch.float64)
    assert through_relu(torch.ones(4, dtype=torch.float64), out).tolist() == [0, 1, 1, 0]
