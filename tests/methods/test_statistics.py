"""Error variances, misfits and the limit above which a window is in doubt."""

from dataclasses import replace

import numpy as np
import pytest
from problems import random_points, twin_problem
from scipy.stats import chi2

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.methods import METHODS
from pyvda.methods.problem import Problem, Status
from pyvda.methods.statistics import (
    CyclingOptions,
    background_of,
    chi_square_limit,
    half_misfit,
    half_point_misfit,
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.methods.strong_constraint_options import StrongConstraintOptions
from pyvda.operators import Spectral, power
from pyvda.operators.points import Points


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 3, steps=10, engine="torch")


def test_the_limit_is_a_quantile_of_chi_square() -> None:
    data = np.array([0, 1, 7, 1000])
    found = chi_square_limit(data)
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], chi2(data[1:]).isf(1 / 2450) / 2, rtol=1e-9)


def test_correct_windows_exceed_it_as_rarely_as_it_says() -> None:
    errors = np.random.default_rng(0).standard_normal((200_000, 5))
    share = ((errors**2).sum(1) / 2 > chi_square_limit(np.array(5))).mean()
    assert share == pytest.approx(1 / 2450, rel=0.35)  # 82 expected, four standard deviations


def test_only_windows_with_an_analysis_are_in_doubt() -> None:
    usual = [Status.CONVERGED, Status.ITERATION_LIMIT, Status.DIVERGED, Status.NO_OBSERVATIONS]
    status, limit = judged(np.array(usual), np.full(4, 1e9), np.full(4, 10))
    assert status.tolist() == [Status.DOUBTFUL, Status.DOUBTFUL, *usual[2:]]
    assert judged(np.array(usual), limit, np.full(4, 10))[0].tolist() == usual
    unknown, _ = judged(np.array([0]), np.array([np.nan]), np.array([10]))
    assert unknown.tolist() == [0]


def test_the_option_comes_before_the_file(problem) -> None:
    assert variance_of(problem, None) == 2.0
    assert variance_of(problem, 0.5) == 0.5
    np.testing.assert_allclose(precision_of(problem, 0.5), 2 * np.asarray(problem.batch.mask))
    with pytest.raises(InputError, match="does not state how large the observation errors are"):
        variance_of(replace(problem, observation_variance=None), None)
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="expected a positive number"):
            variance_of(replace(problem, observation_variance=bad), None)


def test_misfits_are_half_the_squares_in_units_of_the_errors() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 3, 4, 2))
    precision = rng.uniform(0, 2, x.shape) * (rng.random(x.shape) < 0.5)
    expected = [
        sum(precision[w, t, i] * (x[w, t, i] - y[w, t, i]) ** 2 for t in range(4) for i in range(2))
        / 2
        for w in range(3)
    ]
    np.testing.assert_allclose(half_misfit(precision, x, y), expected, rtol=1e-13)


def test_misfits_of_data_at_arbitrary_times(problem) -> None:
    points = random_points(3, count=3, steps=9)
    points = Points(points.step, 0 * np.asarray(points.fraction), *vars_of(points))
    with_points = replace(problem, batch=replace(problem.batch, points=points))
    x = np.asarray(problem.batch.truth).copy()
    seen = x[np.arange(3)[:, None], points.step]
    misfit = (seen * points.operator).sum(-1) - points.value
    expected = (points.weight * misfit**2).sum(1) / (2 * 1.5)
    np.testing.assert_allclose(half_point_misfit(with_points, x, 1.5), expected, rtol=1e-12)
    x[1, 3] = np.inf
    found = half_point_misfit(with_points, x, 1.5)
    assert np.isnan(found).tolist() == [False, True, False]
    assert not half_point_misfit(problem, x, 1.5).any()


def vars_of(points: Points) -> tuple:
    return points.value, points.weight, points.operator


def test_windows_without_observations_are_the_climatology(problem) -> None:
    x, stdev, status = without_observations(problem)
    assert np.isnan(x).all()
    assert np.isnan(stdev).all()
    assert (status == Status.NO_OBSERVATIONS).all()
    mask = np.asarray(problem.batch.mask).copy()
    mask[1] = 0
    known = climatology(problem.model, problem.engine)
    x, stdev, _ = without_observations(replace(problem, batch=replace(problem.batch, mask=mask)))
    np.testing.assert_array_equal(x[1, 4], known.mean)
    np.testing.assert_allclose(stdev[1, 4] ** 2, np.diag(known.covariance), rtol=1e-13)


def test_covariances_are_written_for_small_problems_only() -> None:
    class Usual(CyclingOptions):
        def has_stdev(self) -> bool:
            return True

    for windows, size, expected in ((100, 100, True), (101, 3, False), (1, 101, False)):
        assert Usual().for_problem(windows, size).final_covariance is expected
    assert Usual(final_covariance=True).for_problem(10**6, 10**6).final_covariance is True
    assert CyclingOptions().for_problem(1, 1).final_covariance is False  # has no stdev


def test_the_expected_state_is_the_background_s_mean(problem) -> None:
    known = climatology(problem.model, problem.engine).mean
    for name in ("climatology", "flat"):
        found = CyclingOptions(background=name).expected_state(problem.model, problem.engine)
        np.testing.assert_array_equal(found, known)
    given = CyclingOptions(background=(np.arange(3.0), np.eye(3)))
    np.testing.assert_array_equal(given.expected_state(problem.model, problem.engine), [0, 1, 2])


@pytest.mark.parametrize("method", ["strong-constraint", "gauss-newton"])
def test_a_covariance_with_walls_is_refused_for_what_it_is(method) -> None:
    model, engine = pyvda.get_model("quasi-geostrophic", n=9), get_engine("torch")
    B = Spectral((9, 9), power(2.0, 3.0), boundary="wall")
    form = {"form": "statistical"} if method == "gauss-newton" else {}
    options = METHODS[method].options(covariance=B, background=(np.zeros(81), np.eye(81)), **form)
    with pytest.raises(InputError, match="no variance at 32 of 81 components") as refused:
        background_of(options, model, engine)
    assert "--method incremental" in str(refused.value)
    assert "diagonal" not in str(refused.value)


@pytest.mark.parametrize("method", ["strong-constraint", "gauss-newton"])
def test_a_covariance_of_a_large_state_without_a_background(method) -> None:
    model, engine = pyvda.get_model("quasi-geostrophic", n=65), get_engine("torch")
    form = {"form": "statistical"} if method == "gauss-newton" else {}
    B = Spectral((65, 65), power(2.0, 3.0), boundary="wall")
    with pytest.raises(
        InputError, match="cannot take the climatology of a state of 4225"
    ) as refused:
        background_of(METHODS[method].options(covariance=B, **form), model, engine)
    assert "--method incremental" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_covariance_replaces_that_of_the_background() -> None:
    model, engine = pyvda.get_model("lorenz63"), get_engine("torch")
    B = np.eye(3) + 0.3

    def found(**options):
        return background_of(StrongConstraintOptions(**options), model, engine)

    both = found(background=(np.ones(3), 5 * np.eye(3)), covariance=B)
    np.testing.assert_array_equal(both.mean, np.ones(3))
    np.testing.assert_allclose(both.precision, np.linalg.inv(B))
    with pytest.raises(InputError, match="a covariance was given, but the background is none"):
        found(background="none", covariance=B)
    with pytest.raises(InputError, match="a covariance of 2 components"):
        found(background=(np.ones(3), B), covariance=[1.0, 2.0])
