"""The quasi-geostrophic ocean against NumPy and SciPy, and against vectors of another program."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dstn, idstn

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.registry import get_model

DATA = Path(os.environ.get("PYVDA_DATA", Path(__file__).parents[4] / "shared/data"))
VECTORS = DATA.parent / "qg/ref_vectors.npz"
ENGINES = ["torch", pytest.param("julia", marks=pytest.mark.julia)]


def beside(f, dy, dx):
    n = len(f)
    return f[1 + dy : n - 1 + dy, 1 + dx : n - 1 + dx]


def laplacian(f):
    around = beside(f, 1, 0) + beside(f, -1, 0) + beside(f, 0, 1) + beside(f, 0, -1)
    return np.pad((around - 4 * beside(f, 0, 0)) * (len(f) - 1) ** 2, 1)


def jacobian(a, b):
    """Arakawa's as the mean of the advective form and two flux forms."""

    def d(f, ahead, behind):
        return beside(f, *ahead) - beside(f, *behind)

    east, west, north, south = (0, 1), (0, -1), (1, 0), (-1, 0)
    plain = d(a, east, west) * d(b, north, south) - d(a, north, south) * d(b, east, west)
    flux = (
        beside(a, *east) * d(b, (1, 1), (-1, 1))
        - beside(a, *west) * d(b, (1, -1), (-1, -1))
        - beside(a, *north) * d(b, (1, 1), (1, -1))
        + beside(a, *south) * d(b, (-1, 1), (-1, -1))
    )
    swapped = (
        beside(b, *north) * d(a, (1, 1), (1, -1))
        - beside(b, *south) * d(a, (-1, 1), (-1, -1))
        - beside(b, *east) * d(a, (1, 1), (-1, 1))
        + beside(b, *west) * d(a, (1, -1), (-1, -1))
    )
    return (plain + flux + swapped) * (len(a) - 1) ** 2 / 12


def rate(psi, F=1600.0, r=1e-5, kappa=2e-12):
    n = len(psi)
    y, k = np.arange(1, n - 1)[:, None] / (n - 1), np.arange(1, n - 1)
    zeta = laplacian(psi)
    f = -r * jacobian(psi, zeta - F * psi) - (n - 1) / 2 * (beside(psi, 0, 1) - beside(psi, 0, -1))
    f -= kappa * beside(laplacian(laplacian(zeta)), 0, 0) + 2 * np.pi * np.sin(2 * np.pi * y)
    eigenvalues = -((2 * (n - 1) * np.sin(np.pi * k / (2 * (n - 1)))) ** 2)
    return np.pad(idstn(dstn(f, 1) / (eigenvalues[:, None] + eigenvalues - F), 1), 1)


def steps(psi, count, number=4, kappa=2e-12):
    h = 5.0 / number
    for _ in range(number * count):
        k1 = rate(psi, kappa=kappa)
        k2 = rate(psi + h / 2 * k1, kappa=kappa)
        k3 = rate(psi + h / 2 * k2, kappa=kappa)
        k4 = rate(psi + h * k3, kappa=kappa)
        psi = psi + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return psi


def smooth(rng, n, count, size=10.0):
    modes = rng.normal(size=(count, 6, 6))
    k, x = np.arange(1, 7), np.pi * np.arange(n) / (n - 1)
    sines = np.sin(np.outer(x, k))
    fields = size / 3 * sines @ modes @ sines.T
    fields[:, [0, -1]] = fields[:, :, [0, -1]] = 0.0
    return fields


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [9, 17, 129])
def test_a_step_is_that_of_numpy(engine, n) -> None:
    model = get_model("quasi-geostrophic", n=n)
    psi = smooth(np.random.default_rng(n), n, 2)
    found = get_engine(engine).forecast(model, psi.reshape(2, -1), time_step=5.0)
    for one, start in zip(found.reshape(2, n, n), psi, strict=True):
        np.testing.assert_allclose(one, steps(start, 1), rtol=0, atol=1e-11 * np.abs(psi).max())


@pytest.mark.parametrize(
    ("engine", "n"),
    [("torch", 33), *(pytest.param("julia", n, marks=pytest.mark.julia) for n in (33, 257))],
)
def test_tangent_linear_and_adjoint_are_transposed(engine, n) -> None:
    model, rng = get_model("quasi-geostrophic", n=n), np.random.default_rng(2)
    x, dx, y = (smooth(rng, n, 1).reshape(1, -1) for _ in range(3))
    run = get_engine(engine)
    mx = run.tangent_linear(model, x, dx, time_step=5.0)
    my = run.adjoint(model, x, y, time_step=5.0)
    assert abs(np.sum(mx * y) - np.sum(dx * my)) < 1e-14 * np.linalg.norm(mx) * np.linalg.norm(y)


