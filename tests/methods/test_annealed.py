"""Annealing finds the truth's basin on Lorenz-96, with calibrated spread and flags."""

from dataclasses import replace

import numpy as np
import pytest
from problems import drawn_problem, twin_problem

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.errors import InputError
from pyvda.methods import Problem, Status, gauss_newton
from pyvda.methods.annealed import AnnealedOptions, solve
from pyvda.models.registry import get_model
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia
ONE_START = AnnealedOptions(restarts=0, hops=0)


def errors(problem: Problem, x: np.ndarray) -> np.ndarray:
    return np.mean((x - np.asarray(problem.batch.truth)) ** 2, axis=(1, 2))


@pytest.fixture(scope="module")
def lorenz96() -> Problem:
    return twin_problem("lorenz96", 32)


def test_lorenz96_finds_the_truth_and_the_spread_is_right(lorenz96: Problem) -> None:
    found = solve(lorenz96, ONE_START)
    error = errors(lorenz96, found.x)
    assert np.median(error) < 0.11
    home = error < 0.25
    assert home.sum() >= 28
    # Few windows in which the model is very sensitive decide the mean: its standard error is 0.13
    # here, of which two are allowed. The 256 windows of docs/results have 1.07.
    normalised = ((found.x - lorenz96.batch.truth) / found.stdev)[home] ** 2
    assert abs(normalised.mean() - 1) < 0.27
    cost = found.per_window[names.OBJECTIVE][home]
    assert (cost < found.per_window[names.CHI_SQUARE_LIMIT][home]).all()
    assert 450 < cost.mean() < 540
    # The nodes are linked by a model that is all but exact.
    forecast = lorenz96.engine.forecast(lorenz96.model, found.x[:, :-1], time_step=0.05)
    assert np.mean((found.x[home, 1:] - forecast[home]) ** 2) < 1e-4


def test_restarts_and_hops_lower_the_cost_and_only_of_suspicious_windows() -> None:
    # Loosely observed: with one start some of these windows stay in wrong minima.
    problem = twin_problem("lorenz96", 8, seed=77)
    mask = np.asarray(problem.batch.mask).copy()
    mask[:, 4::8] = 0
    batch = Batch(problem.batch.observation * (mask > 0), mask, problem.batch.first_guess,
                  problem.batch.truth)  # fmt: skip
    problem = replace(problem, batch=batch)
    every = {"every": 4}
    one = solve(problem, AnnealedOptions(restarts=0, hops=0, **every))
    more = solve(problem, AnnealedOptions(restarts=2, hops=2, **every))
    data = (mask > 0).sum((1, 2))
    before, after = one.per_window[names.OBJECTIVE], more.per_window[names.OBJECTIVE]
    fine = before < data / 2
    np.testing.assert_allclose(more.x[fine], one.x[fine], atol=1e-9)
    wrong = before > one.per_window[names.CHI_SQUARE_LIMIT]
    assert wrong.any()
    assert (one.status[wrong] == Status.DOUBTFUL).all()
    assert after[wrong].mean() < 0.9 * before[wrong].mean()
    # Some of the wrong ones are brought home: their error and their flag go together.
    doubtful = more.status == Status.DOUBTFUL
    np.testing.assert_array_equal(doubtful, after > more.per_window[names.CHI_SQUARE_LIMIT])
    home = wrong & ~doubtful
    assert home.any()
    gained = errors(problem, one.x)[home] / errors(problem, more.x)[home]
    assert np.median(gained) > 2
    assert (more.iterations[wrong] > one.iterations[wrong]).all()


def test_it_is_a_minimum_of_the_statistical_cost(lorenz96: Problem) -> None:
    few = replace(lorenz96, batch=lorenz96.batch[:2])
    found = solve(few, replace_options(ONE_START, model_error=1e-3))
    start = replace(few, batch=replace(few.batch, first_guess=found.x))
    options = gauss_newton.GaussNewtonOptions(
        form="statistical", every=4, model_error=1e-3, substeps=2, tolerance=1e-5
    )
    nearest = gauss_newton.solve(start, options)
    fallen = found.per_window[names.OBJECTIVE] - nearest.per_window[names.OBJECTIVE]
    assert (np.abs(fallen) < 0.05).all()


Q = np.array([[0.04, 0.01, 0.0], [0.01, 0.3, 0.05], [0.0, 0.05, 0.1]])


