"""The two engines against each other and against SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.models import get_model

MODELS = [("lorenz63", 0.01), ("lorenz96", 0.05)]
SCHEMES = ["euler", "rk4"]


def problem(name: str) -> tuple:
    model = get_model(name)
    rng = np.random.default_rng(1)
    x = 5.0 * rng.standard_normal((9, 30, model.state_size)) + 2.0
    mask = (rng.random(x.shape) < 0.3) * rng.random(x.shape)
    return model, x, (mask > 0) * rng.standard_normal(x.shape), mask, rng


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
        get_engine(e).cost(model, settings, x.astype(dtype), y, mask) for e in ("libjulia", "torch")
    )
    np.testing.assert_allclose(julia.total, torch.total, rtol=tolerance)
    assert relative(julia.gradient, torch.gradient) < tolerance
    np.testing.assert_allclose(julia.gradient_norm, torch.gradient_norm, rtol=tolerance)


@pytest.mark.parametrize("engine", [pytest.param("libjulia", marks=pytest.mark.julia), "torch"])
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
    settings, julia = CostSettings(step), get_engine("libjulia")
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


@pytest.mark.julia
def test_simulation_agrees_with_scipy() -> None:
    def rhs(t, x):
        return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

    start = np.array([[1.0, 2.0, 20.0], [-5.0, -4.0, 30.0]])
    ours = get_engine("libjulia").simulate(
        get_model("lorenz63"), start, time_step=0.01, steps=200, rtol=1e-12, atol=1e-12
    )
    for x0, x in zip(start, ours, strict=True):
        expected = solve_ivp(rhs, (0, 1.99), x0, t_eval=np.arange(200) * 0.01, method="DOP853",
                             rtol=1e-13, atol=1e-13)  # fmt: skip
        np.testing.assert_allclose(x, expected.y.T, atol=1e-8)


def test_bad_input_stops_before_the_engine() -> None:
    with pytest.raises(InputError, match="unknown engine 'fortran'"):
        get_engine("fortran")
    model, x, y, mask, _ = problem("lorenz63")
    with pytest.raises(ValueError, match="x has NaN or infinite"):
        get_engine().cost(model, CostSettings(0.01), x * np.nan, y, mask)
    with pytest.raises(ValueError, match="mask has shape"):
        get_engine().cost(model, CostSettings(0.01), x, y, mask[:, 1:])
