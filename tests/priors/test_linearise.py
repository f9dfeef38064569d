"""A prior's value and pullback, by its own method or by autograd, with and without gradients."""

import torch

from pyvda.priors.linearise import linearise, pullback_by_autograd

X = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
R = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


def test_without_gradients_nothing_is_recorded() -> None:
    with torch.no_grad():
        value, pullback = pullback_by_autograd(square, X)
        back = pullback(R)
    assert not value.requires_grad
    assert not back.requires_grad
    torch.testing.assert_close(value, X**2)
    torch.testing.assert_close(back, 2 * X * R)
    torch.testing.assert_close(pullback(2 * R), 4 * X * R)  # again


def test_with_gradients_it_can_be_differentiated_again() -> None:
    x = X.clone().requires_grad_()
    value, pullback = pullback_by_autograd(square, x)
    (once,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
    torch.testing.assert_close(once, 2 * X)
    (twice,) = torch.autograd.grad((pullback(R) * X).sum(), x)
    torch.testing.assert_close(twice, 2 * R * X)


def test_what_does_not_depend_on_the_state_has_no_pullback() -> None:
    constant, pullback = pullback_by_autograd(lambda x: torch.ones(2), X)
    assert constant.tolist() == [1, 1]
    assert not pullback(torch.ones(2)).any()


def test_a_prior_s_own_method_is_taken() -> None:
    class Own(torch.nn.Module):
        def forward(self, x):
            raise AssertionError("its own linearise says it all")

        def linearise(self, x):
            return x + 1, lambda r: 3 * r

    value, pullback = linearise(Own(), X)
    torch.testing.assert_close(value, X + 1)
    torch.testing.assert_close(pullback(R), 3 * R)
