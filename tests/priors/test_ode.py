"""Priors of differential equations: SciPy, tableaux by hand, dense Jacobians."""

import numpy as np
import pytest
import scipy.integrate
import torch
from dense import jacobian, normal

from pyvda.errors import InputError
from pyvda.models.in_torch import LinearisedDynamics, bilinear, known
from pyvda.models.registry import get_model
from pyvda.priors import (
    EulerPrior,
    ODEPrior,
    RK4Prior,
    ScaledPrior,
    Tableau,
)

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize(
    ("tendency", "size", "step"), [(known("lorenz63"), 3, 0.01), (known("lorenz96"), 40, 0.05)]
)
def test_rk4_is_close_to_scipy_and_of_fourth_order(tendency, size, step):
    x = 3.0 + 2.0 * normal(size)

    def error(h):
        exact = scipy.integrate.solve_ivp(
            lambda t, y: tendency(torch.from_numpy(y)).numpy(),
            (0.0, h),
            x.numpy(),
            rtol=1e-12,
            atol=1e-12,
        ).y[:, -1]
        return np.abs(RK4Prior(tendency, h).step(x).numpy() - exact).max()

    # Halving the step divides the error of one step by 2⁵.
    assert error(2 * step) / error(step) == pytest.approx(32.0, rel=0.35)


def test_euler_and_rk4_are_equations_7_and_8():
    x, f, h = normal(2, 5, 3), known("lorenz63"), 0.1
    before = x[:, :-1]
    euler, rk4 = EulerPrior(f, h)(x), RK4Prior(f, h)(x)
    torch.testing.assert_close(euler[:, 1:], before + h * f(before))
    k1 = f(before)
    k2 = f(before + h / 2 * k1)
    k3 = f(before + h / 2 * k2)
    k4 = f(before + h * k3)
    torch.testing.assert_close(rk4[:, 1:], before + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6)
    assert torch.equal(rk4[:, 0], x[:, 0])
    assert rk4.shape == x.shape


def test_any_explicit_tableau_will_do():
    heun = Tableau([[], [1.0]], [0.5, 0.5])
    x, f, h = normal(1, 4, 3), known("lorenz63"), 0.1
    before = x[:, :-1]
    expected = before + h / 2 * (f(before) + f(before + h * f(before)))
    torch.testing.assert_close(ODEPrior(f, h, heun)(x)[:, 1:], expected)


# Kutta's second method of order four: its stages look back at all before them.
THREE_EIGHTHS = Tableau(
    [[], [1 / 3], [-1 / 3, 1.0], [1.0, -1.0, 1.0]], [1 / 8, 3 / 8, 3 / 8, 1 / 8]
)


# Dormand and Prince's of order five, as SciPy has it.
FIFTH_ORDER = Tableau(
    [row[:i].tolist() for i, row in enumerate(scipy.integrate.RK45.A)],
    scipy.integrate.RK45.B.tolist(),
)


def test_the_tableau_of_equation_8_is_the_rk4_prior():
    written_out = Tableau([[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6])
    x, r = normal(2, 2, 5, 3)
    by_tableau, rk4 = (
        ODEPrior(known("lorenz63"), 0.1, written_out),
        RK4Prior(known("lorenz63"), 0.1),
    )
    torch.testing.assert_close(by_tableau(x), rk4(x), rtol=0, atol=0)
    torch.testing.assert_close(by_tableau.vjp(x, r), rk4.vjp(x, r), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("tableau", "order"), [("midpoint", 2), ("rk4", 4), (THREE_EIGHTHS, 4), (FIFTH_ORDER, 5)]
)
def test_a_tableau_has_its_order(tableau, order):
    """The error at a fixed time falls by 2ᵖ when the steps are halved."""
    x, f, span = torch.tensor([1.0, 2.0, 20.0]).double(), known("lorenz63"), 0.2
    exact = scipy.integrate.solve_ivp(
        lambda t, y: f(torch.from_numpy(y)).numpy(),
        (0.0, span),
        x.numpy(),
        method="DOP853",
        rtol=1e-13,
        atol=1e-13,
    ).y[:, -1]

    def error(count):
        end = ODEPrior(f, span / count, tableau).run(x, count)[1]
        return np.linalg.norm(end.numpy() - exact)

    assert np.log2(error(20) / error(40)) == pytest.approx(order, abs=0.25)


def ode_priors():
    torch.manual_seed(3)
    size = 6
    return {
        "euler": (EulerPrior(known("lorenz63"), 0.1), 3),
        "rk4": (RK4Prior(known("lorenz63"), 0.1), 3),
        "rk4 of lorenz96": (RK4Prior(known("lorenz96", state_size=size), 0.1), size),
        "heun": (
            ODEPrior(known("lorenz96", state_size=size), 0.1, Tableau([[], [1.0]], [0.5, 0.5])),
            size,
        ),
        "three eighths": (ODEPrior(known("lorenz63"), 0.1, THREE_EIGHTHS), 3),
        "fifth order": (ODEPrior(known("lorenz96", state_size=size), 0.1, FIFTH_ORDER), size),
        "midpoint of a bilinear form": (
            ODEPrior(bilinear("lorenz96").double(), 0.1, "midpoint"),
            size,
        ),
        "rk4 of a function": (RK4Prior(lambda x: torch.sin(x).roll(1, -1), 0.3), size),
        "scaled": (
            ScaledPrior(RK4Prior(known("lorenz63"), 0.1), [0.5, 1.0, 2.0], [1.0, 2.0, 3.0]),
            3,
        ),
    }


ODE_PRIORS = ode_priors()


@pytest.mark.parametrize(("prior", "size"), ODE_PRIORS.values(), ids=ODE_PRIORS.keys())
def test_the_vjp_of_an_ode_prior_is_that_of_the_dense_jacobian(prior, size):
    x, r = normal(2, 2, 4, size)
    with torch.no_grad():
        got = prior.vjp(x, r)
    assert not got.requires_grad
    for w in range(2):
        expected = (jacobian(prior, x[w]).T @ r[w].flatten()).reshape(4, size)
        torch.testing.assert_close(got[w], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("prior", "size"), ODE_PRIORS.values(), ids=ODE_PRIORS.keys())
def test_the_vjp_of_an_ode_prior_can_be_differentiated(prior, size):
    x, r = normal(2, 1, 3, size).requires_grad_(True)
    assert torch.autograd.gradcheck(prior.vjp, (x[:1], r[:1]))


def test_an_adjoint_is_used_where_there_is_one():
    class Broken(LinearisedDynamics):
        def adjoint(self, x, dy):
            return -super().adjoint(x, dy)

    x, r = normal(2, 1, 4, 3)
    right, wrong = (
        RK4Prior(known("lorenz63"), 0.1).vjp(x, r),
        RK4Prior(Broken(get_model("lorenz63")), 0.1).vjp(x, r),
    )
    assert not torch.allclose(right, wrong)


def test_bad_tableaux_and_scales_are_refused():
    with pytest.raises(InputError, match="unknown tableau 'rk5'"):
        ODEPrior(known("lorenz63"), 0.1, "rk5")
    with pytest.raises(InputError, match="lengths"):
        Tableau([[1.0]], [1.0])
    with pytest.raises(InputError, match="sum to"):
        Tableau([[]], [0.9])
    with pytest.raises(InputError, match="std is"):
        ScaledPrior(RK4Prior(known("lorenz63"), 0.1), 0.0, 0.0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())
