"""Mirror images and the library's expected squares, against sums and weights written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import twin_problem

from pyvda.climate.library import EVERY, LEAD, library
from pyvda.engine import get_engine
from pyvda.judgements import alternatives
from pyvda.judgements.innovations import innovations
from pyvda.methods.statistics import half_misfit, precision_of
from pyvda.operators.function import Channels, FunctionOperator
from pyvda.operators.points import Points


@pytest.fixture(scope="module")
def problem():
    return twin_problem("lorenz63", 6)


@pytest.mark.julia
def test_mirror_image_costs_the_difference_of_the_misfits(problem) -> None:
    x, precision = problem.batch.truth, precision_of(problem, None)
    y, variance = problem.batch.observation, problem.observation_variance
    of = innovations(y, problem.batch.mask, x, variance)
    more, apart = alternatives.mirrored(problem, x, of, variance)
    image = x * [-1, -1, 1]
    expected = half_misfit(precision, image, y) - half_misfit(precision, x, y)
    np.testing.assert_allclose(more, expected)
    np.testing.assert_allclose(x + apart * x, image)


@pytest.mark.julia
@pytest.mark.parametrize("kind", ["points", "channels"])
def test_data_that_are_not_on_the_grid_tell_mirror_images_apart(problem, kind: str) -> None:
    x, variance = problem.batch.truth, problem.observation_variance
    nothing = np.zeros_like(x)
    step = np.tile(np.arange(0, x.shape[1] - 1, 9), (len(x), 1))
    value = np.random.default_rng(3).normal(size=step.shape)
    batch = replace(problem.batch, mask=nothing, observation=nothing)
    if kind == "points":
        one = np.ones(step.shape)
        row = np.broadcast_to([0.5, 0.0, 2.0], (*step.shape, 3))
        batch = replace(batch, points=Points(step, 0 * value, value, one, row))
    else:
        at, there = np.zeros((*x.shape[:2], 1)), np.zeros((*x.shape[:2], 1))
        at[:, step[0], 0], there[:, step[0], 0] = value, 1.0
        batch = replace(batch, channels=Channels(at, there, FunctionOperator(combined)))
    given = replace(problem, batch=batch)
    of = innovations(nothing, nothing, x, variance)
    more, _ = alternatives.mirrored(given, x, of, variance)
    of_x, of_z = 0.5 * x[:, step[0], 0], 2 * x[:, step[0], 2]
    expected = (2 * of_x * (value - of_z) / variance).sum(1)
    np.testing.assert_allclose(more, expected, rtol=1e-9)


def combined(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x[..., :1] + 2 * x[..., 2:]


@pytest.mark.julia
def test_expected_square_is_the_weighted_mean_over_members(problem) -> None:
    y, steps = problem.batch.observation, problem.batch.observation.shape[1]
    precision = np.zeros_like(y)
    precision[:, [40, 100], 0] = 0.05
    x = problem.batch.truth + 3.0
    mask = (precision > 0).astype(float)
    problem = replace(problem, batch=replace(problem.batch, mask=mask))
    every = np.ones(3, bool), np.ones(3, bool)
    found, size = alternatives.expected_square(problem, x, 20.0, np.arange(3), *every)
    shelf = library(problem.model, problem.engine, 0.01, steps, 120_000)
    small = alternatives.pieces(shelf, 64, 16, steps)
    members = np.concatenate([small.states[:, LEAD + EVERY * k :][:, :steps] for k in range(16)])
    members = np.concatenate([members, members * small.signs])
    for window in range(3):
        cost = half_misfit(precision[window], members, y[window])
        weight = np.exp(cost.min() - cost)
        weight /= weight.sum()
        square = np.einsum("n,ntd->td", weight, (members - x[window]) ** 2)
        np.testing.assert_allclose(found[window], square, rtol=1e-6)
        assert size[window] == pytest.approx(1 / (weight**2).sum(), rel=1e-6)


@pytest.mark.julia
@pytest.mark.parametrize("engine", ["julia", "torch"])
def test_samples_to_be_pooled_are_the_weighted_members_of_both_engines(problem, engine) -> None:
    problem = replace(problem, engine=get_engine(engine))
    batch, steps = problem.batch, problem.batch.observation.shape[1]
    x, none = problem.batch.truth + 1.0, np.zeros(3, bool)
    found, size = alternatives.expected_square(problem, x, 2.0, np.arange(3), none, none)
    assert size.any()
    shelf = library(problem.model, problem.engine, 0.01, steps, 120_000)
    small = alternatives.pieces(shelf, 64, 80, steps)
    members = np.concatenate([small.states[:, LEAD + EVERY * k :][:, :steps] for k in range(80)])
    members = np.concatenate([members, members * small.signs])
    for window in range(3):
        cost = half_misfit(batch.mask[window] / 2.0, members, batch.observation[window])
        weight = np.exp(cost.min() - cost)
        weight /= weight.sum()
        samples = 1 / (weight**2).sum()
        if samples < 2:
            assert size[window] == 0
            continue
        square = np.einsum("n,ntd->td", weight, (members - x[window]) ** 2)
        np.testing.assert_allclose(found[window], square, rtol=1e-6)
        assert size[window] == pytest.approx(samples, rel=1e-6)


def test_a_pooled_variance_is_calibrated_however_few_the_samples() -> None:
    rng = np.random.default_rng(6)
    for n in (5, 12, 40):
        square = (rng.standard_normal((50_000, n)) ** 2).mean(1)[:, None, None]
        found = alternatives.pooled(np.ones_like(square), square, np.full(len(square), n))
        error = rng.standard_normal(len(square)) ** 2
        assert np.mean(error / found[:, 0, 0]) == pytest.approx(1, abs=0.03)
    # A method's variance that is half of the right one counts the less the more samples there are.
    few, many = (
        alternatives.pooled(np.full((1, 1, 1), 0.5), np.ones((1, 1, 1)), np.array([n]))
        for n in (5.0, 500.0)
    )
    assert few < 0.75 < 0.98 < many


@pytest.mark.julia
def test_samples_that_are_pooled_come_from_a_small_library(problem) -> None:
    """The same as from the whole, by fewer members: those of few samples are taken, too."""
    x, windows = problem.batch.truth, np.arange(len(problem.batch.truth))
    loose, long = np.zeros((2, len(x)), bool)
    few, size = alternatives.expected_square(problem, x, 2.0, windows, loose, long)
    all_of_them, most = alternatives.expected_square(problem, x, 2.0, windows, ~loose, ~long)
    both = (size > 0) & (most > 0)
    assert both.any()
    assert (size[size > 0] >= 2).all()
    assert size[both].mean() < most[both].mean()
    ratio = few[both].mean() / all_of_them[both].mean()
    assert ratio == pytest.approx(1, abs=0.5)


def test_the_largest_share_is_that_of_the_worst_step() -> None:
    stdev = np.ones((3, 10, 2))
    stdev[1, 4] = 7.0
    stdev[2, 5] = np.nan
    found = alternatives.largest_share(stdev, np.array([60.0, 40.0]))
    np.testing.assert_allclose(found, [0.02, 0.98, np.nan])


@pytest.mark.julia
def test_a_gap_is_longer_than_the_distance_of_the_data_and_the_memory_of_the_model(problem) -> None:
    mask = np.zeros(problem.batch.observation.shape)
    mask[0, ::8, 0] = 1  # no gap
    mask[1, 16:185:8, 2] = 1  # edges that are shorter
    mask[2, ::40, 1] = 1  # few data, evenly spaced
    mask[3, :50:8, 0] = mask[3, 150::8, 0] = 1
    mask[4, 100::8, 0] = 1
    given = replace(problem, batch=replace(problem.batch, mask=mask))
    np.testing.assert_array_equal(alternatives.with_gap(given)[:5], [0, 0, 0, 1, 1])
    # A tenth of the time step: the model has not moved much after a hundred.
    slow = replace(given, cost=replace(given.cost, time_step=0.001))
    np.testing.assert_array_equal(alternatives.with_gap(slow)[:5], np.zeros(5))
