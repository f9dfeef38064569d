"""The ensemble smoother as a method: numbers in julia/test/methods/ensemble_smoother.jl."""

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem
from scipy.stats import chi2

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.errors import InputError
from pyvda.methods import Problem, Status
from pyvda.methods.ensemble_smoother import EnsembleSmootherOptions, reflections, solve

pytestmark = pytest.mark.julia


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 60, engine="julia")


def test_lorenz63_is_followed_and_the_spread_is_right(problem: Problem) -> None:
    found = solve(problem, EnsembleSmootherOptions())
    error = found.x - problem.batch.truth
    assert (found.status == Status.CONVERGED).all()
    assert (found.iterations == 1).all()
    assert np.mean(error**2) < 0.7  # 0.51 over 300 windows; the plain smoother has 0.69
    assert 0.7 < np.mean((error / found.stdev) ** 2) < 1.5


def test_lorenz96_is_followed(tmp_path) -> None:
    problem = twin_problem("lorenz96", 4, engine="julia")
    options = EnsembleSmootherOptions(members=200, inflation=1.03, lag=8)
    found = solve(problem, options)
    assert np.mean((found.x - problem.batch.truth) ** 2) < 1.0  # climatology has 13


@pytest.mark.parametrize(
    ("preset", "count", "common"),
    [("lorenz63", 60, {}), ("lorenz96", 4, {"lag": 8, "inflation": 1.04})],
)
def test_going_back_is_better_than_the_plain_smoother(
    preset: str, count: int, common: dict[str, float]
) -> None:
    problem = twin_problem(preset, count, engine="julia")
    plain = solve(problem, EnsembleSmootherOptions(depth=0, **common)).x - problem.batch.truth
    back = solve(problem, EnsembleSmootherOptions(**common)).x - problem.batch.truth
    assert np.mean(back**2) < 0.9 * np.mean(plain**2)


def test_a_window_is_the_same_alone(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[[3, 40]])
    whole = solve(problem, EnsembleSmootherOptions(members=20))
    np.testing.assert_array_equal(
        solve(part, EnsembleSmootherOptions(members=20)).x, whole.x[[3, 40]]
    )
    other = solve(part, EnsembleSmootherOptions(members=20, seed=1))
    assert np.abs(other.x - whole.x[[3, 40]]).max() > 0


def test_no_observation_is_climatology_and_one_is_near_its_datum(problem: Problem) -> None:
    mask = np.zeros_like(problem.batch.mask[:2])
    mask[1, 100, 0] = 4.0  # an error variance of 0.5
    observation = np.where(mask > 0, 5.0, 0.0)
    batch = replace(problem.batch[:2], observation=observation, mask=mask)
    found = solve(replace(problem, batch=batch), EnsembleSmootherOptions())
    known = climatology(problem.model)
    assert found.status.tolist() == [Status.NO_OBSERVATIONS, Status.CONVERGED]
    np.testing.assert_array_equal(found.x[0], np.broadcast_to(known.mean, (200, 3)))
    np.testing.assert_array_equal(found.stdev[0, 7], np.sqrt(np.diag(known.covariance)))
    assert abs(found.x[1, 100, 0] - 5.0) < 0.5
    assert 0.4 < found.stdev[1, 100, 0] < 0.75
    assert found.iterations.tolist() == [0, 1]


def test_a_window_that_diverges_leaves_the_others_alone(problem: Problem) -> None:
    observation = problem.batch.observation[:4].copy()
    observation[2, 8, 0] = 1e200
    batch = replace(problem.batch[:4], observation=observation)
    found = solve(replace(problem, batch=batch), EnsembleSmootherOptions(members=20))
    assert found.status.tolist() == [0, 0, Status.DIVERGED, 0]
    expected = solve(replace(problem, batch=problem.batch[:4]), EnsembleSmootherOptions(members=20))
    np.testing.assert_array_equal(found.x[[0, 1, 3]], expected.x[[0, 1, 3]])


def test_a_window_that_contradicts_the_model_is_doubtful(problem: Problem) -> None:
    observation = problem.batch.observation[:4].copy()
    at = np.flatnonzero(problem.batch.mask[2].any(1))
    observation[2, at[::2], 0] += 15.0
    found = solve(
        replace(problem, batch=replace(problem.batch[:4], observation=observation)),
        EnsembleSmootherOptions(),
    )
    distance = np.where(problem.batch.mask[:4] > 0, found.x - observation, 0.0)
    misfit, limit = found.per_window["misfit"], found.per_window["chi_square_limit"]
    np.testing.assert_allclose(misfit, (distance**2).sum((1, 2)) / 2 / 2.0)  # R is 2
    np.testing.assert_allclose(limit[2], chi2.isf(1 / 2450, len(at)) / 2, rtol=1e-3)
    assert found.status[2] == Status.DOUBTFUL
    np.testing.assert_array_equal(found.status == Status.DOUBTFUL, misfit > limit)


def test_reflections_keep_mean_and_covariance() -> None:
    for v in reflections(30, 7, 3):
        np.testing.assert_allclose(v @ v.T, np.eye(7), atol=1e-13)
        np.testing.assert_allclose(v.sum(1), 0, atol=1e-13)


def test_missing_options_are_named(problem: Problem) -> None:
    with pytest.raises(InputError, match="observation_variance"):
        solve(replace(problem, observation_variance=None), EnsembleSmootherOptions())
    with pytest.raises(InputError, match="variance of the observations is 0"):
        solve(replace(problem, observation_variance=0.0), EnsembleSmootherOptions())
    with pytest.raises(ValueError, match="inflation"):
        EnsembleSmootherOptions(inflation=0.9)


def test_the_file_has_the_spread(problem: Problem) -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 5), "lorenz63", 6)
    analysis = pyvda.assimilate(observed, method="ensemble-smoother", members=20)
    assert (analysis["state_stdev"] > 0).all()


def test_defaults_of_larger_states_give_a_spread_as_large_as_the_error() -> None:
    assert EnsembleSmootherOptions().for_problem(4, 3).members == 100
    options = EnsembleSmootherOptions().for_problem(4, 40)
    assert (options.members, options.inflation, options.lag) == (200, 1.05, 8)
    assert EnsembleSmootherOptions(lag=3).for_problem(4, 40).inflation == 1
    assert EnsembleSmootherOptions().for_problem(1, 16641).members == 100
    problem = twin_problem("lorenz96", 4)
    found = solve(problem, options)
    assert found.stdev is not None
    ratio = ((found.x - problem.batch.truth) / found.stdev) ** 2
    assert 0.7 < ratio.mean() < 1.4
