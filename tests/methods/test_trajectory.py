"""Trajectories of which parts are computed again, against those that are kept as a whole."""

import re
import tracemalloc

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods import incremental
from pyvda.methods.incremental import IncrementalOptions, control_cost
from pyvda.methods.problem import Problem
from pyvda.methods.trajectory import Trajectory, longest_stride, segments, window_bytes
from pyvda.operators import Spectral, power
from pyvda.state.batch import Batch


def advance(state: np.ndarray, first: int, last: int) -> np.ndarray:
    """A step doubles the state and adds the number of the step that it leads to."""
    found = [state]
    for step in range(first + 1, last + 1):
        found.append(2 * found[-1] + step)
    return np.stack(found)


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
@pytest.mark.parametrize("stride", [1, 3, 7, 100])
def test_segments_are_those_of_the_whole_run(steps, stride) -> None:
    start = np.array([1.0, -2.0])
    whole = advance(start, 0, steps - 1)
    seen = []
    x = Trajectory.run(
        start, steps, stride, advance, lambda first, part: seen.append(first) or float(len(part))
    )
    np.testing.assert_array_equal(x.whole(), whole)
    np.testing.assert_array_equal([x.at(step) for step in range(steps)], whole)
    bounds = segments(steps, x.stride)
    assert seen == [first for first, _ in bounds] == [first for first, _ in x]
    assert x.total == sum(last - first + 1 for first, last in bounds)
    assert len(x.kept) == (steps if len(bounds) == 1 else len(bounds))
    for (first, states), (a, b) in zip(reversed(x), reversed(bounds), strict=True):
        assert first == a
        np.testing.assert_array_equal(states, whole[a : b + 1])


def test_segments_are_as_long_as_fit() -> None:
    size, steps = 1000, 101
    whole = window_bytes(steps, steps - 1, size)
    assert longest_stride(steps, size, whole) == 100
    shorter = longest_stride(steps, size, whole - 1)
    assert shorter < 100
    assert window_bytes(steps, shorter, size) < whole
    least = longest_stride(steps, size, 0)
    assert window_bytes(steps, least, size) == min(
        window_bytes(steps, one, size) for one in range(1, 101)
    )
    assert 2 <= least <= 10  # about the root of the number of steps


@pytest.mark.julia
def test_a_window_in_little_memory_has_the_same_analysis() -> None:
    n, steps, GiB = 65, 41, 2**30
    model, rng = pyvda.get_model("quasi-geostrophic", n=n), np.random.default_rng(1)
    B = Spectral((n, n), power(2.0, 3.0), 1.0, boundary="wall")
    mask = np.zeros((1, steps, n * n))
    mask[0][:, rng.choice(np.flatnonzero(model.sea), 100, replace=False)] = 1.0
    batch = Batch(rng.standard_normal(mask.shape) * mask, mask, np.zeros_like(mask))
    problem = Problem(batch, model, CostSettings(5.0), get_engine("julia"), 1.0)
    found, peaks = [], []
    given = IncrementalOptions(
        background=np.zeros(n * n), covariance=B, members=2, iterations=1, inner_iterations=5
    )
    with pytest.raises(InputError, match="a window of 41 steps of 4225") as refused:
        incremental.solve(problem, given.model_copy(update={"memory": 0.002}))
    least = float(re.findall(r"--memory (\S+)\)", str(refused.value))[0])
    for memory in (1.0, least):
        options = given.model_copy(update={"memory": memory})
        tracemalloc.start()
        try:
            found.append(incremental.solve(problem, options))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert control_cost(problem, options).plan.stride < steps - 1
    assert peaks[1] < min(0.8 * peaks[0], least * GiB)
    np.testing.assert_allclose(found[1].x, found[0].x, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[1].stdev, found[0].stdev, rtol=1e-9, atol=1e-12)
    assert found[1].per_window["objective"] == pytest.approx(
        found[0].per_window["objective"], rel=1e-12
    )


def test_with_a_model_error_segments_have_their_forcing() -> None:
    rng = np.random.default_rng(2)
    A = 0.9 * np.linalg.qr(rng.standard_normal((6, 6)))[0]
    torch = pytest.importorskip("torch")
    matrix = torch.as_tensor(A)
    model = pyvda.torch_model(
        step=lambda x: x @ matrix.T.to(x), variables=("u",), dimensions={"x": 6}, time_step=1.0
    )
    y = np.where(rng.random((9, 6)) < 0.5, rng.standard_normal((9, 6)), np.nan)
    ds = xr.Dataset({"u": (("time", "x"), y)}, {"time": np.arange(9.0)})
    how = {
        "model": model, "method": "incremental", "background": (np.zeros(6), np.eye(6)),
        "model_error": 0.3, "observation_variance": 0.5, "members": 0, "inner_tolerance": 1e-13,
        "inner_iterations": 60, "engine": "torch",
    }  # fmt: skip
    whole = pyvda.assimilate(ds, **how)
    with pytest.raises(InputError) as refused:
        pyvda.assimilate(ds, memory=1e-6, **how)
    little = float(re.findall(r"--memory (\S+)\)", str(refused.value))[0])
    found = pyvda.assimilate(ds, memory=little, **how)
    np.testing.assert_allclose(found["u"], whole["u"], atol=1e-10)