@pytest.mark.parametrize(
    ("engine", "n"),
    [("torch", 33), *(pytest.param("julia", n, marks=pytest.mark.julia) for n in (33, 257))],
)
def test_the_tangent_linear_is_the_limit_of_differences(engine, n) -> None:
    """Central differences leave an error that falls with the square of the distance."""
    model, rng = get_model("quasi-geostrophic", n=n), np.random.default_rng(3)
    x, dx = (smooth(rng, n, 1).reshape(1, -1) for _ in range(2))
    run = get_engine(engine)
    tangent = run.tangent_linear(model, x, dx, time_step=5.0)

    def error(h):
        ends = [run.forecast(model, x + s * h * dx, time_step=5.0) for s in (1, -1)]
        return np.linalg.norm((ends[0] - ends[1]) / (2 * h) - tangent)

    ratio = error(2e-1) / error(1e-1)
    assert ratio == pytest.approx(4.0, abs=0.2)


@pytest.mark.julia
@pytest.mark.parametrize("n", [9, 65])
def test_both_languages_agree(n) -> None:
    model, rng = get_model("quasi-geostrophic", n=n), np.random.default_rng(n)
    x, dx, y = (smooth(rng, n, 1).reshape(1, -1) for _ in range(3))
    julia, in_torch = get_engine("julia"), get_engine("torch")
    for what, arguments in (("tangent_linear", (x, dx)), ("adjoint", (x, y))):
        found = getattr(julia, what)(model, *arguments, time_step=5.0)
        expected = getattr(in_torch, what)(model, *arguments, time_step=5.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.skipif(not VECTORS.exists(), reason="no reference vectors (PYVDA_DATA, ../shared)")
@pytest.mark.parametrize("engine", ENGINES)
def test_reference_vectors(engine) -> None:
    ref = {name: v.reshape(1, -1) for name, v in np.load(VECTORS).items()}
    model, run = get_model("quasi-geostrophic"), get_engine(engine)
    states = [ref["x0"]]
    for _ in range(4):
        states.append(run.forecast(model, states[-1], time_step=5.0))

    def error(found, expected):
        return np.linalg.norm(found - expected) / np.linalg.norm(expected)

    assert error(states[1], ref["x1"]) < 1e-10
    assert error(states[4], ref["x4"]) < 1e-10
    d = a = ref["d"]
    for x in states[:4]:
        d = run.tangent_linear(model, x, d, time_step=5.0)
    for x in states[3::-1]:
        a = run.adjoint(model, x, a, time_step=5.0)
    assert error(d, ref["tl4"]) < 1e-8
    assert error(a, ref["ad"]) < 1e-8


def test_walls_have_no_effect() -> None:
    model = get_model("quasi-geostrophic", n=9)
    x = torch.ones(1, 81, dtype=torch.float64).numpy()
    inside = np.pad(np.ones((7, 7)), 1).reshape(1, -1)
    run = get_engine("torch")
    np.testing.assert_array_equal(
        run.forecast(model, x, time_step=5.0), run.forecast(model, inside, time_step=5.0)
    )


def test_another_number_of_points_is_refused() -> None:
    with pytest.raises(InputError, match="size n of quasi-geostrophic is 100, expected a power"):
        get_model("quasi-geostrophic", n=100)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_finer_grid_has_more_steps_and_less_friction(engine) -> None:
    n = 257
    model = get_model("quasi-geostrophic", n=n)
    assert dict(model.fields)["kappa"] == pytest.approx(2e-12 / 8)
    psi = smooth(np.random.default_rng(n), n, 1)[0]
    found = get_engine(engine).forecast(model, psi.reshape(1, -1), time_step=5.0).reshape(n, n)
    np.testing.assert_allclose(
        found, steps(psi, 1, 8, kappa=2.5e-13), rtol=0, atol=1e-11 * np.abs(psi).max()
    )


def test_a_friction_that_the_steps_cannot_follow_is_refused() -> None:
    """The bound is where the smallest wave begins to grow."""
    n = 33
    j = np.arange(n)
    wave = 1e-6 * np.outer(np.sin(np.pi * 31 / 32 * j), np.sin(np.pi * 31 / 32 * j))
    bound = 2.785 / 1.25 * (8 * 32**2 + 1600) / (8 * 32**2) ** 3

    def growth(kappa):
        later = steps(wave, 1, kappa=kappa) - steps(0 * wave, 1, kappa=kappa)
        return np.abs(later).max() / np.abs(wave).max()

    assert growth(0.97 * bound) < 1 < growth(1.05 * bound)
    get_model("quasi-geostrophic", n=n, kappa=0.97 * bound)
    for kappa in (1.03 * bound, -1e-12):
        with pytest.raises(InputError, match="parameter kappa of quasi-geostrophic is"):
            get_model("quasi-geostrophic", n=n, kappa=kappa)
