"""The two engines against each other and against SciPy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import TIME_STEPS, random_windows
from scipy.integrate import solve_ivp

from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.models.registry import get_model

MODELS = list(TIME_STEPS.items())
SCHEMES = ["euler", "rk4"]
ENGINES = [pytest.param("julia", marks=pytest.mark.julia), "torch"]


def problem(name: str) -> tuple:
    model = get_model(name)
    return model, *random_windows(model.state_size), np.random.default_rng(2)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.julia
@pytest.mark.parametrize(("name", "step"), MODELS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_hand_adjoint_equals_autograd(name, step, scheme, dtype, tolerance) -> None:
    model, x, y, mask, _ = problem(name)
    settings = CostSettings(step, scheme=scheme)
    julia, torch = (
        get_engine(e).cost(model, settings, x.astype(dtype), y, mask) for e in ("julia", "torch")
    )
    np.testing.assert_allclose(julia.total, torch.total, rtol=tolerance)
    assert relative(julia.gradient, torch.gradient) < tolerance
    np.testing.assert_allclose(julia.gradient_norm, torch.gradient_norm, rtol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "step"), MODELS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_adjoint_is_the_transpose_of_the_tangent_linear(engine, name, step, scheme) -> None:
    model, x, _, _, rng = problem(name)
    dx, v = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    running = get_engine(engine)
    forward = running.tangent_linear(model, x, dx, time_step=step, scheme=scheme)
    back = running.adjoint(model, x, v, time_step=step, scheme=scheme)
    scale = np.linalg.norm(forward) * np.linalg.norm(v)
    assert abs(np.vdot(forward, v) - np.vdot(dx, back)) < 1e-13 * scale
    h = 1e-6
    ahead, behind = (
        running.forecast(model, x + s * h * dx, time_step=step, scheme=scheme) for s in (1, -1)
    )
    assert relative((ahead - behind) / (2 * h), forward) < 1e-7


@pytest.mark.julia
@pytest.mark.parametrize(("name", "step"), MODELS)
def test_taylor_remainder_is_of_second_order(name, step) -> None:
    model, x, y, mask, rng = problem(name)
    settings, julia = CostSettings(step), get_engine("julia")
    base = julia.cost(model, settings, x, y, mask)
    direction = rng.standard_normal(x.shape)
    slope = np.sum(base.gradient * direction, (1, 2))
    remainders = []
    for k in range(7):
        h = 0.1 / 2**k
        moved = julia.cost(model, settings, x + h * direction, y, mask, gradient=False)
        remainders.append(np.abs(moved.total - base.total - h * slope))
    ratios = np.array(remainders[:-1]) / np.array(remainders[1:])
    assert ratios[-1] == pytest.approx(4.0, rel=0.1)


def lorenz63(t, x):
    return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]


def lorenz96(t, x):
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8


TENDENCIES = {"lorenz63": lorenz63, "lorenz96": lorenz96}


def by_scipy(name: str, x0: np.ndarray, times: np.ndarray) -> np.ndarray:
    found = solve_ivp(TENDENCIES[name], (0, times[-1]), x0, t_eval=times, method="DOP853",
                      rtol=1e-13, atol=1e-13)  # fmt: skip
    return found.y.T


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "step"), MODELS)
def test_simulation_agrees_with_scipy_over_two_time_units(engine, name, step) -> None:
    model, x, _, _, _ = problem(name)
    times = np.arange(round(2 / step) + 1) * step
    ours = get_engine(engine).simulate(
        model, x[:2, 0], time_step=step, steps=len(times), rtol=1e-12, atol=1e-12
    )
    for x0, found in zip(x[:2, 0], ours, strict=True):
        np.testing.assert_allclose(found, by_scipy(name, x0, times), atol=1e-8)


@pytest.mark.julia
@pytest.mark.parametrize(("name", "step"), MODELS)
@pytest.mark.parametrize("tolerance", [1e-5, 1e-9])
def test_engines_simulate_the_same_bits(name, step, tolerance) -> None:
    model, x, _, _, _ = problem(name)
    start = x[:, 0].copy()
    start[3] *= 1e200  # diverges, and is NaN on both
    julia, torch = (
        get_engine(engine).simulate(
            model, start, time_step=step, steps=25, spinup=0.37, rtol=tolerance, atol=tolerance
        )
        for engine in ("julia", "torch")
    )
    np.testing.assert_array_equal(julia, torch)
    diverged = np.isnan(julia).any((1, 2))
    assert diverged.tolist() == [window == 3 for window in range(9)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", TENDENCIES)
@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("rk4", 4)])
def test_forecast_converges_to_scipy(engine, name, scheme, order) -> None:
    model, x, _, _, _ = problem(name)
    x0, errors = x[0, 0], []
    for step in (0.01, 0.005):
        found = get_engine(engine).forecast(model, x0, time_step=step, scheme=scheme)
        errors.append(np.linalg.norm(found - by_scipy(name, x0, np.array([0, step]))[-1]))
    assert errors[0] < {"euler": 1.0, "rk4": 1e-4}[scheme]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.3)


@pytest.mark.julia
@pytest.mark.parametrize(("name", "step"), MODELS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_engines_descend_equally(name, step, scheme) -> None:
    model, x, y, mask, _ = problem(name)
    settings, before = CostSettings(step, scheme=scheme), x.copy()
    alpha = 0.1 * x[0].size
    julia, torch = (
        get_engine(e).descend(model, settings, x, y, mask, step=alpha, iterations=20)
        for e in ("julia", "torch")
    )
    assert relative(julia, torch) < 1e-11
    assert relative(julia, x) > 1e-2
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("engine", ENGINES)
def test_four_threads_can_call_concurrently(engine) -> None:
    def work(seed: int) -> list[np.ndarray]:
        name, step = MODELS[seed % 2]
        model, x, y, mask, _ = problem(name)
        x, running, settings = x + seed, get_engine(engine), CostSettings(step)
        return [
            running.simulate(model, x[:, 0], time_step=step, steps=20),
            running.cost(model, settings, x, y, mask).gradient,
            running.descend(model, settings, x, y, mask, step=1.0, iterations=10),
            running.adjoint(model, x, y, time_step=step),
        ]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(8)))
    for seed, found in enumerate(together):
        for one, alone in zip(found, work(seed), strict=True):
            np.testing.assert_array_equal(one, alone)


def test_bad_input_stops_before_the_engine() -> None:
    with pytest.raises(InputError, match="unknown engine 'fortran'"):
        get_engine("fortran")
    model, x, y, mask, _ = problem("lorenz63")
    with pytest.raises(ValueError, match="x has NaN or infinite"):
        get_engine().cost(model, CostSettings(0.01), x * np.nan, y, mask)
    with pytest.raises(ValueError, match="mask has shape"):
        get_engine().cost(model, CostSettings(0.01), x, y, mask[:, 1:])


@pytest.mark.parametrize("engine", ENGINES)
def test_shapes_and_values_are_refused_with_their_names(engine) -> None:
    running = get_engine(engine)
    model, x, y, mask, _ = problem("lorenz63")
    settings, how = CostSettings(0.01), {"step": 1.0, "iterations": 1}
    for refused, said in (
        (lambda: running.cost(model, settings, x[0], y[0], mask[0]), r"x has shape \(30, 3\)"),
        (lambda: running.cost(model, settings, x[:, :1], y[:, :1], mask[:, :1]), "time >= 2"),
        (lambda: running.cost(get_model("lorenz96"), settings, x, y, mask), r"\(9, 30, 40\)"),
        (lambda: running.descend(model, settings, x, y[:2], mask, **how), "observation has shape"),
        (lambda: running.descend(model, settings, x, y / 0, mask, **how), "observation has NaN"),
        (lambda: running.simulate(model, x[:, 0, :2], time_step=0.1, steps=2), "start has shape"),
        (
            lambda: running.simulate(model, x[:, 0] * np.inf, time_step=0.1, steps=2),
            "start has NaN",
        ),
    ):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=said):
            refused()


@pytest.mark.parametrize("engine", ENGINES)
def test_unknown_models_and_schemes_are_refused(engine) -> None:
    running = get_engine(engine)
    model, x, y, mask, _ = problem("lorenz63")
    with pytest.raises(InputError, match="'pendulum'"):
        Model("pendulum", 3, (1.0,), 0.1)
    with pytest.raises(InputError, match="'rk2'"):
        running.cost(model, CostSettings(0.01, scheme="rk2"), x, y, mask)


@pytest.mark.julia
def test_arguments_that_julia_rejects_are_bad_input_with_its_message(monkeypatch) -> None:
    model, x, y, mask, _ = problem("lorenz63")
    running = get_engine("julia")
    monkeypatch.setattr(running._registry, "handle", lambda model: 7777)
    with pytest.raises(InputError, match=r"^no model has the handle 7777; expected what"):
        running.cost(model, CostSettings(0.01), x, y, mask)
    monkeypatch.undo()
    monkeypatch.setattr(running._registry, "values", lambda model: np.ones(1))
    with pytest.raises(InputError, match=r"^Lorenz63 has 3 fields \(σ, ρ, β\), found 1 values$"):
        running.cost(model, CostSettings(0.01), x, y, mask)
    monkeypatch.undo()
    assert np.isfinite(running.cost(model, CostSettings(0.01), x, y, mask).total).all()
