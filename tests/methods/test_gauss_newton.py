"""Gauss-Newton: FSGD's and SciPy's minimum, both forms, and windows that go wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import (
    FEW_WINDOWS,
    MODELS,
    drawn_problem,
    random_points,
    random_windows,
    twin_problem,
)
from scipy.optimize import minimize
from scipy.stats import chi2

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.julia.objectives import shooting_objective
from pyvda.errors import InputError
from pyvda.judgements.judge import judged_solution
from pyvda.methods import Problem, Status, fsgd
from pyvda.methods.gauss_newton import GaussNewtonOptions, solve, spacing
from pyvda.models.model import Model
from pyvda.models.registry import get_model
from pyvda.settings import configured
from pyvda.state import windows
from pyvda.state.batch import Batch

pytestmark = pytest.mark.julia
STATISTICAL = GaussNewtonOptions(form="statistical", every=8, model_error=1e-2)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 12)


def cost_of(problem: Problem, x: np.ndarray):
    batch = problem.batch
    return problem.engine.cost(problem.model, problem.cost, x, batch.observation, batch.mask)


@pytest.mark.parametrize(("preset", "count"), FEW_WINDOWS.items())
def test_the_gradient_of_the_cost_vanishes(preset: str, count: int) -> None:
    problem = twin_problem(preset, count)
    found = solve(problem, GaussNewtonOptions())
    assert (found.status == Status.CONVERGED).all()
    first, last = cost_of(problem, problem.batch.first_guess), cost_of(problem, found.x)
    assert (last.gradient_norm <= 2e-8 * first.gradient_norm).all()
    assert found.per_window == {}  # what it minimised is the cost


@pytest.mark.parametrize("between_steps", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_its_gradient_is_that_of_fsgd_and_of_torch(name: str, between_steps: bool) -> None:
    model = get_model(name)
    x, y, mask = random_windows(model.state_size, 9, 14)
    mask[0, 0, 0] = 1.0  # without data the weights of `solve` are not defined
    points = random_points(model.state_size, 9, 14) if between_steps else None
    cost = CostSettings(model.time_step, 0.7, 1.3)
    julia, in_torch = (
        get_engine(engine).cost(model, cost, x, y, mask, points=points)
        for engine in ("julia", "torch")
    )
    # The weights of `solve`, each window's own.
    data = (mask > 0).sum((1, 2)) + (points.counted() if points is not None else 0)
    factor = 2 * cost.lambda1 / data
    if points is not None:
        points = replace(points, weight=points.weight * factor[:, None])
    none = np.zeros((model.state_size, model.state_size))
    value, gradient = shooting_objective(
        get_engine("julia"), model, cost, x, y, mask * factor[:, None, None], x[:, 0], none,
        weight=2 * cost.lambda2 / x[0, 1:].size, points=points,
    )  # fmt: skip
    np.testing.assert_allclose(value, julia.total, rtol=1e-12)
    for expected in (julia.gradient, in_torch.gradient):
        error = np.linalg.norm(gradient - expected, axis=(1, 2))
        assert (error <= 1e-12 * np.linalg.norm(expected, axis=(1, 2))).all()


def test_fsgd_tends_to_the_same_minimum() -> None:
    # Where the gradient has fallen to this, the cost may still fall by up to 5e-7 of itself.
    problem = twin_problem("lorenz63", 16)
    descended = fsgd.solve(problem, fsgd.FSGDOptions(iterations=100_000, tolerance=2e-6))
    there = descended.status == Status.CONVERGED
    cost = cost_of(problem, descended.x).total
    found = cost_of(problem, solve(problem, GaussNewtonOptions()).x).total
    assert there.sum() >= 8
    np.testing.assert_allclose(cost[there], found[there], rtol=1e-6)


def test_statistical_form_is_the_minimum_that_scipy_finds(problem: Problem) -> None:
    # A node at every step, R and q such that both weights are those of the cost (4), which the
    # torch side differentiates, plus the background, written out here.
    few = replace(problem, batch=problem.batch[:1]._map(lambda a: a[:, :40]))
    known = climatology(problem.model)
    B = np.linalg.inv(known.covariance)
    R, q = 2.0, 0.05
    count, terms = few.batch.mask.sum(), 39 * 3
    cost = CostSettings(0.01, lambda1=count / (2 * R), lambda2=terms / (2 * q))
    observation, mask = np.asarray(few.batch.observation), np.asarray(few.batch.mask)

    def J(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(observation.shape)
        found = problem.engine.cost(problem.model, cost, x, observation, mask)
        d = x[0, 0] - known.mean
        g = found.gradient.copy()
        g[0, 0] += B @ d
        return found.total[0] + 0.5 * d @ B @ d, g.ravel()

    options = GaussNewtonOptions(form="statistical", model_error=q)
    found = solve(few, options)
    start = J(np.asarray(few.batch.first_guess).ravel())[1]
    assert found.status[0] == Status.CONVERGED
    assert J(found.x.ravel())[0] == pytest.approx(found.per_window[names.OBJECTIVE][0], rel=1e-9)
    assert np.linalg.norm(J(found.x.ravel())[1]) <= 1e-7 * np.linalg.norm(start)
    best = minimize(
        J, found.x.ravel() + 0.01, jac=True, method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 30_000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert best.fun == pytest.approx(J(found.x.ravel())[0], rel=1e-6)


def test_standard_deviations_are_those_of_the_dense_hessian(problem: Problem) -> None:
    # Differences of a gradient that the torch side computes, at a minimum with a small residual,
    # where Gauss-Newton's Hessian is the Hessian up to what the residual bends.
    truth = np.asarray(problem.batch.truth)[:1, :9]
    mask = np.zeros_like(truth)
    mask[:, ::4, :2] = 1
    batch = Batch(truth * mask, mask, truth, truth)
    few = replace(problem, batch=batch)
    R, q = 1e-3, 1e-3
    cost = CostSettings(0.01, lambda1=mask.sum() / (2 * R), lambda2=24 / (2 * q))
    prior = np.linalg.inv(climatology(problem.model).covariance)
    options = GaussNewtonOptions(form="statistical", model_error=q, observation_variance=R)
    found = solve(few, options)

    def gradient(flat: np.ndarray) -> np.ndarray:
        x = flat.reshape(truth.shape)
        return problem.engine.cost(problem.model, cost, x, truth * mask, mask).gradient.ravel()

    x = found.x.ravel()
    H = np.array([(gradient(x + e) - gradient(x - e)) / 2e-5 for e in 1e-5 * np.eye(x.size)])
    H[:3, :3] += prior
    expected = np.sqrt(np.diag(np.linalg.inv((H + H.T) / 2)))
    np.testing.assert_allclose(found.stdev.ravel(), expected, rtol=0.02)


def test_windows_without_observations_and_windows_that_diverge(problem: Problem) -> None:
    mask = np.asarray(problem.batch.mask).copy()
    observation = np.asarray(problem.batch.observation).copy()
    guess = np.asarray(problem.batch.first_guess).copy()
    mask[1] = 0
    observation[1] = 0
    observation[4, 0, 0] = 1e200
    mask[6] = 0
    mask[6, 80, 0] = 1  # one observation
    broken = replace(problem, batch=Batch(observation, mask, guess))
    for options in (GaussNewtonOptions(), STATISTICAL):
        found, expected = solve(broken, options), solve(problem, options)
        assert found.status[1] == Status.NO_OBSERVATIONS
        assert found.status[4] == Status.DIVERGED
        assert np.isfinite(found.x[6]).all()
        others = [0, 2, 3, 5, 7, 8, 9, 10, 11]
        np.testing.assert_allclose(found.x[others], expected.x[others], rtol=1e-12)
        np.testing.assert_array_equal(found.status[others], expected.status[others])
        if found.stdev is not None:
            known = climatology(problem.model)
            np.testing.assert_array_equal(found.x[1, 7], known.mean)
            np.testing.assert_array_equal(found.stdev[1, 7], np.sqrt(np.diag(known.covariance)))
        else:
            np.testing.assert_array_equal(found.x[1], guess[1])


@pytest.mark.parametrize("datum", [1e20, 1e60, 1e150])
def test_an_absurd_datum_does_not_converge(problem: Problem, datum: float) -> None:
    # Where squares overflow on the way, an infinite norm is not small beside an infinite first one.
    few = replace(problem, batch=problem.batch[:3])
    observation = np.asarray(few.batch.observation).copy()
    step = np.flatnonzero(np.asarray(few.batch.mask)[1, :, 0])[3]
    observation[1, step, 0] = datum
    guess = windows.first_guess(
        observation, np.asarray(few.batch.mask), few.batch.first_guess[0, 0]
    )
    broken = replace(few, batch=replace(few.batch, observation=observation, first_guess=guess))
    for options in (GaussNewtonOptions(), STATISTICAL, STATISTICAL.model_copy(update={"every": 1})):
        found, expected = solve(broken, options), solve(few, options)
        assert found.status[1] == Status.DIVERGED
        np.testing.assert_array_equal(found.status[[0, 2]], expected.status[[0, 2]])


def test_blanked_windows_converge_in_tens_of_steps() -> None:
    """Their valleys are narrow and curved: damping must persist for several steps, then shrink."""
    truth = pyvda.simulate("lorenz63-blanked", 256, 1)
    observed = pyvda.observe(truth, "lorenz63-blanked", 2)
    analysis = pyvda.assimilate(observed, method="gauss-newton")
    assert (analysis["status"] == Status.CONVERGED).all()
    assert analysis["iterations"].mean() < 15


def test_everything_observed_is_followed(problem: Problem) -> None:
    truth = np.asarray(problem.batch.truth)
    full = replace(problem, batch=Batch(truth, np.ones_like(truth), truth + 1.0))
    options = GaussNewtonOptions(form="statistical", model_error=1e-2, observation_variance=1e-4)
    found = solve(full, options)
    assert (found.status == Status.CONVERGED).all()
    assert np.abs(found.x - truth).max() < 0.02


def test_the_iteration_limit_is_a_status(problem: Problem) -> None:
    found = solve(problem, GaussNewtonOptions(iterations=1))
    assert (found.status == Status.ITERATION_LIMIT).all()
    assert (found.iterations == 1).all()


def test_in_a_file_with_standard_deviations(tmp_path) -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 3, 5), "lorenz63", 6)
    analysis = pyvda.assimilate(observed, method="gauss-newton", form="statistical", every=8)
    assert analysis[names.STATE_STDEV].dims == names.DIMENSIONS
    assert (analysis[names.STATE_STDEV] > 0).all()
    assert names.OBJECTIVE in analysis
    lazy = pyvda.assimilate(
        observed.chunk(window=2), method="gauss-newton", form="statistical", every=8
    )
    np.testing.assert_allclose(lazy["analysis"].values, analysis["analysis"].values, rtol=1e-12)


def test_impossible_requests_are_refused(problem: Problem) -> None:
    with pytest.raises(InputError, match="every is 2"):
        solve(problem, GaussNewtonOptions(every=2))
    with pytest.raises(InputError, match="positive weights"):
        solve(replace(problem, cost=CostSettings(0.01, lambda1=0.0)), GaussNewtonOptions())
    with pytest.raises(InputError, match="--set observation_variance=2"):
        solve(replace(problem, observation_variance=None), STATISTICAL)
    with pytest.raises(InputError, match="variance of the observations is 0"):
        solve(replace(problem, observation_variance=0.0), STATISTICAL)
    for bad in ({"every": 0}, {"model_error": 0.0}, {"form": "exact"}, {"tolerance": -1.0},
                {"tolerance": np.inf}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(bad))):
            GaussNewtonOptions(**bad)


@pytest.mark.parametrize(
    "option", [{"model_error": 1e-2}, {"background": "none"}, {"observation_variance": 2.0}]
)
def test_options_of_the_other_form_are_refused(option) -> None:
    name = next(iter(option))
    with pytest.raises(InputError, match=f"{name} given, but the weighted form"):
        configured("gauss-newton", option)
    _, options = configured("gauss-newton", {**option, "form": "statistical"})
    assert getattr(options, name) == option[name]


def test_a_window_that_contradicts_the_model_is_doubtful(problem: Problem) -> None:
    # Data far from any trajectory: with a nearly exact model the misfit cannot be small.
    observation = np.asarray(problem.batch.observation).copy()
    data = np.flatnonzero(np.asarray(problem.batch.mask)[3].any(1))
    observation[3, data[::2], 0] += 15.0
    broken = replace(problem, batch=replace(problem.batch, observation=observation))
    found = solve(broken, STATISTICAL)
    limit, objective = found.per_window[names.CHI_SQUARE_LIMIT], found.per_window[names.OBJECTIVE]
    assert limit[3] == pytest.approx(chi2.isf(1 / 2450, len(data)) / 2, rel=1e-3)
    assert found.status[3] == Status.DOUBTFUL
    np.testing.assert_array_equal(found.status == Status.DOUBTFUL, objective > limit)
    assert (found.status == Status.DOUBTFUL).sum() <= 2


def test_spacing_of_observation_times() -> None:
    mask = np.zeros((2, 30, 3))
    assert spacing(mask) == 1
    mask[0, [0, 8, 24], 0] = 1
    assert spacing(mask) == 8
    mask[1, 12, 2] = 1
    assert spacing(mask) == 4
    mask[1, 15, 2] = 1
    assert spacing(mask) == 1


def test_the_default_model_error_follows_the_observation_errors() -> None:
    options = GaussNewtonOptions(form="statistical")
    small, large = (options.for_variance(R).model_error for R in (0.02, 2.0))
    assert large == pytest.approx(100 * small)
    own = GaussNewtonOptions(form="statistical", observation_variance=0.02)
    assert own.for_variance(2.0).model_error == small
    given = GaussNewtonOptions(form="statistical", model_error=0.1)
    assert given.for_variance(2.0).model_error == 0.1
    assert GaussNewtonOptions().for_variance(2.0).model_error is None  # the weighted form has none


def lorenz63_in(unit: float) -> Model:
    """Return Lorenz-63 with its state in units of 1 / `unit`."""

    def tendency(x: torch.Tensor) -> torch.Tensor:
        a, b, c = (x / unit).unbind(-1)
        return unit * torch.stack((10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c), -1)

    return pyvda.torch_model(tendency, variables=("a", "b", "c"), time_step=0.01)


def test_the_unit_of_the_state_does_not_matter() -> None:
    known = climatology(get_model("lorenz63"))
    observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 5), "lorenz63", 6)
    observed = observed.drop_vars("truth", errors="ignore").isel(time=slice(0, 60))
    found = []
    for unit in (1.0, 100.0, 0.01):
        data = observed.assign(observation=unit * observed["observation"])
        data.attrs["observation_error_variance"] = 2.0 * unit**2
        analysis = pyvda.assimilate(
            data, model=lorenz63_in(unit), method="gauss-newton", form="statistical",
            climatology=(unit * known.mean, unit**2 * known.covariance),
        )  # fmt: skip
        judged = (analysis[name].values for name in (names.STATUS, names.DOUBTS))
        found.append(
            (
                analysis[names.ANALYSIS].values / unit,
                analysis[names.STATE_STDEV].values / unit,
                *judged,
            )
        )
    for other in found[1:]:
        np.testing.assert_allclose(other[0], found[0][0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(other[1], found[0][1], rtol=1e-4)
        np.testing.assert_array_equal(other[2:], found[0][2:])


@pytest.mark.parametrize("name", ["lorenz63", "lorenz84"])
def test_accurate_observations_are_fitted_as_expected(name: str) -> None:
    """A model error that is large beside theirs lowers the misfit and widens the spread."""
    problem = drawn_problem(get_model(name), 32, 81, every=4, variance=0.01)
    options = GaussNewtonOptions(form="statistical").for_variance(0.01)
    found = judged_solution(problem, options, solve(problem, options))
    assert found.per_window[names.FIT].mean() == pytest.approx(1.0, abs=0.12)
    assert (found.status == Status.CONVERGED).all()
    ratio = (found.x - np.asarray(problem.batch.truth)) ** 2 / np.square(found.stdev)
    assert ratio.mean() == pytest.approx(1.0, abs=0.25)
