"""Parameters as control of strong-constraint 4D-Var."""

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem
from scipy.optimize import least_squares

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.errors import InputError
from pyvda.methods import Problem, Status
from pyvda.methods.control import parameter_stdev
from pyvda.methods.strong_constraint import StrongConstraintOptions, minima, solve
from pyvda.models.registry import get_model

WRONG = {
    "lorenz63": get_model("lorenz63", rho=27.0),
    "lorenz96": get_model("lorenz96", forcing=8.5),
}
julia = pytest.mark.julia


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 80, model=WRONG["lorenz63"])


def error(problem: Problem, x: np.ndarray) -> np.ndarray:
    return np.asarray(((x - problem.batch.truth) ** 2).mean((1, 2)))


def plain_step(x: np.ndarray, theta: np.ndarray, h: float) -> np.ndarray:
    """One Runge-Kutta step of Lorenz-63, by the formulas."""

    def f(x: np.ndarray) -> np.ndarray:
        sigma, rho, beta = theta
        return np.array(
            [sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]]
        )

    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    k4 = f(x + h * k3)
    return np.asarray(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


# --- the method ----------------------------------------------------------------------------------


@julia
def test_a_wrong_rho_is_found(problem: Problem) -> None:
    truth = np.array(get_model("lorenz63").parameters)
    fixed = solve(problem, StrongConstraintOptions())
    found = solve(problem, StrongConstraintOptions(parameters=True))
    right = found.status == Status.CONVERGED
    assert right.mean() > 0.95
    estimated = found.per_window[names.PARAMETER_ANALYSIS][right]
    stdev = found.per_window[names.PARAMETER_STDEV][right]
    assert (((estimated - truth) / stdev) ** 2).mean() < 1.3
    # The observations have said something: less is unknown than before, and the mean has moved.
    assert (np.median(stdev, 0) < 0.1 * np.array(problem.model.parameters)).all()
    assert 27.3 < estimated[:, 1].mean() < 28.3
    assert error(problem, found.x)[right].mean() < error(problem, fixed.x)[right].mean()
    square = (found.x - problem.batch.truth) ** 2 / found.stdev**2
    assert 0.3 < np.median(square.mean((1, 2))[right]) < 1.2


@julia
def test_one_rho_for_all_windows_is_found_better(problem: Problem) -> None:
    truth = np.array(get_model("lorenz63").parameters)
    own = solve(problem, StrongConstraintOptions(parameters=True))
    found = solve(problem, StrongConstraintOptions(parameters="shared"))
    estimated = found.per_window[names.PARAMETER_ANALYSIS]
    stdev = found.per_window[names.PARAMETER_STDEV]
    assert (estimated == estimated[0]).all()
    assert stdev == pytest.approx(np.broadcast_to(stdev[0], stdev.shape), rel=1e-6)
    assert (np.abs(estimated[0] - truth) < 3 * stdev[0]).all()
    assert (stdev[0] < np.median(own.per_window[names.PARAMETER_STDEV], 0) / 3).all()
    assert np.median(error(problem, found.x)) < 0.7 * np.median(error(problem, own.x))


@julia
def test_a_wrong_forcing_is_found() -> None:
    problem = twin_problem("lorenz96", 12, model=WRONG["lorenz96"], steps=40)
    fixed = solve(problem, StrongConstraintOptions())
    found = solve(problem, StrongConstraintOptions(parameters=True))
    right = found.status == Status.CONVERGED
    assert right.mean() > 0.7
    estimated = found.per_window[names.PARAMETER_ANALYSIS][right, 0]
    stdev = found.per_window[names.PARAMETER_STDEV][right, 0]
    assert np.abs(estimated.mean() - 8.0) < 0.2
    assert np.mean(((estimated - 8.0) / stdev) ** 2) < 3
    assert np.median(error(problem, found.x)) < np.median(error(problem, fixed.x))


@julia
def test_scipy_finds_the_same_minimum_and_spread(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[:3]._map(lambda a: a[:, :60]))
    found, _ = minima(part, StrongConstraintOptions(parameters=True, background_lead=0))
    known, prior = climatology(problem.model), np.array(problem.model.parameters)
    root = np.linalg.cholesky(np.linalg.inv(known.covariance)).T

    def residuals(z: np.ndarray, window: int) -> np.ndarray:
        parts = [root @ (z[:3] - known.mean), (z[3:] - prior) / (0.1 * prior)]
        x = z[:3]
        for y, mask in zip(part.batch.observation[window], part.batch.mask[window], strict=True):
            parts.append((np.sqrt(mask / 2.0) * (y - x))[mask > 0])
            x = plain_step(x, z[3:], 0.01)
        return np.concatenate(parts)

    for window in range(3):
        best = found.control[window, 0]
        r = residuals(best, window)
        assert r @ r / 2 == pytest.approx(found.objective[window, 0], rel=1e-9)
        fit = least_squares(residuals, best, "3-point", args=(window,), x_scale="jac", xtol=1e-14)
        stdev = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
        assert (np.abs(fit.x - best) < 1e-3 * stdev).all()
        assert parameter_stdev(found.hessian[window, :1], 3)[0] == pytest.approx(stdev[3:], 1e-4)


@julia
def test_the_shared_minimum_is_that_of_all_windows_at_once(problem: Problem) -> None:
    part = replace(problem, batch=problem.batch[10:14]._map(lambda a: a[:, :60]))
    options = StrongConstraintOptions(parameters="shared", background_lead=0)
    found, converged = minima(part, options)
    assert converged.all()
    assert (found.objective < 4 + 3.5 * 2).all()  # of 8 data: none is in doubt and has no say
    known, prior = climatology(problem.model), np.array(problem.model.parameters)
    root = np.linalg.cholesky(np.linalg.inv(known.covariance)).T

    def residuals(z: np.ndarray) -> np.ndarray:
        theta, parts = z[-3:], [(z[-3:] - prior) / (0.1 * prior)]
        for window, x in enumerate(z[:-3].reshape(4, 3)):
            parts.append(root @ (x - known.mean))
            data = zip(part.batch.observation[window], part.batch.mask[window], strict=True)
            for y, mask in data:
                parts.append((np.sqrt(mask / 2.0) * (y - x))[mask > 0])
                x = plain_step(x, theta, 0.01)
        return np.concatenate(parts)

    ours = np.concatenate([found.control[:, 0, :3].ravel(), found.control[0, 0, 3:]])
    fit = least_squares(residuals, ours, "3-point", x_scale="jac", xtol=1e-14)
    stdev = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    assert (np.abs(fit.x - ours) < 0.01 * stdev).all()
    # The curvature is taken where the windows' own minima lie, a little off.
    assert parameter_stdev(found.hessian[:, 0], 3)[2] == pytest.approx(stdev[-3:], rel=0.02)


@julia
@pytest.mark.parametrize("parameters", [True, "shared"])
def test_no_observation_is_the_prior_and_a_lost_window_is_nan(problem, parameters) -> None:
    batch = problem.batch[:6]
    mask, observation = batch.mask.copy(), batch.observation.copy()
    mask[1], observation[1] = 0.0, 0.0
    observation[4, 8, 0] = 1e200
    part = replace(problem, batch=replace(batch, mask=mask, observation=observation))
    found = solve(part, StrongConstraintOptions(parameters=parameters))
    estimated = found.per_window[names.PARAMETER_ANALYSIS]
    stdev = found.per_window[names.PARAMETER_STDEV]
    assert found.status[[1, 4]].tolist() == [Status.NO_OBSERVATIONS, Status.DIVERGED]
    assert np.isnan(estimated[4]).all()
    assert np.isnan(stdev[4]).all()
    if parameters == "shared":
        assert (estimated[1] == estimated[0]).all()
        assert stdev[1] == pytest.approx(stdev[0], rel=1e-6)
    else:
        assert estimated[1] == pytest.approx(problem.model.parameters)
        assert stdev[1] == pytest.approx(0.1 * np.array(problem.model.parameters))


@julia
def test_the_file_has_the_parameters(tmp_path) -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 6, 5), "lorenz63", 6)
    options = {"method": "strong-constraint", "members": 10_000, "parameters": True}
    analysis = pyvda.assimilate(observed, model=WRONG["lorenz63"], **options)
    assert analysis["parameter"].values.tolist() == ["sigma", "rho", "beta"]
    assert analysis["parameter_analysis"].dims == ("window", "parameter")
    assert (analysis["parameter_stdev"] > 0).all()
    chunked = pyvda.assimilate(observed.chunk(window=4), model=WRONG["lorenz63"], **options)
    pyvda.save_analysis(chunked, tmp_path / "analysis.nc")
    import xarray as xr

    with xr.open_dataset(tmp_path / "analysis.nc") as read:
        assert read["parameter"].values.tolist() == ["sigma", "rho", "beta"]
        np.testing.assert_allclose(
            read["parameter_analysis"], analysis["parameter_analysis"], rtol=1e-9
        )
    options["parameters"] = False
    without = pyvda.assimilate(observed, model=WRONG["lorenz63"], **options)
    assert "parameter" not in without.coords
    assert "parameter_analysis" not in without


def test_a_deviation_of_parameters_that_are_not_estimated_is_refused(problem: Problem) -> None:
    with pytest.raises(
        InputError, match=r"parameter_stdev is 0\.2, but with .* no parameters are"
    ) as said:
        solve(problem, StrongConstraintOptions(parameter_stdev=0.2))
    assert "\n" not in str(said.value)
