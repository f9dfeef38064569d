"""Tracers around islands against finite volumes in SciPy; land, two variables, B around land."""

import numpy as np
import pytest
import scipy.sparse
import torch
import xarray as xr
from scipy.integrate import solve_ivp

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model
from pyvda.models.torch_trial import derivatives_verdict
from pyvda.names import Flag
from pyvda.operators import Blocks, Diffusion

ENGINES = ["torch", pytest.param("julia", marks=pytest.mark.julia)]
N = 17
NUMBERS = {"speed": 0.8, "diffusivity": 0.07, "transfer": 0.03, "decay": 0.02}


def sea_of(n=N):
    cell = (np.arange(n) + 0.5) / n
    islands = (0.5, 0.5, 0.12), (0.15, 0.2, 0.1)
    land = [np.hypot(cell - x, cell[:, None] - y) <= r for x, y, r in islands]
    return ~np.any(land, 0)


def by_volumes(n=N, *, speed, diffusivity, transfer, decay):
    """Return the matrix of the tendency: what flows through each face, one face at a time."""
    sea = sea_of(n)

    def stream(j, i):
        around = [(k, m) for k in (j - 1, j) for m in (i - 1, i)]
        if not all(0 <= k < n and 0 <= m < n and sea[k, m] for k, m in around):
            return 0.0
        X, Y = i / n, j / n
        found = n / (2 * np.pi) * np.sin(np.pi * X) * np.sin(2 * np.pi * Y)
        for x, y, r in ((0.5, 0.5, 0.12), (0.15, 0.2, 0.1)):
            found *= 1 - np.exp(-((max(0, np.hypot(X - x, Y - y) - r) / 0.1) ** 2))
        return found

    M = scipy.sparse.lil_matrix((n * n, n * n))

    def face(one, other, transport):
        """Water flows from one cell to the other; each has half of the value at the face."""
        i, k = one[0] * n + one[1], other[0] * n + other[1]
        for cell, sign in ((i, -1), (k, 1)):
            M[cell, i] += sign * (0.5 * speed * transport + diffusivity)
            M[cell, k] += sign * (0.5 * speed * transport - diffusivity)

    for j, i in np.argwhere(sea):
        if i + 1 < n and sea[j, i + 1]:
            face((j, i), (j, i + 1), stream(j, i + 1) - stream(j + 1, i + 1))
        if j + 1 < n and sea[j + 1, i]:
            face((j, i), (j + 1, i), stream(j + 1, i + 1) - stream(j + 1, i))
    water = scipy.sparse.diags(sea.ravel().astype(float))
    return scipy.sparse.bmat([[M - transfer * water, None], [transfer * water, M - decay * water]])


def test_the_tendency_is_that_of_finite_volumes() -> None:
    x = np.random.default_rng(0).standard_normal((4, 2 * N**2))
    found = known("advection-diffusion", n=N, **NUMBERS)(torch.from_numpy(x)).numpy()
    expected = by_volumes(**NUMBERS) @ x.T
    np.testing.assert_allclose(found, expected.T, atol=1e-13)


def test_derivatives_by_hand_are_right_and_the_adjoint_is_exact() -> None:
    model = get_model("advection-diffusion", n=8)
    assert derivatives_verdict(model).passed
    module = known("advection-diffusion", n=N)
    x, dx, y = torch.randn(3, 2 * N**2, dtype=torch.float64, generator=torch.manual_seed(1))
    tangent, adjoint = module.tangent_linear(x, dx), module.adjoint(x, y)
    left, right = float(tangent @ y), float(dx @ adjoint)
    assert abs(left - right) <= 1e-14 * float(tangent.abs() @ y.abs())


