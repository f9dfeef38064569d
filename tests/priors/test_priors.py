"""Priors against SciPy, dense Jacobians, torch's own convolutions and autograd's second order."""

import math

import numpy as np
import pytest
import scipy.integrate
import torch
import torch.nn.functional as F
from kernels import with_both_kernels

from pyvda.errors import InputError
from pyvda.models.in_torch import LinearisedDynamics, bilinear, known
from pyvda.models.registry import get_model
from pyvda.priors import (
    GENN,
    AutoEncoderPrior,
    EulerPrior,
    ODEPrior,
    RK4Prior,
    ScaledPrior,
    Tableau,
    TwoScaleGENN,
    folded,
    linearise,
)
from pyvda.priors.patches import fold, gather, pool, pool_transpose, spread, unfold
from pyvda.priors.spacetime import SpaceTime

pytestmark = pytest.mark.usefixtures("kernels")


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def jacobian(prior, x):
    """Return the dense Jacobian of a prior at one window x of any shape."""
    dense = torch.autograd.functional.jacobian(lambda w: prior(w[None])[0], x)
    return dense.reshape(x.numel(), x.numel())


# --- differential equations ---------------------------------------------------------------------


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


def test_a_scaled_prior_is_the_prior_in_other_units():
    prior, x = RK4Prior(known("lorenz63"), 0.01), 10.0 * normal(2, 5, 3)
    mean, std = torch.tensor([1.0, 2.0, 25.0]).double(), torch.tensor([8.0, 9.0, 8.5]).double()
    scaled = ScaledPrior(prior, mean.tolist(), std.tolist())
    z = (x - mean) / std
    torch.testing.assert_close(scaled(z) * std + mean, prior(x))
    assert scaled.first_predicted == 1


def test_bad_tableaux_and_scales_are_refused():
    with pytest.raises(InputError, match="unknown tableau 'rk5'"):
        ODEPrior(known("lorenz63"), 0.1, "rk5")
    with pytest.raises(InputError, match="lengths"):
        Tableau([[1.0]], [1.0])
    with pytest.raises(InputError, match="sum to"):
        Tableau([[]], [0.9])
    with pytest.raises(InputError, match="std is"):
        ScaledPrior(RK4Prior(known("lorenz63"), 0.1), 0.0, 0.0)


# --- patches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taps", "axes"), [((5,), (9,)), ((3, 5), (7, 6)), ((3, 1, 3), (4, 3, 5))])
def test_patches_make_a_convolution_and_have_their_transpose(taps, axes):
    padded = normal(2, 3, *(n + k - 1 for n, k in zip(axes, taps, strict=True)))
    kernel = normal(4, 2, *taps, seed=1)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(axes) - 1]
    expected = convolve(padded.transpose(0, 1), kernel).transpose(0, 1)
    columns = unfold(padded, taps)
    torch.testing.assert_close((kernel.flatten(1) @ columns).reshape(4, 3, *axes), expected)
    other = normal(*columns.shape, seed=2)
    torch.testing.assert_close(
        (columns * other).sum(), (padded * fold(other, taps, padded.shape)).sum()
    )


@pytest.mark.parametrize(
    ("factors", "axes"), [((4,), (8,)), ((4,), (9,)), ((3, 1), (7, 5)), ((2, 3, 2), (5, 4, 4))]
)
def test_pooling_and_spreading_have_their_transposes(factors, axes):
    grid = normal(2, 3, *axes)
    coarse = pool(grid, factors)
    other = normal(*coarse.shape, seed=1)
    torch.testing.assert_close(
        (coarse * other).sum(), (grid * pool_transpose(other, factors, axes)).sum()
    )
    # A mean of equal numbers is that number, in an incomplete cell too.
    torch.testing.assert_close(pool(torch.ones_like(grid), factors), torch.ones_like(coarse))
    values = normal(2 * math.prod(factors), coarse[0].numel(), seed=2)
    torch.testing.assert_close(
        (spread(values, factors, grid.shape) * grid).sum(), (values * gather(grid, factors)).sum()
    )


def test_a_periodic_pad_wraps_around_and_has_its_transpose():
    space, grid = SpaceTime(1, 2, periodic=True), normal(1, 2, 4, 5)
    padded = space.pad(grid, (1, 2))
    assert torch.equal(padded[..., 1:-1, :2], grid[..., -2:])
    assert torch.equal(padded[..., 1:-1, -2:], grid[..., :2])
    assert not padded[..., 0, :].any()
    other = normal(*padded.shape, seed=1)
    torch.testing.assert_close((padded * other).sum(), (grid * space.unpad(other, (1, 2))).sum())


# --- GENN ---------------------------------------------------------------------------------------


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


# --- autoencoder --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"channels": 3}, (20, 3)),
        ({"channels": 1, "dimension": 2, "periodic": True, "factors": (4, 2)}, (10, 6)),
        ({"channels": 1, "dimension": 3, "factors": (1, 2, 4), "code": 3}, (3, 5, 6)),
    ],
)
def test_the_autoencoder_keeps_the_shape_and_loses_information(arguments, shape):
    torch.manual_seed(0)
    prior = AutoEncoderPrior(**arguments).double()
    x = normal(*shape)
    assert prior(x[None]).shape == (1, *shape)
    cells = math.prod(
        -(-n // f) for n, f in zip(shape[: prior.space.dimension], prior.factors, strict=True)
    )
    code = prior.down.out_channels * cells
    assert 0 < torch.linalg.matrix_rank(jacobian(prior, x)) <= code
    phi, pullback = linearise(prior, x[None])
    r = normal(*phi.shape, seed=1)
    expected = jacobian(prior, x).T @ r.flatten()
    torch.testing.assert_close(pullback(r).flatten(), expected)


@pytest.mark.parametrize("dimension", [1, 2])
def test_an_autoencoder_in_float32_agrees_with_float64(dimension):
    torch.manual_seed(0)
    prior = AutoEncoderPrior(3) if dimension == 1 else AutoEncoderPrior(1, 2, True)
    x, r = normal(2, 2, 20, 6 if dimension == 2 else 3)
    found = {}
    for dtype in (torch.float32, torch.float64):
        phi, pullback = linearise(prior.to(dtype), x.to(dtype))
        assert phi.dtype == pullback(r.to(dtype)).dtype == dtype
        found[dtype] = phi, pullback(r.to(dtype))
    for single, double in zip(*found.values(), strict=True):
        assert 0.0 < (single - double).norm() < 1e-5 * double.norm()


def test_a_code_as_large_as_its_cell_is_refused():
    with pytest.raises(InputError, match="can be the identity"):
        AutoEncoderPrior(3, code=24, factors=8)
    with pytest.raises(InputError, match="multiples"):
        AutoEncoderPrior(1, 2, True, factors=(4, 4))(torch.zeros(1, 8, 6))


# --- devices ------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@each_genn
def test_a_gpu_gives_the_same_numbers(prior, shape):
    x = normal(2, *shape)
    expected = prior.prepare().residual_gradient(x)
    got = prior.cuda().prepare().residual_gradient(x.cuda()).cpu()
    prior.cpu()
    torch.testing.assert_close(got, expected)
