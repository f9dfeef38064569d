"""Minima of several starts: their order, and which of them are the same."""

import numpy as np
import pytest
from problems import twin_problem

from pyvda.climate.climatology import climatology
from pyvda.engine.data import Minima
from pyvda.methods.minima import (
    COVERED,
    NEARLY,
    all_minima,
    covering,
    minimised,
    ordered,
    prior_of,
    rivals,
)
from pyvda.methods.problem import Problem
from pyvda.methods.strong_constraint import StrongConstraintOptions
from pyvda.names import Status


def minima(objective: list[float], control: list[float], status: list[int]) -> Minima:
    """One window whose Hessian is 4, so that a posterior standard deviation is a half."""
    count = len(objective)
    return Minima(
        np.reshape(control, (1, count, 1)), np.full((1, count, 1, 1), 4.0),
        np.reshape(objective, (1, count)), np.arange(count)[None], np.reshape(status, (1, count)),
    )  # fmt: skip


def test_the_lowest_comes_first_and_what_is_not_finite_last() -> None:
    found, distinct = ordered(minima([3.0, np.nan, 1.0, 2.0], [30, 40, 10, 20], [0, 3, 0, 0]))
    assert found.control[0, :, 0].tolist() == [10, 20, 30, 40]
    assert found.iterations[0].tolist() == [2, 3, 0, 1]
    assert distinct[0].tolist() == [True, True, True, False]


def test_minima_nearer_than_a_thousandth_of_a_deviation_are_the_same() -> None:
    near, far = 0.9e-3 * 0.5, 1.1e-3 * 0.5
    _, distinct = ordered(minima([1.0, 1.1, 1.2], [0.0, near, far], [0, 0, 0]))
    assert distinct[0].tolist() == [True, False, True]
    # What did not converge is no minimum, and nothing is the same as it.
    _, distinct = ordered(minima([1.0, 1.1], [0.0, near], [Status.ITERATION_LIMIT, 0]))
    assert distinct[0].tolist() == [False, True]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 3, steps=60, engine="torch")


def test_all_distinct_minima_are_stationary_points(problem) -> None:
    options = StrongConstraintOptions(starts="climatology", count=4, growth=8, minima=True)
    found = minimised(problem, options)
    kept = all_minima(problem, options, found)
    objective, state = kept["minimum_objective"], kept["minimum_state"]
    assert objective.shape == (3, 4)
    assert np.isfinite(objective[:, 0]).all()
    assert (np.diff(objective, axis=1)[np.isfinite(np.diff(objective, axis=1))] >= 0).all()
    np.testing.assert_array_equal(np.isnan(objective), np.isnan(state).all(2))
    np.testing.assert_allclose(objective[:, 0], np.nanmin(found.objective, axis=1), rtol=1e-12)
    # Each is one of the controls that were found, `lead` steps later.
    prior = prior_of(problem, options)
    precision = np.asarray(problem.batch.mask) / 2.0
    best = found.control[np.arange(3), found.objective.argmin(1)]
    J, g = problem.engine.strong_objective(
        problem.model, problem.cost, best, problem.batch.observation, precision, prior.mean,
        prior.precision, lead=20,
    )  # fmt: skip
    np.testing.assert_allclose(J, objective[:, 0], rtol=1e-10)
    assert np.abs(g).max() < 1e-2
    for _ in range(20):
        best = problem.engine.forecast(problem.model, best, time_step=0.01)
    np.testing.assert_allclose(best, state[:, 0], rtol=1e-9)


def test_the_prior_is_the_climatology_or_what_is_given(problem) -> None:
    known = climatology(problem.model, problem.engine)
    usual = prior_of(problem, StrongConstraintOptions())
    np.testing.assert_allclose(usual.mean, known.mean)
    np.testing.assert_allclose(usual.precision @ known.covariance, np.eye(3), atol=1e-8)
    flat = prior_of(problem, StrongConstraintOptions(background="flat"))
    assert not flat.precision.any()
    np.testing.assert_allclose(flat.variance, np.diag(known.covariance))
    B = np.diag([1.0, 4.0, 9.0])
    given = prior_of(problem, StrongConstraintOptions(background=(np.ones(3), B), parameters=True))
    np.testing.assert_allclose(given.mean[:3], 1.0)
    np.testing.assert_allclose(given.variance[:3], [1, 4, 9], rtol=1e-12)
    assert len(given.mean) == 6


def test_rivals_are_near_in_cost_and_far_in_state() -> None:
    # The best, near in both, near in cost, more costly, and one that did not converge.
    objective, control = [1.0, 1.5, 2.9, 3.1, 1.2], [0.0, 1.4, 1.6, 9.0, 9.0]
    found = minima(objective, control, [0, 0, 0, 0, int(Status.ITERATION_LIMIT)])
    best = np.array([0])
    assert rivals(found, best, NEARLY)[0].tolist() == [False, False, True, False, False]
    assert rivals(found, best, COVERED)[0].tolist() == [False, False, True, True, False]


def test_the_covering_spread_is_that_of_the_mixture(problem) -> None:
    options = StrongConstraintOptions(starts="climatology", count=2)
    start = problem.batch.truth[:, 0]
    other = start * [-1, -1, 1]
    control = np.stack([start, other], axis=1)
    hessian = np.broadcast_to(np.eye(3) * 25.0, (3, 2, 3, 3)).copy()
    objective = np.array([[1.0, 1.7]] * 3)
    found = Minima(control, hessian, objective, np.ones((3, 2), int), np.zeros((3, 2), int))
    best = np.zeros(3, int)
    near = np.array([[False, True], [False, False], [False, True]])
    options = options.model_copy(update={"background_lead": 0})
    spread, windows = covering(problem, options, found, best, near)
    assert windows.tolist() == [0, 2]
    # At the first step both have the standard deviation of the Hessian, 1/5.
    share = np.exp(-0.7) / (1 + np.exp(-0.7))
    expected = 0.04 + share * (other - start)[windows] ** 2
    np.testing.assert_allclose(spread[:, 0] ** 2, expected)