@pytest.mark.parametrize("engine", ENGINES)
def test_tracers_are_conserved_and_land_is_left_alone(engine) -> None:
    model = get_model("advection-diffusion", n=N, decay=0.0, transfer=0.05)
    start = np.random.default_rng(2).uniform(0, 1, (1, 2 * N**2))
    x = get_engine(engine).run(model, CostSettings(0.5), start, 41)[0]
    sea = model.sea
    assert sea.sum() == 2 * sea_of().sum()
    whole = x[:, sea].sum(1)
    np.testing.assert_allclose(whole, whole[0], rtol=1e-13)
    np.testing.assert_array_equal(x[:, ~sea], np.broadcast_to(x[0, ~sea], x[:, ~sea].shape))
    a, b = x[:, : N**2][:, sea[: N**2]], x[:, N**2 :][:, sea[: N**2]]
    decayed = a[0].sum() * np.exp(-0.05 * 20.0)
    assert a[-1].sum() == pytest.approx(decayed, rel=1e-8)
    assert b[-1].sum() > b[0].sum()
    assert np.ptp(a[-1]) < 0.5 * np.ptp(a[0])  # diffused


@pytest.mark.parametrize("engine", ENGINES)
def test_the_simulation_is_scipy_s(engine) -> None:
    model = get_model("advection-diffusion", n=N, **NUMBERS)
    start = np.random.default_rng(3).standard_normal(2 * N**2)
    found = get_engine(engine).simulate(model, start[None], time_step=0.5, steps=9)[0]
    M = by_volumes(**NUMBERS).tocsr()
    expected = solve_ivp(lambda _, x: M @ x, (0, 4), start, t_eval=0.5 * np.arange(9),
                         rtol=1e-10, atol=1e-10).y.T  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_file_has_two_variables_and_land() -> None:
    model = get_model("advection-diffusion", n=N)
    assert [(v.name, v.shape) for v in model.state_space.variables] == [
        ("a", (N, N)), ("b", (N, N)),
    ]  # fmt: skip
    np.testing.assert_array_equal(model.sea, np.tile(sea_of().ravel(), 2))
    np.testing.assert_allclose(model.state_space.coordinate("y"), np.arange(N) + 0.5)
    with pytest.raises(InputError, match="expected a whole number of at least 8"):
        get_model("advection-diffusion", n=7)


def covariance(stdev: float) -> Blocks:
    return Blocks([Diffusion(3.0, stdev, ~sea_of()) for _ in range(2)])


@pytest.mark.julia
def test_the_reference_score_of_four_dvar_around_land() -> None:
    model = get_model("advection-diffusion", n=N)
    truth = pyvda.simulate(model, 1, 4, steps=9)
    true = np.stack([truth["a"], truth["b"]], 2)[0]  # (time, variable, y, x)
    observed = pyvda.observe(
        truth, variance=0.0025, every=2, seed=5,
        components=np.random.default_rng(6).permutation(2 * N**2)[: N**2 // 2],
    ).isel(window=0)  # fmt: skip
    B = covariance(0.1)
    start = np.nan_to_num(true[0]).ravel() + B.sample(np.random.default_rng(7), 1)[0]
    found = pyvda.assimilate(
        observed, model=model, method="incremental", background=start, covariance=B,
        inner_tolerance=1e-6, members=200,
    )  # fmt: skip
    sea = sea_of()
    analysed = np.stack([found["a"], found["b"]], 1)
    assert np.isnan(analysed[..., ~sea]).all()
    assert (found["a_flag"].values[..., ~sea] == Flag.LAND).all()
    error = (analysed - true)[..., sea]
    free = get_engine("julia").run(model, CostSettings(0.5), start[None], 9)[0].reshape(true.shape)
    before = (free - true)[..., sea]
    score = np.sqrt((error**2).mean())
    assert score < 0.6 * np.sqrt((before**2).mean())
    assert score == pytest.approx(0.0229, rel=0.02)
    spread = np.stack([found["a_stdev"], found["b_stdev"]], 1)[..., sea]
    assert 0.4 < (error**2).mean() / (spread**2).mean() < 2.0


def test_observations_on_an_island_are_left_out() -> None:
    model = get_model("advection-diffusion", n=N)
    table = xr.Dataset(
        {"a": ("obs", [1.0, 2.0]), "b": ("obs", [np.nan, 3.0])},
        {"time": ("obs", [0.0, 0.5]), "y": ("obs", [N / 2, 4.0]), "x": ("obs", [N / 2, 14.0])},
    )
    with pytest.warns(pyvda.notices.Notice, match="1 of 3 data of 'observation' lie on land"):
        found = pyvda.open_observations(table, model=model, grid_step=0.5)
    assert float(found["point_observation"].notnull().sum()) == 2
