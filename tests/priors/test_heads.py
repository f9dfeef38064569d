"""Both forms of the quadratic head: one function, with derivatives to second order."""

import pytest
import torch
from dense import normal

from pyvda.priors.heads import BilinearHead, QuadraticHead, smaller_head

FEATURES, POINTS = 4, 7


def parts(outputs: int, latent: int) -> tuple[torch.Tensor, ...]:
    left, right = normal(2, latent, FEATURES)
    return left, right, normal(outputs, FEATURES, seed=1), normal(outputs, latent, seed=2)


def plain(r: torch.Tensor, left, right, linear, product) -> torch.Tensor:
    return product @ ((left @ r) * (right @ r)) + linear @ r


@pytest.mark.parametrize(
    ("outputs", "latent", "kind"), [(3, 2, BilinearHead), (1, 5, QuadraticHead)]
)
def test_derivatives_are_those_of_the_plain_function(outputs, latent, kind) -> None:
    given = parts(outputs, latent)
    head = smaller_head(*given)
    assert type(head) is kind
    r, r_dot = normal(FEATURES, POINTS, seed=3), normal(FEATURES, POINTS, seed=4)
    v, v_bar = normal(2, outputs, POINTS, seed=5)
    y, kept = head.value(r)
    torch.testing.assert_close(y, plain(r, *given))
    expected, pull = torch.func.vjp(lambda r: plain(r, *given), r)
    torch.testing.assert_close(head.reverse(r, kept, v), pull(v)[0])
    y_dot, kept_dot = head.tangent(r, kept, r_dot)
    torch.testing.assert_close(y_dot, torch.func.jvp(lambda r: plain(r, *given), (r,), (r_dot,))[1])

    weights = [w.clone().requires_grad_() for w in head]
    at = r.clone().requires_grad_()
    again = kind(*weights)
    value, m = again.value(at)
    scalar = (v_bar * value).sum() + (v * again.tangent(at, m, r_dot)[0]).sum()
    by_autograd = torch.autograd.grad(scalar, (at, *weights))
    totals = tuple(torch.zeros_like(w) for w in head)
    found = head.second(r, kept, r_dot, kept_dot, v, v_bar, totals)
    torch.testing.assert_close(found, by_autograd[0])
    if kind is QuadraticHead:  # its matrices are symmetric, and so are the gradients that count
        assert torch.equal(head.matrix, head.matrix.T)
        matrix = by_autograd[1]
        symmetric = (totals[0] + totals[0].T, matrix + matrix.T)
        torch.testing.assert_close(*symmetric)
        torch.testing.assert_close(totals[1], by_autograd[2])
    else:
        for total, expected in zip(totals, by_autograd[1:], strict=True):
            torch.testing.assert_close(total, expected)
    torch.testing.assert_close(head.second(r, kept, r_dot, kept_dot, v, v_bar, None), found)
