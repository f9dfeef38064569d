"""Windows that are wrong say so; windows of the standard setting do not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas
import pytest
from problems import twin_problem

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.judgements import alternatives
from pyvda.judgements.judge import judged_solution
from pyvda.learned.description import Pattern
from pyvda.methods import Solution, gauss_newton, posterior_mean, strong_constraint
from pyvda.methods.gauss_newton import GaussNewtonOptions
from pyvda.methods.learned import LearnedOptions
from pyvda.methods.strong_constraint import StrongConstraintOptions
from pyvda.names import Doubt, Status

pytestmark = pytest.mark.julia
WINDOWS = 12


@pytest.fixture(scope="module")
def truth() -> Any:
    return pyvda.simulate("lorenz63", WINDOWS, 41)


def observed(truth: Any, component: int, steps: Sequence[int]) -> Any:
    """Return observations of one component at some steps, with an error variance of 2."""
    x = truth["truth"].values
    y = np.full(x.shape, np.nan)
    noise = np.random.default_rng(42).standard_normal((len(x), len(steps)))
    y[:, list(steps), component] = x[:, list(steps), component] + np.sqrt(2) * noise
    found = truth.drop_vars("truth").assign({names.OBSERVATION: (names.DIMENSIONS, y)})
    return found.assign_attrs(observation_error_variance=2.0)


def is_covered(analysis: Any, truth: Any) -> np.ndarray:
    """Return whether the mean squared error is below nine times the stated variance, (W,)."""
    error = ((analysis["analysis"].values - truth["truth"].values) ** 2).mean((1, 2))
    return error < 9 * (analysis["state_stdev"].values ** 2).mean((1, 2))


@pytest.mark.parametrize("method", ["strong-constraint", "ensemble-smoother"])
def test_standard_windows_are_not_in_doubt(truth: Any, method: str) -> None:
    found = pyvda.assimilate(observed(truth, 0, range(0, 200, 8)), method=method)
    assert (found["status"] == Status.CONVERGED).all()
    assert not found["doubts"].any()
    assert abs(found["fit"].mean() - 1) < 4 * np.sqrt(2 / 25 / WINDOWS)


@pytest.mark.parametrize("method", ["strong-constraint", "gauss-newton"])
def test_the_spread_of_a_bent_posterior_is_that_of_its_samples(method: str) -> None:
    problem = twin_problem("lorenz63-blanked", 192)
    posterior = posterior_mean.solve(problem, posterior_mean.PosteriorMeanOptions())
    options, solve = {
        "strong-constraint": (StrongConstraintOptions(), strong_constraint.solve),
        "gauss-newton": (
            GaussNewtonOptions(form="statistical").for_variance(2.0), gauss_newton.solve,
        ),
    }[method]  # fmt: skip
    found = solve(problem, options)
    own = judged_solution(problem, options, found)
    apart = (posterior.x - found.x) ** 2
    error = posterior.stdev**2 + apart
    known = (posterior.status == Status.CONVERGED) & (own.status == Status.CONVERGED)
    known &= apart.mean((1, 2)) < 4 * (posterior.stdev**2).mean((1, 2))  # not in another minimum
    assert known.mean() > 0.95
    before, after = (np.mean((error / one.stdev**2)[known, 8:24]) for one in (found, own))
    assert before > 1.25  # no data have come yet, or few
    assert abs(after - 1) < 0.15
    assert (own.x == found.x).all()


def test_an_unknown_sign_is_ambiguous_and_covered(truth: Any) -> None:
    found = pyvda.assimilate(observed(truth, 2, range(0, 200, 8)), method="strong-constraint")
    assert (found["status"] == Status.AMBIGUOUS).all()
    assert is_covered(found, truth).all()


def as_points(data: Any) -> Any:
    """Return the same observations, of the same steps in all windows, as data at any times."""
    y = data[names.OBSERVATION].values
    step, component = np.nonzero(np.isfinite(y[0]))
    along, shape = (names.WINDOW, names.DATUM), (len(y), len(step))
    rows = np.broadcast_to(np.eye(3)[component], (*shape, 3))
    return data.assign(
        {
            names.OBSERVATION: data[names.OBSERVATION] * np.nan,
            names.POINT_TIME: (along, np.broadcast_to(data["time"].values[step], shape)),
            names.POINT_OBSERVATION: (along, y[:, step, component]),
            names.POINT_OPERATOR: ((*along, names.STATE), rows),
        }
    )


@pytest.mark.parametrize(("component", "steps"), [(2, range(0, 200, 8)), (0, (64, 128))])
def test_data_at_any_times_leave_the_other_states_that_data_on_the_grid_leave(
    truth: Any, component: int, steps: Sequence[int]
) -> None:
    data = observed(truth, component, steps).isel(window=slice(4))
    expected, found = (
        pyvda.assimilate(one, method="strong-constraint") for one in (data, as_points(data))
    )
    assert (expected["status"] == Status.AMBIGUOUS).any()
    np.testing.assert_array_equal(found["doubts"], expected["doubts"])
    np.testing.assert_allclose(found["state_stdev"], expected["state_stdev"], rtol=1e-3)


def test_two_data_leave_other_states(truth: Any) -> None:
    data = observed(truth, 0, range(64, 129, 64))
    found = pyvda.assimilate(data, method="strong-constraint")
    assert (is_covered(found, truth) | (found["status"].values != Status.CONVERGED)).all()
    assert (found["status"] == Status.AMBIGUOUS).mean() > 0.5


def test_a_minimum_on_the_wrong_side_of_a_gap_is_covered(truth: Any) -> None:
    data = observed(truth, 0, [*range(0, 50, 8), *range(152, 200, 8)])
    found = pyvda.assimilate(data, method="annealed")
    error = ((found["analysis"].values - truth["truth"].values) ** 2).mean((1, 2))
    assert error.max() > 20
    assert is_covered(found, truth).all()


def test_the_spread_is_at_most_the_climatology_s(truth: Any) -> None:
    data = observed(truth, 0, range(0, 89, 8))
    found = pyvda.assimilate(data, method="gauss-newton", form="statistical")
    limit = np.sqrt(climatology(pyvda.get_model("lorenz63")).variance)
    assert (found["state_stdev"].values <= limit * (1 + 1e-12)).all()
    assert (is_covered(found, truth) | (found["status"].values != Status.CONVERGED)).all()


def test_a_stuck_sensor_is_doubtful_with_every_method(truth: Any) -> None:
    data = observed(truth, 0, range(0, 200, 8))
    data["observation"][3, 64:129:8, 0] = data["observation"][3, 64, 0]
    for method in ("strong-constraint", "gauss-newton"):
        found = pyvda.assimilate(data, method=method)
        assert int(found["doubts"][3]) & Doubt.EQUAL_VALUES
        assert found["status"][3] == Status.DOUBTFUL


def solution(problem: Any, **per_window: Any) -> Solution:
    """Return a solution that is the truth, with a spread of 0.5."""
    windows = len(problem.batch)
    x = problem.batch.truth
    return Solution(
        x, np.zeros(windows, int), np.ones(windows, int), stdev=np.full(x.shape, 0.5),
        per_window=per_window,
    )  # fmt: skip


def test_misfits_too_small_and_status_of_other_methods() -> None:
    problem = twin_problem("lorenz63", 4)
    objective = np.array([12.5, 1.0, np.nan, 12.5])
    given = replace(
        solution(problem, objective=objective),
        status=np.array([Status.ITERATION_LIMIT, 0, Status.DIVERGED, Status.DOUBTFUL]),
    )
    found = judged_solution(problem, StrongConstraintOptions(), given)
    assert found.status.tolist() == [Status.ITERATION_LIMIT, 4, Status.DIVERGED, 4]
    assert found.per_window[names.DOUBTS].tolist() == [0, 2, 0, 1]
    np.testing.assert_allclose(found.per_window[names.FIT], objective / 12.5)


@pytest.mark.parametrize("method", ["ensemble-smoother", "letkf"])
def test_data_at_any_times_have_a_fit_and_a_bias(method: str) -> None:
    truth, random = pyvda.simulate("lorenz63", 1, 43)["truth"].values[0], np.random.default_rng(44)
    steps, component = np.sort(random.uniform(0, 199, 120)), random.integers(0, 3, 120)
    steps[0] = 0.0
    x = np.array([np.interp(t, np.arange(200), truth[:, k]) for t, k in zip(steps, component,
                  strict=True)])  # fmt: skip
    data = {"time": 0.01 * steps, "component": component}
    y = x + np.sqrt(2) * random.standard_normal(120)
    keywords: dict[str, Any] = {
        "model": "lorenz63", "method": method, "grid_step": 0.01, "observation_variance": 2.0,
    }  # fmt: skip
    found = pyvda.assimilate(pandas.DataFrame({**data, "value": y}), **keywords)
    assert abs(found["fit"].values.item() - 1) < 4 * np.sqrt(2 / 120)
    assert found["status"].values.item() == Status.CONVERGED
    found = pyvda.assimilate(pandas.DataFrame({**data, "value": y + 2}), **keywords)
    assert found["status"].values.item() == Status.DOUBTFUL
    assert "the data at points have the mean" in found.attrs["pyvda_report"]


def test_a_spread_that_no_hessian_gives_is_the_climatology_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alternatives, "has_library", lambda problem: False)
    problem = twin_problem("lorenz63", 3)
    stdev = np.full(problem.batch.truth.shape, 0.5)
    stdev[1, 150:] = np.nan
    given = replace(solution(problem, objective=np.full(3, 12.5)), stdev=stdev)
    lost = replace(given, status=np.array([0, 0, Status.DIVERGED]))
    lost.stdev[2] = np.nan
    found = judged_solution(problem, StrongConstraintOptions(), lost)
    assert found.stdev is not None
    variance = climatology(problem.model).variance
    np.testing.assert_allclose(found.stdev[1, 150:] ** 2, np.broadcast_to(variance, (50, 3)))
    assert (found.stdev[1, :150] == 0.5).all()
    assert np.isnan(found.stdev[2]).all()
    assert found.per_window[names.DOUBTS].tolist() == [0, Doubt.SPREAD_LIMITED, 0]
    assert found.status.tolist() == [0, 0, Status.DIVERGED]


def test_a_background_of_the_user_s_limits_no_spread() -> None:
    problem = twin_problem("lorenz63", 2)
    wide = replace(solution(problem), stdev=np.full(problem.batch.truth.shape, 1e3))
    found = judged_solution(problem, StrongConstraintOptions(background="flat"), wide)
    assert found.stdev is wide.stdev


def test_learned_windows_of_another_pattern_are_doubtful() -> None:
    problem = twin_problem("lorenz63", 3)
    mask = np.array(problem.batch.mask)
    mask[1, 100:] = 0
    problem = replace(problem, batch=replace(problem.batch, mask=mask))
    found = judged_solution(
        problem,
        LearnedOptions(checkpoint="lorenz63-direct"),
        replace(solution(problem), stdev=None),
    )
    assert found.status.tolist() == [0, Status.DOUBTFUL, 0]
    assert found.per_window[names.DOUBTS].tolist() == [0, Doubt.OTHER_PATTERN, 0]
    assert isinstance(LearnedOptions(checkpoint="lorenz63-direct").pattern(), Pattern)
