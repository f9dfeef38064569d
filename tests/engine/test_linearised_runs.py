"""Runs and their derivatives: both engines, against single steps and each other."""

import subprocess
import sys

import numpy as np
import pytest

from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model

CASES = [("lorenz63", {}, 0.01), ("quasi-geostrophic", {"n": 9}, 5.0)]


def case(name, fields, step, engine, windows=2, steps=4):
    model, rng = get_model(name, **fields), np.random.default_rng(6)
    run, settings = get_engine(engine), CostSettings(step)
    start = rng.normal(size=(windows, model.state_size))
    return model, run, settings, start, run.run(model, settings, start, steps), rng


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
@pytest.mark.parametrize(("name", "fields", "step"), CASES)
def test_runs_are_steps_after_one_another(name, fields, step, engine) -> None:
    model, run, settings, start, x, rng = case(name, fields, step, engine)
    np.testing.assert_array_equal(x[:, 0], start)
    along = rng.normal(size=start.shape)
    tangent = run.tangent_run(model, settings, x, along)
    for t in range(x.shape[1] - 1):
        here = np.ascontiguousarray(x[:, t])
        np.testing.assert_allclose(
            x[:, t + 1], run.forecast(model, here, time_step=step), rtol=1e-12, atol=1e-14
        )
        before = np.ascontiguousarray(tangent[:, t])
        np.testing.assert_allclose(
            tangent[:, t + 1], run.tangent_linear(model, here, before, time_step=step),
            rtol=1e-12, atol=1e-14,
        )  # fmt: skip


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
@pytest.mark.parametrize(("name", "fields", "step"), CASES)
@pytest.mark.parametrize("memory", [0, 1 << 24])
def test_the_adjoint_is_the_transpose(name, fields, step, engine, memory) -> None:
    model, run, settings, start, x, rng = case(name, fields, step, engine, windows=1)
    along, v = rng.normal(size=start.shape), rng.normal(size=x.shape)
    tangent = run.tangent_run(model, settings, x, along, memory)
    gradient = run.adjoint_run(model, settings, x, v, memory)[:, 0]
    assert np.sum(tangent * v) == pytest.approx(np.sum(along * gradient), rel=1e-11)


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
@pytest.mark.parametrize(("name", "fields", "step"), CASES)
def test_a_forcing_is_added_after_each_step(name, fields, step, engine) -> None:
    model, run, settings, start, _, rng = case(name, fields, step, engine)
    forcing = 0.1 * rng.normal(size=(2, 3, model.state_size))
    x = run.run(model, settings, start, 4, forcing)
    for t in range(3):
        here = np.ascontiguousarray(x[:, t])
        expected = run.forecast(model, here, time_step=step) + forcing[:, t]
        np.testing.assert_allclose(x[:, t + 1], expected, rtol=1e-12, atol=1e-14)
    # A Taylor test and the transpose.
    along, more = rng.normal(size=start.shape), rng.normal(size=forcing.shape)
    tangent = run.tangent_run(model, settings, x, along, 0, more)
    small = 1e-6
    moved = run.run(model, settings, start + small * along, 4, forcing + small * more)
    assert np.linalg.norm((moved - x) / small - tangent) < 1e-4 * np.linalg.norm(tangent)
    v = rng.normal(size=x.shape)
    gradient = run.adjoint_run(model, settings, x, v)
    left = np.sum(along * gradient[:, 0]) + np.sum(more * gradient[:, 1:])
    assert np.sum(tangent * v) == pytest.approx(left, rel=1e-11)


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
def test_a_run_that_diverges_leaves_the_others_alone(engine) -> None:
    model, run, settings, start, x, _ = case("lorenz63", {}, 0.01, engine)
    again = run.run(model, settings, np.concatenate([start, np.full((1, 3), 1e150)]), 4)
    np.testing.assert_array_equal(again[:2], x)
    assert not np.isfinite(again[2, -1]).any()


@pytest.mark.julia
@pytest.mark.parametrize(("name", "fields", "step"), CASES)
def test_both_engines_agree(name, fields, step) -> None:
    model, julia, settings, start, x, rng = case(name, fields, step, "julia")
    torch = get_engine("torch")
    np.testing.assert_allclose(torch.run(model, settings, start, 4), x, rtol=1e-10, atol=1e-12)
    v = rng.normal(size=x.shape)
    np.testing.assert_allclose(
        julia.adjoint_run(model, settings, x, v), torch.adjoint_run(model, settings, x, v),
        rtol=1e-9, atol=1e-11,
    )  # fmt: skip


@pytest.mark.julia
def test_kept_linearisations_are_bounded_and_change_no_bit() -> None:
    """The peak of memory, which Linux resets on demand, follows the limit; the numbers do not.

    In a process of its own, which has no memory of other tests that it could use again. The limits
    are 56 MiB apart; what the allocators of a machine add to both peaks differs by some 15 MiB.
    """
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    little, much, same = map(int, done.stdout.split())
    assert same
    assert little + (20 << 20) < much < 96 << 20


GROWN = """
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model

model = get_model("quasi-geostrophic", n=65)
run, settings = get_engine("julia"), CostSettings(5.0)
start = 0.1 * np.random.default_rng(0).normal(size=(1, model.state_size)) * model.sea
x = run.run(model, settings, start, 41)
v = np.random.default_rng(1).normal(size=x.shape)

def status(name):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))

def grown(memory):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    run.tangent_run(model, settings, x, v[:, 0], memory)
    found = run.adjoint_run(model, settings, x, v, memory)
    return status("VmHWM") - before, found

grown(0)
little, expected = grown(8 << 20)
much, found = grown(64 << 20)
print(little, much, int(np.array_equal(found, expected)))
"""


@pytest.mark.julia
def test_a_large_state_has_a_workspace() -> None:
    """Four stages, each with two fields for each of four Runge-Kutta steps: more than 32 states."""
    small, large = (get_model("quasi-geostrophic", n=n) for n in (33, 65))
    engine = get_engine("julia")
    states = [8 * model.state_size for model in (small, large)]
    taken = [engine.workspace_bytes(model) for model in (small, large)]
    assert all(bytes_ > 32 * state for bytes_, state in zip(taken, states, strict=True))
    assert 3 < taken[1] / taken[0] < 5
    assert engine.workspace_bytes(get_model("lorenz63")) == 0
    assert get_engine("torch").workspace_bytes(small) == 0