@pytest.mark.parametrize("engine", ["julia", "torch"])
@pytest.mark.parametrize("model_error", [Q, 1e-4 * Q])
def test_a_matrix_of_the_model_error_is_that_of_the_statistical_cost(
    engine: str, model_error: np.ndarray
) -> None:
    problem = twin_problem("lorenz63", 3, steps=81, engine=engine)
    found = solve(problem, replace_options(ONE_START, model_error=model_error))
    start = replace(problem, batch=replace(problem.batch, first_guess=found.x))
    same = gauss_newton.GaussNewtonOptions(
        form="statistical", every=8, model_error=model_error, substeps=2, tolerance=1e-6
    )
    nearest = gauss_newton.solve(start, same)
    fallen = found.per_window[names.OBJECTIVE] - nearest.per_window[names.OBJECTIVE]
    assert (np.abs(fallen) < 0.05).all()
    if model_error is Q:  # what is smaller than 1.5e-5 of the climatology is not used for this
        np.testing.assert_allclose(found.stdev, nearest.stdev, rtol=0.05)
        mean = solve(problem, replace_options(ONE_START, model_error=float(np.trace(Q)) / 3))
        changed = mean.per_window[names.OBJECTIVE] - found.per_window[names.OBJECTIVE]
        assert np.abs(changed).max() > 0.01


def test_a_multiple_of_the_identity_is_a_number(lorenz96: Problem) -> None:
    few = replace(lorenz96, batch=lorenz96.batch[:2])
    number = solve(few, replace_options(ONE_START, model_error=1e-3))
    for given in (np.full(40, 1e-3), 1e-3 * np.eye(40)):
        found = solve(few, replace_options(ONE_START, model_error=given))
        np.testing.assert_allclose(found.x, number.x, atol=1e-6)
        np.testing.assert_allclose(found.stdev, number.stdev, rtol=1e-6)


def test_a_model_error_of_another_size_or_singular_is_refused(lorenz96: Problem) -> None:
    few = replace(lorenz96, batch=lorenz96.batch[:1])
    for given in (np.eye(3), np.zeros(40), np.ones((40, 40))):
        with pytest.raises(InputError, match="model_error") as refused:
            solve(few, replace_options(ONE_START, model_error=given))
        assert "\n" not in str(refused.value)


def test_starts_are_compared_with_the_model_error_of_an_imperfect_model() -> None:
    """The truth has another forcing: with its model error no window needs another start."""
    right = twin_problem("lorenz96", 4)
    wrong = replace(right, model=right.model.with_parameters((7.0,)))
    every = {"every": 4, "restarts": 1, "hops": 0}
    exact = solve(wrong, AnnealedOptions(**every))
    stated = solve(wrong, AnnealedOptions(**every, model_error=0.2))
    alone = solve(wrong, AnnealedOptions(**(every | {"restarts": 0}), model_error=0.2))
    assert (exact.status == Status.DOUBTFUL).all()
    assert (stated.status == Status.CONVERGED).all()
    np.testing.assert_array_equal(stated.iterations, alone.iterations)
    assert (errors(wrong, stated.x) < 0.5 * errors(wrong, exact.x)).all()


def replace_options(options: AnnealedOptions, **changes: object) -> AnnealedOptions:
    return options.model_copy(update=changes)


def test_lorenz63_too() -> None:
    problem = twin_problem("lorenz63-blanked", 32)
    found = solve(problem, AnnealedOptions(restarts=2, hops=2))
    assert np.median(errors(problem, found.x)) < 0.7
    assert (found.status != Status.DIVERGED).all()
    assert np.isfinite(found.stdev).all()


def test_accurate_observations_leave_a_small_spread() -> None:
    problem = drawn_problem(get_model("lorenz63"), 24, 81, every=4, variance=0.01)
    found = solve(problem, ONE_START)
    ratio = (found.x - np.asarray(problem.batch.truth)) ** 2 / np.square(found.stdev)
    assert 0.7 < ratio.mean() < 1.2


def test_the_seed_decides(lorenz96: Problem) -> None:
    few = replace(lorenz96, batch=lorenz96.batch[:2])
    options = AnnealedOptions(restarts=1, hops=1)
    first, second = solve(few, options), solve(few, options)
    np.testing.assert_array_equal(first.x, second.x)
    other = solve(few, replace_options(options, seed=1))
    assert not np.array_equal(first.x, other.x)


def suspicious_problem(preset: str) -> Problem:
    """Windows with slightly too large errors, which restart and hop but are not given up."""
    problem = twin_problem(preset, 4)
    mask = np.asarray(problem.batch.mask).copy()
    if preset == "lorenz96":
        mask[2, 4::8] = 0  # nodes every 8 steps, and a limit of its own
    else:
        mask[1, 61, 1] = 1  # a node at every step
    noise = np.random.default_rng(7).standard_normal(mask.shape) * np.sqrt(2 * 1.25)
    observation = np.where(mask > 0, np.asarray(problem.batch.truth) + noise, 0.0)
    return replace(problem, batch=Batch(observation, mask, problem.batch.first_guess))


