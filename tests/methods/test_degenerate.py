"""Sampling methods on windows with no, one or all data observed, or with absurd data.

The other methods are tested on such windows in their own files.
"""

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem

from pyvda.climate.climatology import climatology
from pyvda.errors import InputError
from pyvda.methods import METHODS, Problem, Solution, Status
from pyvda.models.registry import get_model
from pyvda.state import windows
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia
MODEL = get_model("lorenz63")
OPTIONS = {
    "annealed": {"restarts": 1, "hops": 1},
    "posterior-mean": {},
    "ensemble-smoother": {"members": 40},
}
each_method = pytest.mark.parametrize("method", OPTIONS)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 5)


def solved(method: str, problem: Problem, **options: object) -> Solution:
    _, kind, solve = METHODS[method]
    return solve(problem, kind(**(OPTIONS[method] | options)))


def with_data(problem: Problem, observation: np.ndarray, mask: np.ndarray) -> Problem:
    batch = problem.batch
    guess = windows.first_guess(observation, mask, climatology(MODEL).mean)
    return replace(problem, batch=Batch(observation, mask, guess, batch.truth))


@each_method
def test_nothing_observed_is_the_climatology_and_flagged(problem: Problem, method: str) -> None:
    mask = np.asarray(problem.batch.mask).copy()
    mask[3] = 0
    found = solved(method, with_data(problem, problem.batch.observation * (mask > 0), mask))
    known = climatology(MODEL)
    assert found.status.tolist() == [0, 0, 0, Status.NO_OBSERVATIONS, 0]
    np.testing.assert_array_equal(found.x[3], np.broadcast_to(known.mean, (200, 3)))
    np.testing.assert_array_equal(found.stdev[3, 9], np.sqrt(np.diag(known.covariance)))


@each_method
def test_one_observation_is_fitted_within_its_error(problem: Problem, method: str) -> None:
    mask = np.zeros_like(problem.batch.mask)
    mask[:, 100, 0] = 4.0  # an error variance of 0.5
    found = solved(method, with_data(problem, np.where(mask > 0, 5.0, 0.0), mask))
    assert (found.status == Status.CONVERGED).all()
    assert (np.abs(found.x[:, 100, 0] - 5.0) < 1.0).all()
    # Of the datum less than its error is left, of a component that it hardly tells of more.
    assert (found.stdev[:, 100, 0] < 0.8).all()
    assert np.isfinite(found.x).all()
    assert np.isfinite(found.stdev).all()


@each_method
def test_everything_observed_is_followed_closely(problem: Problem, method: str) -> None:
    truth = np.asarray(problem.batch.truth)
    noise = np.sqrt(2) * np.random.default_rng(1).standard_normal(truth.shape)
    found = solved(method, with_data(problem, truth + noise, np.ones_like(truth)))
    error = np.mean((found.x - truth) ** 2, axis=(1, 2))
    assert (error < 0.04).all()  # of an error variance of 2
    # So much data leave few members of a library any weight: some windows are then in doubt.
    allowed = {Status.CONVERGED, Status.DOUBTFUL} if method == "posterior-mean" else {0}
    assert set(found.status) <= allowed
    assert np.mean((found.x - truth) ** 2 / found.stdev**2) < 2


@pytest.mark.parametrize("datum", [1e3, 1e20, 1e200])
@each_method
def test_an_absurd_datum_is_flagged_and_does_not_affect_other_windows(
    problem: Problem, method: str, datum: float
) -> None:
    observation = np.asarray(problem.batch.observation).copy()
    observation[2, np.flatnonzero(problem.batch.mask[2, :, 0])[3], 0] = datum
    found = solved(method, replace(problem, batch=replace(problem.batch, observation=observation)))
    assert found.status[2] in (Status.DOUBTFUL, Status.DIVERGED)
    assert (found.status[2] == Status.DIVERGED) == np.isnan(found.x[2]).any()
    others = np.array([0, 1, 3, 4])
    alone = solved(method, replace(problem, batch=problem.batch[others], numbers=others))
    np.testing.assert_array_equal(found.x[others], alone.x)
    np.testing.assert_array_equal(found.stdev[others], alone.stdev)
    np.testing.assert_array_equal(found.status[others], alone.status)


@each_method
def test_singular_errors_are_refused(problem: Problem, method: str, tmp_path) -> None:
    with pytest.raises(InputError, match="variance of the observations is 0"):
        solved(method, replace(problem, observation_variance=0.0))
    if method != "annealed":
        return  # the others have the attractor for a prior
    file = tmp_path / "background.npz"
    np.savez(file, mean=np.zeros(3), covariance=np.ones((3, 3)))
    with pytest.raises(InputError, match="covariance is singular"):
        solved(method, problem, background=str(file))
