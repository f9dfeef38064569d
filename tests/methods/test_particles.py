"""Members weighed and resampled: against a dense smoother, and as a filter in a cycle."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import linear_problem

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods import Problem, particles
from pyvda.methods.posterior_mean import PosteriorMeanOptions, solve
from pyvda.models.registry import get_model
from pyvda.state.batch import Batch

ENGINES = ["torch", pytest.param("julia", marks=pytest.mark.julia)]


def linear(steps: int = 4):
    """Return a linear model without error, which sees its first component, and its problem."""
    known = linear_problem(3, steps, 3, seed=2)
    x, y = known.mean + 0.5, np.full((steps, 3), np.nan)
    for t in range(steps):
        y[t, 0], x = x[0] + (-0.4) ** t, known.M @ x
    known = replace(known, Q=1e-10 * np.eye(3), H=np.eye(3), R=0.5 * np.eye(3), y=y)
    M = torch.as_tensor(known.M)
    model = pyvda.torch_model(step=lambda x: x @ M.T, variables=("a", "b", "c"), time_step=1.0)
    mask = np.isfinite(known.y)[None].astype(float)
    observation = np.nan_to_num(known.y)[None]
    batch = Batch(observation, mask, observation)
    return known, Problem(batch, model, CostSettings(1.0), get_engine("torch"), 0.5)


def drawn(known, count: int = 100_000) -> np.ndarray:
    return np.random.default_rng(1).multivariate_normal(known.mean, known.B, count)


def test_the_mean_is_that_of_the_dense_smoother() -> None:
    known, problem = linear()
    seen = replace(known, H=known.H[:1], R=known.R[:1, :1], y=known.y[:, :1])
    mean, covariance = seen.smoothed()
    stdev = np.sqrt(np.diagonal(covariance.reshape(12, 12))).reshape(4, 3)
    found = particles.weigh(
        problem, drawn(known), problem.batch.observation[0], problem.batch.mask[0] / 0.5
    )
    error = 5 / np.sqrt(found.effective)  # standard errors of a mean, in deviations
    assert found.effective > 1000
    np.testing.assert_array_less(abs(found.mean - mean), error * stdev)
    np.testing.assert_allclose(found.stdev, stdev, rtol=error)


def test_blocks_of_members_change_nothing(monkeypatch) -> None:
    known, problem = linear()
    given = (drawn(known, 500), problem.batch.observation[0], problem.batch.mask[0])
    whole = particles.weigh(problem, *given)
    monkeypatch.setattr(particles, "_NUMBERS", 12 * 37)
    for one, other in zip(whole, particles.weigh(problem, *given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_resampled_members_have_the_moments_of_the_weighed_ones() -> None:
    known, problem = linear()
    precision = problem.batch.mask[0] / 0.5
    precision[2:] = 0  # the last data are two steps before the end
    found = particles.weigh(problem, drawn(known), problem.batch.observation[0], precision)
    assert found.left == 2
    members = particles.resampled(problem, found, 5000, 0.2, np.random.default_rng(3))
    error = 5 / np.sqrt(found.effective)
    np.testing.assert_array_less(abs(members.mean(0) - found.mean[-1]), error * found.stdev[-1])
    np.testing.assert_allclose(members.std(0), found.stdev[-1], rtol=error + 0.02)  # the kernel
    assert len(np.unique(members, axis=0)) == len(members)  # copies part


def test_members_that_diverge_have_no_weight() -> None:
    known, problem = linear()
    start = drawn(known, 200)
    start[:50] = 1e200
    found = particles.weigh(problem, start, problem.batch.observation[0], problem.batch.mask[0])
    assert (found.weights[:50] == 0).all()
    assert found.weights.sum() == pytest.approx(1)
    start[:] = 1e200
    lost = particles.weigh(problem, start, problem.batch.observation[0], problem.batch.mask[0])
    assert np.isnan(lost.mean).all()
    assert np.isnan(particles.resampled(problem, lost, 10, 0.2, np.random.default_rng(3))).all()


def test_members_are_held_only_where_a_window_can_start_from_them() -> None:
    known, problem = linear()
    windows, count = 100, 5000
    one = problem.batch
    observation, mask = (np.repeat(a, windows, 0) for a in (one.observation, one.mask))
    batch = Batch(observation, mask, observation)
    options = PosteriorMeanOptions(background=(known.mean, known.B), particles=count)
    tracemalloc.start()
    try:
        found = solve(replace(problem, batch=batch), options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.per_window.keys() == {"effective_sample_size"}
    assert peak < 0.5 * 8 * windows * count * 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cycle_keeps_what_earlier_data_say(engine: str) -> None:
    """Its last windows are twice as good as single ones, and their spread is that of the error."""
    every, cycles = 25, 60
    truth = pyvda.simulate("lorenz63", windows=1, seed=5, steps=every * cycles)
    observed = pyvda.observe(truth, variance=2.0, every=every, components=[0, 1, 2], seed=6)
    observed, truth = observed.isel(window=0), truth.isel(window=0)
    options = {"model": "lorenz63", "method": "posterior-mean", "engine": engine}
    found = pyvda.assimilate(observed, cycle=every, particles=2000, **options)
    times = np.arange(20 * every, every * cycles, every)
    error = (found["analysis"] - truth["truth"]).values[times]
    assert np.sqrt((error**2).mean()) < 0.45  # each datum has the error 1.41
    assert 0.15 < (error**2 / found["state_stdev"].values[times] ** 2).mean() < 2.5  # one series
    assert found.sizes["member"] == 2000


def test_an_analysis_with_members_is_the_background_of_the_next(tmp_path) -> None:
    model = get_model("lorenz63")
    truth = pyvda.simulate("lorenz63", windows=1, seed=5, steps=80)
    observed = pyvda.observe(truth, variance=2.0, every=8, components=[0, 1, 2], seed=6)
    observed, truth = observed.isel(window=0), truth.isel(window=0)
    options = {"model": model, "method": "posterior-mean", "engine": "torch"}
    first = pyvda.assimilate(
        observed.isel(time=slice(0, 40)), final_ensemble=True, particles=500, **options
    )
    pyvda.save_analysis(first, tmp_path / "first.nc")
    second = observed.isel(time=slice(40, 80))
    found = pyvda.assimilate(second, background=tmp_path / "first.nc", **options)
    alone = pyvda.assimilate(second, members=2000, **options)
    error = [float(((x["analysis"] - truth["truth"]) ** 2)[0].mean()) for x in (found, alone)]
    assert error[0] < error[1]
    assert (found["effective_sample_size"] > 5).all()


def test_what_members_cannot_stand_for_is_refused() -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.zeros((4, 40)))}, {"time": np.arange(4) * 0.05}
    )
    with pytest.raises(InputError, match="at most 10; choose another method"):
        pyvda.assimilate(ds, model="lorenz96", method="posterior-mean", final_ensemble=True,
                         observation_variance=1.0, engine="torch")  # fmt: skip


def test_copies_of_a_single_member_part() -> None:
    _, problem = linear()
    start = np.random.default_rng(1).normal(size=(300, 3))
    observation, precision = problem.batch.observation[0].copy(), problem.batch.mask[0].copy()
    observation[0, 0], precision[0, 0], precision[1:] = start[7, 0], 1e12, 0
    found = particles.weigh(problem, start, observation, precision)
    assert found.effective == pytest.approx(1)
    members = particles.resampled(problem, found, 300, 0.2, np.random.default_rng(3))
    assert len(np.unique(members, axis=0)) == 300
    assert (members.std(0) > 0.05 * start.std(0)).all()


def test_members_that_diverge_after_the_last_datum_are_replaced() -> None:
    model = pyvda.torch_model(step=lambda x: x**3, variables=("x",), time_step=1.0)
    mask = np.zeros((1, 12, 1))
    mask[:, 0] = 1
    batch = Batch(np.zeros_like(mask), mask, np.zeros_like(mask))
    problem = Problem(batch, model, CostSettings(1.0), get_engine("torch"), 1.0)
    start = np.linspace(-1.2, 1.2, 100)[:, None]  # above 1 they grow without bound
    found = particles.weigh(problem, start[abs(start[:, 0]) < 1], np.zeros((12, 1)), mask[0])
    found = found._replace(members=start, weights=np.full(100, 0.01))
    members = particles.resampled(problem, found, 50, 0.0, np.random.default_rng(3))
    assert np.isfinite(members).all()
    assert len(members) == 50