@pytest.mark.parametrize("preset", ["lorenz96", "lorenz63"])
def test_a_window_is_the_same_alone_and_among_others(preset: str) -> None:
    whole = suspicious_problem(preset)
    options = AnnealedOptions(restarts=2, hops=1)
    found = solve(whole, options)
    assert (found.iterations > solve(whole, ONE_START).iterations).any()
    for chosen in ([2], [3, 1]):
        part = replace(whole, batch=whole.batch[chosen], numbers=np.array(chosen))
        alone = solve(part, options)
        np.testing.assert_allclose(alone.x, found.x[chosen], rtol=0, atol=1e-8)
        np.testing.assert_allclose(alone.stdev, found.stdev[chosen], rtol=1e-8)
        np.testing.assert_array_equal(alone.status, found.status[chosen])
        np.testing.assert_array_equal(alone.iterations, found.iterations[chosen])


def test_another_number_is_another_search() -> None:
    problem = suspicious_problem("lorenz96")
    problem = replace(problem, batch=problem.batch[:1])
    options = AnnealedOptions(restarts=2, hops=2)
    steps = [solve(replace(problem, numbers=np.array([n])), options).iterations[0] for n in (0, 9)]
    assert steps[0] != steps[1]


def test_windows_without_observations_or_with_absurd_ones(lorenz96: Problem) -> None:
    few = lorenz96.batch[:4]
    mask, observation = np.asarray(few.mask).copy(), np.asarray(few.observation).copy()
    mask[0] = 0
    observation[0] = 0
    observation[2, 0, np.flatnonzero(mask[2, 0])[0]] = 1e200
    mask[3] = 0
    mask[3, 100, 7] = 1  # one observation
    broken = replace(lorenz96, batch=Batch(observation, mask, few.first_guess, few.truth))
    found = solve(broken, ONE_START)
    known = climatology(lorenz96.model)
    assert found.status[0] == Status.NO_OBSERVATIONS
    np.testing.assert_array_equal(found.x[0, 3], known.mean)
    assert found.status[2] == Status.DIVERGED
    assert np.isnan(found.x[2]).all()
    assert np.isfinite(found.x[3]).all()
    assert errors(broken, found.x)[1] < 0.3
    found = solve(replace(broken, batch=broken.batch[:1]), AnnealedOptions())
    assert found.status.tolist() == [Status.NO_OBSERVATIONS]


def test_budget_and_refusals(lorenz96: Problem) -> None:
    few = replace(lorenz96, batch=lorenz96.batch[:2])
    hurried = solve(few, AnnealedOptions(budget=1e-9))
    np.testing.assert_array_equal(hurried.x, solve(few, ONE_START).x)
    with pytest.raises(InputError, match="--set observation_variance=2"):
        solve(replace(few, observation_variance=None), ONE_START)
    with pytest.raises(InputError, match="climatology"):
        solve(few, replace_options(ONE_START, background="weather"))
    for bad in ({"restarts": -1}, {"budget": 0.0}, {"every": 0}, {"model_error": -1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AnnealedOptions(**bad)


def test_in_a_file() -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 3, 5), "lorenz63", 6)
    analysis = pyvda.assimilate(observed, method="annealed", restarts=1, hops=1)
    assert names.STATE_STDEV in analysis
    assert (analysis[names.OBJECTIVE] < analysis[names.CHI_SQUARE_LIMIT]).all()


@pytest.mark.parametrize("chunk", [1, 4])
def test_eager_and_chunked_runs_agree(chunk: int) -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz96", 5, 5), "lorenz96", 6)
    noise = np.random.default_rng(8).standard_normal(observed["observation"].shape)
    observed["observation"] += 0.7 * noise  # so that they start again, and hop
    options = {"method": "annealed", "model": "lorenz96", "restarts": 2, "hops": 1}
    eager = pyvda.assimilate(observed, **options)
    lazy = pyvda.assimilate(observed.chunk(window=chunk), **options).compute()
    once = pyvda.assimilate(observed, **{**options, "restarts": 0, "hops": 0})
    assert (eager[names.ITERATIONS] > once[names.ITERATIONS]).sum() >= 2
    for name in ("analysis", names.STATE_STDEV, names.ITERATIONS, names.OBJECTIVE):
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(lazy[names.DOUBTS], eager[names.DOUBTS])
