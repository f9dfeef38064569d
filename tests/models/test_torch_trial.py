"""Functions in torch as they are tried: derivatives against autograd, malformed ones refused."""

import numpy as np
import pytest
import torch
from problems import rossler, rossler_adjoint, rossler_tangent_linear
from problems import rossler_with as made

from pyvda.errors import InputError
from pyvda.models.in_torch import module_of
from pyvda.models.torch_trial import derivatives_verdict


def test_derivatives_by_hand_are_used_and_agree_with_autograd():
    model = made(tangent_linear=rossler_tangent_linear, adjoint=rossler_adjoint)
    verdict = derivatives_verdict(model)
    assert verdict.passed
    assert len(verdict.worst) == 2
    assert "tangent_linear and adjoint agree" in str(verdict)
    x, dy = torch.randn(2, 4, 3, dtype=torch.float64)
    plain = module_of(made())
    torch.testing.assert_close(module_of(model).adjoint(x, dy), torch.func.vjp(plain, x)[1](dy)[0])
    assert not hasattr(plain, "adjoint")


def test_a_wrong_sign_is_refused_with_the_entry_named():
    def wrong(x, dy, a, b, c):
        u, _, w = x.unbind(-1)
        p, q, r = dy.unbind(-1)
        return torch.stack((q + w * r, p + a * q, -p + (u - c) * r), -1)

    with pytest.raises(InputError) as refused:
        made(adjoint=wrong)
    assert (
        "the adjoint of rossler is wrong: the entry of the Jacobian in row 1 (x), column 2 (y) is "
        "-1 by automatic differentiation and 1 by adjoint"
    ) in str(refused.value)
    with pytest.raises(InputError, match=r"tangent_linear of rossler is wrong.*row 3 \(z\)"):
        made(tangent_linear=lambda x, dx, a, b, c: rossler_tangent_linear(x, dx, a, b, c + 1e-3))


def in_numpy(x, **_):
    return torch.from_numpy(np.sin(x.detach().numpy()))


def half_detached(x, a, b, c):
    return rossler(x, a, b, c) * x.detach().square().mean(-1, keepdim=True)


def in_place(x, a, b, c):
    x += 1.0
    return x


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, a, b, c: x[..., :2], "must keep the shape"),
        (lambda x, a, b, c: x.float(), "torch.float32"),
        (lambda x, a, b, c: x.sum(), "must keep the shape"),
        (lambda x, a, b, c: None, "returns a NoneType"),
        (lambda x, a, b, c: x / 0 * 0, "not finite"),
        (lambda x, a, b, c: x - x.mean(0), "leading axes|keep the shape|alone"),
        (lambda x, a, b, c: x * torch.rand(()), "different values"),
        (lambda x: x, "unexpected keyword argument"),
        (lambda x, a, b, c: x @ x.new_ones(2), "fails on states"),
        (in_numpy, "does not depend on the states|cannot be differentiated"),
        (half_detached, "is not the derivative"),
        (in_place, "changes the states"),
        (lambda x, a, b, c: [][1], r"IndexError.*test_torch_trial.py, line \d+"),
        (3.0, "expected a function"),
    ],
)
def test_a_malformed_function_is_refused_in_one_sentence(function, said):
    with pytest.raises(InputError, match=said) as refused:
        made(function)
    assert "\n" not in str(refused.value)
