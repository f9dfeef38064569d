"""Strong-constraint 4D-Var as a method: sums in julia/test/methods/strong_constraint.jl."""

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem
from scipy.optimize import minimize
from scipy.stats import chi2

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods import Problem, Status
from pyvda.methods.strong_constraint import StrongConstraintOptions, minima, solve
from pyvda.models.registry import get_model
from pyvda.settings import configured
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia
MODEL = get_model("lorenz63")


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 120)


@pytest.mark.parametrize(("preset", "limit"), [("lorenz63", 0.39), ("lorenz63-blanked", 0.58)])
def test_comes_near_the_limit_of_the_observations(preset: str, limit: float) -> None:
    problem = twin_problem(preset, 250)
    found = solve(problem, StrongConstraintOptions())
    square = (found.x - problem.batch.truth) ** 2
    assert square.mean() < 1.3 * limit
    right = found.status == Status.CONVERGED
    assert right.mean() > 0.95
    assert 0.6 < np.median(np.mean(square / found.stdev**2, (1, 2))[right]) < 1.2


def test_scipy_finds_nothing_lower(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[:2]._map(lambda a: a[:, :40]))
    known = climatology(MODEL)
    inverse = np.linalg.inv(known.covariance)
    found, _ = minima(part, StrongConstraintOptions(background_lead=0))

    def cost(x0: np.ndarray, window: int) -> float:
        x, total = x0, (x0 - known.mean) @ inverse @ (x0 - known.mean) / 2
        for y, mask in zip(part.batch.observation[window], part.batch.mask[window], strict=True):
            total += np.sum(mask * (y - x) ** 2) / 2.0 / 2
            x = part.engine.forecast(MODEL, x, time_step=0.01)
        return float(total)

    for window in range(2):
        best = found.control[window, 0]
        assert cost(best, window) == pytest.approx(found.objective[window, 0], rel=1e-10)
        polished = minimize(cost, best, args=(window,), method="Nelder-Mead", tol=1e-8)
        assert polished.fun > found.objective[window, 0] - 1e-6


def test_growing_the_window_leads_there_from_the_mean(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[:60])
    library = solve(part, StrongConstraintOptions()).per_window[names.OBJECTIVE]
    grown = solve(part, StrongConstraintOptions(starts="mean")).per_window[names.OBJECTIVE]
    at_once = solve(part, StrongConstraintOptions(starts="mean", growth=0)).per_window[
        names.OBJECTIVE
    ]
    assert np.mean(grown < library + 0.01) > 0.85
    assert np.mean(at_once < library + 0.01) < np.mean(grown < library + 0.01)


def test_growing_by_one_observation_time_ends_in_fewer_wrong_minima() -> None:
    own = {"K": 6, "J": 4}
    truth = pyvda.simulate("lorenz96-two-scale", 16, 5, steps=81, parameters=own)
    observed = pyvda.observe(
        truth, seed=6, variance=0.03, every=4, components=list(range(0, 30, 2))
    )  # fmt: skip
    model = get_model("lorenz96-two-scale", **own)
    by_four, by_sixteen = (
        pyvda.assimilate(observed, model=model, method="strong-constraint", **options)
        for options in ({}, {"growth": 16})
    )
    higher = (by_sixteen["objective"] - by_four["objective"]).values
    assert (higher > 1).sum() >= 3
    assert (higher < -1).sum() <= 1


def test_minima_are_ordered_and_distinct(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[:20])
    options = StrongConstraintOptions(starts="climatology", count=12, growth=0)
    found, distinct = minima(part, options)
    assert (np.diff(found.objective, axis=1) >= 0).all()
    assert (distinct.sum(1) >= 1).all()
    assert distinct.sum(1).max() > 1  # all at once from anywhere: several basins
    for window in range(20):
        controls = found.control[window, distinct[window]]
        gaps = np.linalg.norm(controls[:, None] - controls[None], axis=-1)
        assert (gaps[~np.eye(len(controls), dtype=bool)] > 0).all()
    best = solve(part, options)
    np.testing.assert_array_equal(best.per_window[names.OBJECTIVE], found.objective[:, 0])


