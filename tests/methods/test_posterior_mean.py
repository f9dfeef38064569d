"""The posterior mean as a method: numbers in julia/test/methods/posterior_mean.jl."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import twin_problem
from scipy.stats import chi2, t

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.climate.library import library
from pyvda.engine import get_engine
from pyvda.engine.julia.posterior_mean import posterior_mean
from pyvda.errors import InputError
from pyvda.methods import Problem, Status, strong_constraint
from pyvda.methods.posterior_mean import PosteriorMeanOptions, solve, unbiased
from pyvda.methods.statistics import precision_of
from pyvda.methods.strong_constraint import StrongConstraintOptions, minima
from pyvda.models.registry import get_model
from pyvda.settings import configured

pytestmark = pytest.mark.julia
MODEL = get_model("lorenz63")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYVDA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 100)


@pytest.mark.parametrize(("preset", "limit"), [("lorenz63", 0.39), ("lorenz63-blanked", 0.58)])
def test_reaches_the_limit_of_the_observations(preset: str, limit: float) -> None:
    problem = twin_problem(preset, 750)
    found = solve(problem, PosteriorMeanOptions())
    square = (found.x - problem.batch.truth) ** 2
    # 750 windows scatter by 6 % about the limit; the predicted variance scatters less.
    assert abs(square.mean() - limit) < 0.15 * limit
    assert abs(np.mean(found.stdev**2) - limit) < 0.1 * limit
    # Of all windows, those with few samples among them; 0.04 is a standard error here, and the 2000
    # of docs/results have 1.00 and 1.02.
    assert abs(np.mean(square / found.stdev**2) - 1) < 0.15
    assert (found.status == Status.DOUBTFUL).mean() < 0.05


def test_the_deviation_of_few_samples_is_not_too_small() -> None:
    rng = np.random.default_rng(4)
    for n, tolerance in ((8, 0.05), (40, 0.03)):
        x = rng.standard_normal((40_000, n))
        biased = x.std(1)[:, None, None]
        error = rng.standard_normal(len(x)) - x.mean(1)  # of another draw from the same normal
        plain = np.mean(error**2 / biased[:, 0, 0] ** 2)
        own = np.mean(error**2 / unbiased(biased, np.full(len(x), n))[:, 0, 0] ** 2)
        # SciPy's Student distribution with n - 1 degrees of freedom has this variance.
        assert plain == pytest.approx((1 + 1 / n) * n / (n - 1) * t.var(n - 1), abs=tolerance)
        assert 1 < own < plain
        assert abs(own - 1) < 0.7 * abs(plain - 1)
    assert np.isnan(unbiased(biased[:1], np.ones(1))).all()


def test_the_third_stage_gives_samples_to_windows_that_have_few() -> None:
    problem = twin_problem("lorenz63", 200)
    engine, y = problem.engine, problem.batch.observation
    found = solve(problem, PosteriorMeanOptions(members=8000, draws=64))
    two = engine.posterior_mean(
        problem.model, problem.cost, y, precision_of(problem, None),
        library(problem.model, engine, 0.01, y.shape[1], 8000),
        noise=np.random.default_rng(0).standard_normal((64, 3)), enough=50.0,
        spread=0.01 * np.sqrt(climatology(problem.model, engine).variance),
    )  # fmt: skip
    few = two.effective < 10
    assert few.sum() > 20
    after = found.per_window[names.EFFECTIVE_SAMPLE_SIZE]
    np.testing.assert_array_equal(after[~few], two.effective[~few])
    assert (after[few] >= two.effective[few]).all()
    assert np.median(after[few]) > 3 * np.median(two.effective[few])
    # More samples are nearer to the mean of many.
    truth = problem.batch.truth[few]
    assert ((found.x[few] - truth) ** 2).mean() < ((two.mean[few] - truth) ** 2).mean()


def test_the_second_stage_gives_more_samples(problem: Problem) -> None:
    size = names.EFFECTIVE_SAMPLE_SIZE
    one = solve(problem, PosteriorMeanOptions(members=30_000, draws=0)).per_window[size]
    two = solve(problem, PosteriorMeanOptions(members=30_000)).per_window[size]
    assert (two >= one).all()
    few = one < 50
    assert few.mean() > 0.3
    assert np.median(two[few]) > 1.5 * np.median(one[few])
    np.testing.assert_array_equal(one[~few], two[~few])


def test_many_members_and_few_with_a_second_stage_agree(problem: Problem) -> None:
    many = solve(problem, PosteriorMeanOptions(members=2_000_000, draws=0))
    few = solve(problem, PosteriorMeanOptions(members=120_000, draws=8192))
    assert np.mean((many.x - few.x) ** 2) < 0.12 * np.mean(many.stdev**2)
    assert np.mean(few.stdev**2) == pytest.approx(np.mean(many.stdev**2), rel=0.12)


def test_a_window_is_the_same_alone(problem: Problem) -> None:
    options = PosteriorMeanOptions(members=10_000)
    whole = solve(problem, options)
    part = solve(replace(problem, batch=problem.batch[[3, 40]]), options)
    np.testing.assert_array_equal(part.x, whole.x[[3, 40]])


def test_no_observation_is_climatology_and_one_is_near_its_datum(problem: Problem) -> None:
    mask = np.zeros_like(problem.batch.mask[:2])
    mask[1, 100, 0] = 4.0  # an error variance of 0.5
    observation = np.where(mask > 0, 5.0, 0.0)
    batch = replace(problem.batch[:2], observation=observation, mask=mask)
    found = solve(replace(problem, batch=batch), PosteriorMeanOptions())
    known = climatology(MODEL)
    assert found.status.tolist() == [Status.NO_OBSERVATIONS, Status.CONVERGED]
    np.testing.assert_array_equal(found.x[0], np.broadcast_to(known.mean, (200, 3)))
    np.testing.assert_array_equal(found.stdev[0, 7], np.sqrt(np.diag(known.covariance)))
    # Weighted by hand: the states of the climatology by the likelihood of this one datum.
    weight = np.exp(-((known.states[:, 0] - 5.0) ** 2) / (2 * 0.5))
    expected = weight @ known.states / weight.sum()
    np.testing.assert_allclose(found.x[1, 100], expected, atol=0.35)
    assert found.per_window[names.EFFECTIVE_SAMPLE_SIZE][1] > 1000


def test_a_window_that_no_state_explains_is_flagged(problem: Problem) -> None:
    observation = problem.batch.observation[:4].copy()
    observation[2, 8, 0] = 1e3
    batch = replace(problem.batch[:4], observation=observation)
    found = solve(replace(problem, batch=batch), PosteriorMeanOptions(members=10_000))
    expected = solve(
        replace(problem, batch=problem.batch[:4]), PosteriorMeanOptions(members=10_000)
    )
    assert found.status[2] == Status.DOUBTFUL
    np.testing.assert_array_equal(found.x[[0, 1, 3]], expected.x[[0, 1, 3]])


def test_no_sample_is_nearer_than_a_trajectory_can_be_and_a_wrong_datum_is_flagged() -> None:
    problem = twin_problem("lorenz63", 16)
    observation = np.asarray(problem.batch.observation).copy()
    steps = np.flatnonzero(problem.batch.mask[0, :, 0])
    rows = np.arange(8)
    observation[rows, steps[3 + rows], 0] += 9.0  # its standard deviation is 1.41
    problem = replace(problem, batch=replace(problem.batch, observation=observation))
    # Few members, so that the second stage is entered in most windows.
    options = PosteriorMeanOptions(members=10_000)
    flat = StrongConstraintOptions(background="flat", background_lead=0, count=8)
    least = minima(problem, flat)[0].objective.min(1)
    prior = library(MODEL, problem.engine, 0.01, 200, options.members)
    found = posterior_mean(
        problem.engine, MODEL, problem.cost, observation, precision_of(problem, None), prior,
        noise=np.random.default_rng(0).standard_normal((options.draws, 3)), enough=options.enough,
        spread=options.bandwidth * np.sqrt(np.diag(climatology(MODEL).covariance)),
    )  # fmt: skip
    assert (found.draws > 0).sum() >= 8
    assert (found.misfit > least * (1 - 1e-3)).all()
    assert np.median(found.misfit - least) < 3
    bad = least > chi2.isf(1 / 2450, 25) / 2
    assert bad[:8].sum() >= 4
    assert not bad[8:].any()
    assert (solve(problem, options).status[bad] == Status.DOUBTFUL).all()


@pytest.mark.parametrize("datum", [1e20, 1e200])
def test_absurd_data_diverge_and_leave_the_others_alone(problem: Problem, datum: float) -> None:
    few = replace(problem, batch=problem.batch[:4])
    observation = few.batch.observation.copy()
    observation[1, 8, 0] = datum
    broken = replace(few, batch=replace(few.batch, observation=observation))
    options = PosteriorMeanOptions(members=10_000)
    found, expected = solve(broken, options), solve(few, options)
    assert found.status[1] == Status.DIVERGED
    assert np.isnan(found.x[1]).all()
    assert np.isnan(found.stdev[1]).all()
    assert np.isnan(found.per_window[names.EFFECTIVE_SAMPLE_SIZE][1])
    others = [0, 2, 3]
    np.testing.assert_array_equal(found.x[others], expected.x[others])
    np.testing.assert_array_equal(found.status[others], expected.status[others])
    best = strong_constraint.solve(broken, StrongConstraintOptions(members=10_000))
    assert best.status[1] in (Status.DIVERGED, Status.DOUBTFUL)


def test_data_that_are_all_but_exact_diverge_too(problem: Problem) -> None:
    few = replace(problem, batch=problem.batch[:2], observation_variance=1e-40)
    found = solve(few, PosteriorMeanOptions(members=10_000))
    assert (found.status == Status.DIVERGED).all()
    few = replace(few, observation_variance=1e-30)
    found = solve(few, PosteriorMeanOptions(members=10_000))
    assert set(found.status) <= {Status.DIVERGED, Status.DOUBTFUL}


def test_impossible_options_are_refused(problem: Problem) -> None:
    with pytest.raises(InputError, match="observation_variance"):
        solve(replace(problem, observation_variance=None), PosteriorMeanOptions())
    large = replace(problem, model=get_model("lorenz96"))
    with pytest.raises(InputError, match="40 components"):
        solve(large, PosteriorMeanOptions())
    with pytest.raises(ValueError, match="multiple of 8"):
        PosteriorMeanOptions(draws=7)


def test_the_library_is_made_once_and_again_when_damaged(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path))
    made = library(MODEL, get_engine(), 0.01, 50, 640)
    assert made.states.shape == (32, 20 + 4 * 9 + 50, 3)
    again = library(MODEL, None, 0.01, 50, 640)  # no engine: it comes from the cache
    np.testing.assert_array_equal(again.states, made.states)
    (file,) = tmp_path.glob("library-*")
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(library(MODEL, get_engine(), 0.01, 50, 640).states, made.states)


def test_the_file_has_the_sample_size() -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 5), "lorenz63", 6)
    analysis = pyvda.assimilate(observed, method="posterior-mean", members=10_000)
    assert (analysis["effective_sample_size"] >= 1).all()
    assert (analysis["state_stdev"] >= 0).all()


@pytest.mark.parametrize(("size", "score", "few"), [(5, 0.19, False), (10, 1.2, True)])
def test_where_the_library_has_too_few_states_is_flagged(
    size: int, score: float, few: bool
) -> None:
    own = {"state_size": size}
    truth = pyvda.simulate("lorenz96", 8, 3, steps=40, parameters=own)
    observed = pyvda.observe(
        truth, seed=1, variance=1.0, every=2, components=list(range(0, size, 2))
    )
    model = get_model("lorenz96", **own)
    found = pyvda.assimilate(observed, model=model, method="posterior-mean")
    square = (found["analysis"] - truth["truth"]).values ** 2
    assert np.sqrt(square.mean()) == pytest.approx(score, rel=0.15)
    assert (found["status"] == Status.DOUBTFUL).all() == few
    assert (np.median(found["effective_sample_size"]) < 5) == few
    if few:
        better = pyvda.assimilate(observed, model=model, method="annealed")["analysis"]
        assert np.sqrt(((better - truth["truth"]) ** 2).mean()) == pytest.approx(0.38, rel=0.15)
    else:
        assert (found["status"] == Status.CONVERGED).all()
        assert np.mean(square / found["state_stdev"].values ** 2) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize(("size", "near"), [(5, 0.5), (10, 1.5)])  # of ten few samples are near
def test_a_model_on_a_circle_of_few_components_in_both_engines(size: int, near: float) -> None:
    own = {"state_size": size}
    model = get_model("lorenz96", **own)  # a large model in Julia, in spite of its size
    truth = pyvda.simulate("lorenz96", 2, 3, steps=40, parameters=own, engine="torch")
    observed = pyvda.observe(
        truth, seed=1, variance=1.0, every=2, components=list(range(0, size, 2))
    )
    julia, torch = (
        pyvda.assimilate(observed, model=model, method="posterior-mean", engine=engine)["analysis"]
        for engine in ("julia", "torch")
    )
    np.testing.assert_allclose(julia, torch, atol=1e-8)
    assert float(np.sqrt(((julia - truth["truth"]) ** 2).mean())) < near  # the noise is 1


@pytest.mark.parametrize(
    ("option", "value"), [("lead", 1001), ("draws", 2**70), ("members", 2**70)]
)
def test_what_no_memory_holds_is_refused(option: str, value: int) -> None:
    with pytest.raises(InputError, match=rf"{option}.*less than or equal to") as refused:
        configured("posterior-mean", {option: value})
    assert "\n" not in str(refused.value)