def test_an_analysis_keeps_all_distinct_minima_on_request() -> None:
    truth = pyvda.simulate("lorenz63-blanked", 40, 5)
    observed = pyvda.observe(truth, "lorenz63-blanked", 6)
    settings = {"method": "strong-constraint", "count": 8}
    found = pyvda.assimilate(observed, minima=True, **settings)
    assert found["minimum_objective"].dims == ("window", "minimum")
    assert found["minimum_state"].dims == ("window", "minimum", "state")
    objective, state = found["minimum_objective"].values, found["minimum_state"].values
    counted = np.isfinite(objective).sum(1)
    assert counted.min() >= 1
    assert counted.max() > 1
    assert (np.diff(objective, axis=1)[np.isfinite(objective[:, 1:])] >= 0).all()
    np.testing.assert_array_equal(np.isfinite(state).all(2), np.isfinite(objective))
    converged = found["status"].values == Status.CONVERGED
    np.testing.assert_array_equal(objective[converged, 0], found["objective"].values[converged])
    np.testing.assert_array_equal(state[converged, 0], found["analysis"].values[converged, 0])
    blocks = pyvda.assimilate(observed.chunk(window=16), minima=True, **settings).load()
    np.testing.assert_allclose(blocks["minimum_objective"], objective, rtol=1e-9)
    assert "minimum_state" not in pyvda.assimilate(observed, **settings)


def test_the_background_may_come_from_a_file(problem: Problem, tmp_path) -> None:
    part = replace(problem, batch=problem.batch[:20])
    known = climatology(MODEL)
    file = tmp_path / "background.npz"
    np.savez(file, mean=known.mean, covariance=known.covariance)
    expected = solve(part, StrongConstraintOptions())
    # A given background is for the first step, the climatology for 20 steps before it.
    found = solve(part, StrongConstraintOptions(background=str(file), background_lead=20))
    # The damping is measured in the background's variances, here the same numbers but for rounding.
    np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=1e-9)
    np.savez(file, mean=known.mean, variance=1e-8 * np.ones(3))
    found = solve(part, StrongConstraintOptions(background=str(file), background_lead=0))
    np.testing.assert_allclose(found.x[:, 0], np.broadcast_to(known.mean, (20, 3)), atol=1e-2)
    np.savez(file, mean=known.mean, covariance=np.ones((3, 3)))
    with pytest.raises(InputError, match="singular"):
        solve(part, StrongConstraintOptions(background=str(file)))


def test_no_observation_is_climatology_and_one_is_fitted(problem: Problem) -> None:
    mask = np.zeros_like(problem.batch.mask[:2])
    mask[1, 100, 0] = 4.0  # an error variance of 0.5
    observation = np.where(mask > 0, 5.0, 0.0)
    batch = replace(problem.batch[:2], observation=observation, mask=mask)
    found = solve(replace(problem, batch=batch), StrongConstraintOptions())
    known = climatology(MODEL)
    assert found.status.tolist() == [Status.NO_OBSERVATIONS, Status.AMBIGUOUS]
    np.testing.assert_array_equal(found.x[0], np.broadcast_to(known.mean, (200, 3)))
    np.testing.assert_array_equal(found.stdev[0, 7], np.sqrt(np.diag(known.covariance)))
    assert abs(found.x[1, 100, 0] - 5.0) < 0.5
    assert np.isnan(found.per_window[names.OBJECTIVE][0])


def test_a_window_that_nothing_explains_leaves_the_others_alone(problem: Problem) -> None:
    observation = problem.batch.observation[:12].copy()
    observation[2, 8, 0] = 1e3
    observation[5, 8, 0] = 1e200
    batch = replace(problem.batch[:12], observation=observation)
    found = solve(replace(problem, batch=batch), StrongConstraintOptions())
    expected = solve(replace(problem, batch=problem.batch[:12]), StrongConstraintOptions())
    assert found.status[2] == Status.DOUBTFUL
    assert found.status[5] == Status.DIVERGED
    others = [0, 1, 3, 4, *range(6, 12)]
    np.testing.assert_array_equal(found.x[others], expected.x[others])
    np.testing.assert_array_equal(found.stdev[others], expected.stdev[others])


def test_lorenz96_over_a_short_window() -> None:
    problem = twin_problem("lorenz96", 5)
    short = replace(problem, batch=problem.batch._map(lambda a: a[:, :40]))
    found = solve(short, StrongConstraintOptions())
    square = (found.x - short.batch.truth) ** 2
    assert np.median(square.mean((1, 2))) < 0.6  # of a climatological variance of 13
    assert 0.4 < np.median(np.mean(square / found.stdev**2, (1, 2))) < 2


def test_impossible_options_are_refused(problem: Problem) -> None:
    with pytest.raises(InputError, match="observation_variance"):
        solve(replace(problem, observation_variance=None), StrongConstraintOptions())
    large = twin_problem("lorenz96", 1)
    with pytest.raises(InputError, match="40 components"):
        solve(large, StrongConstraintOptions(starts="library"))


@pytest.mark.parametrize("starts", ["library", "mean", "climatology"])
def test_starts_that_ignore_a_warm_start_are_refused(problem: Problem, starts: str) -> None:
    with pytest.raises(InputError, match=f"warm start was given, but starts is {starts}"):
        solve(replace(problem, warm=True), StrongConstraintOptions(starts=starts))


def test_a_count_with_one_start_is_refused(problem: Problem) -> None:
    with pytest.raises(
        InputError, match="count is 5, but with strong-constraint starts mean gives one start"
    ):
        solve(problem, StrongConstraintOptions(starts="mean", count=5))
    with pytest.raises(InputError, match="starts first-guess gives one start"):
        solve(replace(problem, warm=True), StrongConstraintOptions(count=2))


def test_a_background_too_far_ahead(problem: Problem) -> None:
    with pytest.raises(InputError, match="background_lead is 3000"):
        configured("strong-constraint", {"background_lead": 3000})
    with pytest.raises(InputError, match="seed is -1"):
        configured("strong-constraint", {"seed": -1})
    few = replace(problem, batch=problem.batch[:3])
    found = solve(few, StrongConstraintOptions(starts="mean", background_lead=1000))
    finite = np.isfinite(found.x).all((1, 2))
    np.testing.assert_array_equal(~finite, found.status == Status.DIVERGED)


def test_a_hessian_that_is_not_finite_is_a_divergence(problem: Problem, monkeypatch) -> None:
    minimise = problem.engine.strong_constraint

    def spoilt(*arguments, **options):
        found = minimise(*arguments, **options)
        found.hessian[1] = np.nan
        return found

    few = replace(problem, batch=problem.batch[:3])
    expected = solve(few, StrongConstraintOptions())
    monkeypatch.setattr(problem.engine, "strong_constraint", spoilt)
    found = solve(few, StrongConstraintOptions())
    assert found.status[1] == Status.DIVERGED
    assert np.isnan(found.x[1]).all()
    np.testing.assert_array_equal(found.x[[0, 2]], expected.x[[0, 2]])


def test_the_file_has_objective_and_limit() -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 5), "lorenz63", 6)
    analysis = pyvda.assimilate(observed, method="strong-constraint", members=10_000)
    assert (analysis["objective"] > 0).all()
    assert analysis["chi_square_limit"].values == pytest.approx(chi2.isf(1 / 2450, 25) / 2)
    assert (analysis["state_stdev"] > 0).all()


def test_the_spread_covers_another_past_before_the_first_datum() -> None:
    """Trajectories from both lobes meet before step 16: the data cannot tell where x came from."""
    engine = get_engine("julia")
    truth = engine.simulate(MODEL, np.array([[9.91, 0.6, 37.33]]), time_step=0.01, steps=200)
    mask = np.zeros_like(truth)
    mask[:, 16:185:8, 0] = 1.0
    batch = Batch(truth * mask, mask, np.zeros_like(truth))
    problem = Problem(batch, MODEL, CostSettings(time_step=0.01), engine, 2.0)
    found = solve(problem, StrongConstraintOptions())
    assert found.stdev[0, 0, 0] > 2.0
