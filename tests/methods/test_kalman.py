"""Users' linear models in Julia and in torch: every method equals the Kalman smoother.

The model errors have a full covariance Q, the background a full B, and a datum has its own error
variance; `tests/kalman.py` is the reference, with dense matrices.
"""

from __future__ import annotations

from pathlib import Path

import kalman
import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine import CostSettings, Engine, get_engine
from pyvda.errors import InputError
from pyvda.methods import METHODS, Problem
from pyvda.methods.model_error import model_noise
from pyvda.models.model import Model
from pyvda.operators.covariance import Dense, FromEnsemble
from pyvda.operators.points import Points
from pyvda.state.batch import Batch

STEP, STEPS, WINDOWS = 0.1, 9, 3
OMEGA, DECAY, SPEED, SIZE = 2.0, 0.3, 1.5, 9

ROTATION = """
struct Rotation{T} <: SmallModel
    omega::T
    decay::T
end
Rotation(; omega = 2.0, decay = 0.3) = Rotation(omega, decay)
variables(::Type{<:Rotation}) = ("x", "y")
time_step(::Type{<:Rotation}) = 0.1
tendency(m::Rotation, (x, y)) = (-m.decay * x - m.omega * y, m.omega * x - m.decay * y)
"""
ADVECTION = """
struct Transport{T} <: VectorModel
    speed::T
    decay::T
    n::Int
end
Transport(; speed = 1.5, decay = 0.3, n = 9) = Transport(speed, decay, n)
variables(::Type{<:Transport}) = ("u",)
dimensions(m::Transport) = (x = m.n,)
time_step(::Type{<:Transport}) = 0.1
function tendency!(dx, m::Transport, x, work)
    for i in 1:m.n
        dx[i] = m.speed * (x[mod1(i - 1, m.n)] - x[mod1(i + 1, m.n)]) - m.decay * x[i]
    end
end
tangent_linear!(dy, m::Transport, x, dx, work) = tendency!(dy, m, dx, work)
function adjoint!(xbar, m::Transport, x, ybar, work)
    for i in 1:m.n
        xbar[i] = m.speed * (ybar[mod1(i + 1, m.n)] - ybar[mod1(i - 1, m.n)]) - m.decay * ybar[i]
    end
end
"""


def tendency_matrix(name: str) -> np.ndarray:
    if name == "rotation":
        return np.array([[-DECAY, -OMEGA], [OMEGA, -DECAY]])
    shift = np.roll(np.eye(SIZE), 1, axis=0)
    return SPEED * (shift - shift.T) - DECAY * np.eye(SIZE)


def step_matrix(name: str, length: float = STEP) -> np.ndarray:
    """Return the matrix of a Runge-Kutta step: the series of the exponential to fourth order."""
    A = length * tendency_matrix(name)
    M = unit = np.eye(len(A))
    for k in (4, 3, 2, 1):
        M = unit + A @ M / k
    return M


@pytest.fixture(scope="module", params=["julia-rotation", "julia-advection", "torch-rotation",
                                        "torch-advection"])  # fmt: skip
def linear(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Model, Engine]:
    """Return the name of a linear model, the model, and the engine to run it on."""
    language, name = request.param.split("-")
    if language == "julia":
        path = tmp_path_factory.mktemp("models") / f"{name}.jl"
        path.write_text(ROTATION if name == "rotation" else ADVECTION)
        return name, pyvda.julia_model(path), get_engine("julia")
    import torch

    A = torch.tensor(tendency_matrix(name))
    variables = ("x", "y") if name == "rotation" else tuple(f"u{i}" for i in range(SIZE))
    model = pyvda.torch_model(lambda x: x @ A.T.to(x.dtype), variables=variables, time_step=STEP)
    return name, model, get_engine("torch")


class Case:
    """Windows of one linear model with data, a background and a model error."""

    def __init__(self, linear: tuple, tmp_path: Path, *, points: bool = False) -> None:
        self.name, self.model, engine = linear
        random = np.random.default_rng(7)
        D = self.model.state_size
        self.M = step_matrix(self.name)

        def covariance(scale: float) -> np.ndarray:
            G = random.standard_normal((D, D + 2))
            return scale * (G @ G.T / D + np.eye(D) / 2)

        self.B, self.Q, self.R = covariance(2.0), covariance(0.05), 0.3
        self.b = random.standard_normal(D)
        shape = (WINDOWS, STEPS, D)
        mask = (random.random(shape) < 0.4) * random.uniform(0.5, 2.0, shape)
        mask[:, 0, 0] = 1.0
        y = 2.0 * random.standard_normal(shape)
        self.variance = np.full(shape, np.inf)
        self.variance[mask > 0] = self.R / mask[mask > 0]
        self.y, self.points = y, None
        if points:
            count = (WINDOWS, 5)
            self.points = Points(
                random.integers(0, STEPS - 1, count),
                random.random(count) * (random.random(count) < 0.7),
                random.standard_normal(count),
                (random.random(count) < 0.8) * random.uniform(0.5, 2.0, count),
                random.standard_normal((*count, D)),
            )
        self.background = str(tmp_path / "background.npz")
        np.savez(self.background, mean=self.b, covariance=self.B)
        batch = Batch(y * (mask > 0), mask, random.standard_normal(shape), None, self.points)
        self.problem = Problem(batch, self.model, CostSettings(STEP), engine, self.R)

    def solved(self, method: str, **options: object):
        chosen = METHODS[method]
        return chosen.solve(self.problem, chosen.options(**options))

    def smoothed(self, window: int, Q: np.ndarray, mean=None, B=None) -> kalman.Smoothed:
        D = len(self.b)
        seen = np.isfinite(self.variance[window])
        rows = [np.eye(D)[s] for s in seen]
        data = [a[s] for a, s in zip(self.y[window], seen, strict=True)]
        variances = [a[s] for a, s in zip(self.variance[window], seen, strict=True)]
        if self.points is not None:
            p = self.points[window : window + 1]
            for k in np.flatnonzero(p.weight[0] > 0):
                t = p.step[0, k]
                flow = step_matrix(self.name, STEP * p.fraction[0, k])
                rows[t] = np.vstack([rows[t], p.operator[0, k] @ flow])
                data[t] = np.append(data[t], p.value[0, k])
                variances[t] = np.append(variances[t], self.R / p.weight[0, k])
        mean, B = self.b if mean is None else mean, self.B if B is None else B
        return kalman.smoother(self.M, mean, B, rows, data, variances, Q)

    def compare(self, solution, Q: np.ndarray, tolerance: float = 1e-10) -> None:
        for w in range(WINDOWS):
            expected = self.smoothed(w, Q)
            scale = np.abs(expected.mean).max()
            assert np.abs(solution.x[w] - expected.mean).max() < tolerance * scale
            assert np.abs(solution.stdev[w] / expected.stdev - 1).max() < tolerance
            if names.FINAL_COVARIANCE in solution.per_window:
                last = solution.per_window[names.FINAL_COVARIANCE][w]
                final = expected.covariance[-1]
                assert np.abs(last - final).max() < tolerance * np.abs(final).max()


@pytest.mark.parametrize("points", [False, True], ids=["at steps", "between steps"])
def test_weak_constraint(linear: tuple, tmp_path: Path, points: bool) -> None:
    case = Case(linear, tmp_path, points=points)
    for model_error, Q in ((case.Q, case.Q), (0.05, 0.05 * np.eye(len(case.b)))):
        found = case.solved(
            "gauss-newton", form="statistical", model_error=model_error,
            background=case.background, final_covariance=True,
        )  # fmt: skip
        assert names.FINAL_COVARIANCE in found.per_window
        case.compare(found, Q)


@pytest.mark.parametrize("points", [False, True], ids=["at steps", "between steps"])
def test_strong_constraint_with_a_forcing(linear: tuple, tmp_path: Path, points: bool) -> None:
    case = Case(linear, tmp_path, points=points)
    found = case.solved(
        "strong-constraint", starts="mean", model_error=Dense(case.Q),
        background=case.background, final_covariance=True,
    )  # fmt: skip
    assert names.FINAL_COVARIANCE in found.per_window
    case.compare(found, case.Q)


def test_strong_constraint_without_model_error(linear: tuple, tmp_path: Path) -> None:
    case = Case(linear, tmp_path)
    found = case.solved(
        "strong-constraint", starts="mean", background_lead=0, background=case.background,
        final_covariance=True,
    )  # fmt: skip
    assert names.FINAL_COVARIANCE in found.per_window
    case.compare(found, np.zeros_like(case.Q))


def test_a_model_error_only_between_nodes(linear: tuple, tmp_path: Path) -> None:
    # Q enters where a node begins: every fourth step.
    case = Case(linear, tmp_path)
    found = case.solved(
        "gauss-newton", form="statistical", every=4, model_error=case.Q, background=case.background
    )
    power = np.linalg.matrix_power(case.M, 4)
    for w in range(WINDOWS):
        rows, data, variances = [], [], []
        for first in range(0, STEPS, 4):
            here = range(first, min(first + 4, STEPS))
            seen = [np.isfinite(case.variance[w, t]) for t in here]
            steps = [np.linalg.matrix_power(case.M, t - first) for t in here]
            rows.append(np.vstack([m[s] for m, s in zip(steps, seen, strict=True)]))
            data.append(np.concatenate([case.y[w, t][s] for t, s in zip(here, seen, strict=True)]))
            variances.append(
                np.concatenate([case.variance[w, t][s] for t, s in zip(here, seen, strict=True)])
            )
        expected = kalman.smoother(power, case.b, case.B, rows, data, variances, case.Q)
        assert np.abs(found.x[w, ::4] - expected.mean).max() < 1e-10 * np.abs(expected.mean).max()
        assert np.abs(found.stdev[w, ::4] / expected.stdev - 1).max() < 1e-10


def ensemble(case: Case, members: np.ndarray, noise, **options):
    problem = case.problem
    return problem.engine.ensemble_smoother(
        case.model, problem.cost, problem.batch.observation, 1 / case.variance, members,
        noise=noise, points=case.points and case.points.weighed(1 / case.R), **options,
    )  # fmt: skip


@pytest.mark.parametrize("points", [False, True], ids=["at steps", "between steps"])
def test_ensemble_smoother_with_enough_members(linear: tuple, tmp_path: Path, points: bool) -> None:
    # The members have exactly the moments of the background, and the noise exactly those of Q.
    case = Case(linear, tmp_path, points=points)
    D = len(case.b)
    count = D * (STEPS + 1) + 3
    drawn = np.random.default_rng(1).standard_normal((count, D + 1))
    drawn[:, 0] = 1.0
    unit = np.linalg.qr(drawn)[0][:, 1:] * np.sqrt(count - 1)
    members = case.b + unit @ np.linalg.cholesky(case.B).T
    noise = model_noise(Dense(case.Q), members, STEPS - 1, 0)
    mean, stdev, _ = ensemble(case, members, noise)
    for w in range(WINDOWS):
        expected = case.smoothed(w, case.Q)
        assert np.abs(mean[w] - expected.mean).max() < 1e-9 * np.abs(expected.mean).max()
        assert np.abs(stdev[w] / expected.stdev - 1).max() < 1e-9


@pytest.mark.parametrize("linear", ["julia-rotation", "torch-rotation"], indirect=True)
def test_ensemble_smoother_converges_like_one_over_the_root(linear: tuple, tmp_path: Path) -> None:
    case = Case(linear, tmp_path)
    expected = case.smoothed(0, case.Q).mean
    errors = []
    for count in (16, 1024):
        squares = []
        for seed in range(12):
            draws = np.random.default_rng([seed, count]).standard_normal((count, len(case.b)))
            members = case.b + draws @ np.linalg.cholesky(case.B).T
            noise = (
                np.random.default_rng([seed, count, 1]).standard_normal(
                    (STEPS - 1, count, len(case.b))
                )
                @ np.linalg.cholesky(case.Q).T
            )
            noise -= noise.mean(1, keepdims=True)
            mean, _, _ = ensemble(case, members, np.swapaxes(noise, 1, 2))
            squares.append(((mean[0] - expected) ** 2).mean())
        errors.append(np.sqrt(np.mean(squares)))
    # A factor of 64 in members is one of 8 in the error; twelve draws leave some 20 % of doubt.
    assert 5 < errors[0] / errors[1] < 13


def test_the_method_ensemble_smoother(linear: tuple, tmp_path: Path) -> None:
    # With as many members the moments of background and model error are exact.
    case = Case(linear, tmp_path, points=True)
    for background in (case.background, (case.b, Dense(case.B)), (case.b, case.B)):
        found = case.solved(
            "ensemble-smoother", members=len(case.b) * (STEPS + 1) + 3, background=background,
            model_error=case.Q, seed=4,
        )  # fmt: skip
        case.compare(found, case.Q, 1e-9)
    few = case.solved("ensemble-smoother", members=400, background=case.background, seed=4)
    case.compare(few, np.zeros_like(case.Q), 1e-9)
    with pytest.raises(InputError, match="an ensemble needs one"):
        case.solved("ensemble-smoother", background="none")


def test_a_background_as_mean_and_covariance(linear: tuple, tmp_path: Path) -> None:
    case = Case(linear, tmp_path)
    for background in ((case.b, Dense(case.B)), (case.b.tolist(), case.B.tolist())):
        for method, options in (
            ("gauss-newton", {"form": "statistical"}),
            ("strong-constraint", {"starts": "mean"}),
        ):
            found = case.solved(method, background=background, model_error=case.Q, **options)
            case.compare(found, case.Q)


@pytest.mark.parametrize("method", ["gauss-newton", "strong-constraint"])
def test_two_cycled_windows_are_one_filter(linear: tuple, tmp_path: Path, method: str) -> None:
    case = Case(linear, tmp_path)
    random = np.random.default_rng(11)
    D = len(case.b)
    y = random.standard_normal((2 * STEPS, D))
    y[random.random(y.shape) < 0.5] = np.nan
    y[[0, STEPS], 0] = 1.0
    ds = xr.Dataset({"observation": (("time", "state"), y)}, {"time": STEP * np.arange(2 * STEPS)})
    options = {"form": "statistical"} if method == "gauss-newton" else {"starts": "mean"}
    common = {
        "model": case.model, "engine": case.problem.engine.info.name, "method": method,
        "model_error": case.Q, "observation_variance": case.R, "final_covariance": True,
    }  # fmt: skip
    first = pyvda.assimilate(
        ds.isel(time=slice(STEPS)), background=(case.b, case.B), **common, **options
    )
    second = pyvda.assimilate(
        ds.isel(time=slice(STEPS, None)), background=first, **common, **options
    )
    variance = np.where(np.isfinite(y), case.R, np.inf)
    expected = kalman.of_mask(case.M, case.b, case.B, y, variance, case.Q)
    end, covariance = expected.mean[-1], expected.covariance[-1]
    found = second[names.ANALYSIS].values.reshape(STEPS, D)[-1]
    assert np.abs(found - end).max() < 1e-10 * np.abs(end).max()
    last = second[names.FINAL_COVARIANCE].values.reshape(D, D)
    assert np.abs(last - covariance).max() < 1e-10 * np.abs(covariance).max()


@pytest.mark.parametrize("inexact", [False, True], ids=["exact model", "model error"])
@pytest.mark.parametrize("gap", [0, 2])
def test_two_cycled_ensembles_are_one_filter(
    linear: tuple, tmp_path: Path, inexact: bool, gap: int
) -> None:
    """With as many members all moments are exact, also over steps between the two windows."""
    case = Case(linear, tmp_path)
    random = np.random.default_rng(12)
    D, total = len(case.b), 2 * STEPS + gap
    y = random.standard_normal((total, D))
    y[random.random(y.shape) < 0.5] = np.nan
    y[STEPS : STEPS + gap] = np.nan
    y[[0, STEPS - 1, STEPS + gap], 0] = 1.0
    ds = xr.Dataset({"observation": (("time", "state"), y)}, {"time": STEP * np.arange(total)})
    common = {
        "model": case.model, "engine": case.problem.engine.info.name,
        "method": "ensemble-smoother", "observation_variance": case.R,
        **({"model_error": case.Q} if inexact else {}),
    }  # fmt: skip
    first = pyvda.assimilate(
        ds.isel(time=slice(STEPS)), background=(case.b, case.B), members=D * (total + 1) + 3,
        **common,
    )  # fmt: skip
    second = pyvda.assimilate(ds.isel(time=slice(STEPS + gap, None)), background=first, **common)
    variance = np.where(np.isfinite(y), case.R, np.inf)
    Q = case.Q if inexact else 0 * case.Q
    for end, analysis in ((STEPS, first), (total, second)):
        expected = kalman.of_mask(case.M, case.b, case.B, y[:end], variance[:end], Q)
        mean, covariance = expected.mean[-1], expected.covariance[-1]
        members = analysis[names.FINAL_ENSEMBLE].values[0]
        scale = np.abs(covariance).max()
        found = analysis[names.ANALYSIS].values.reshape(STEPS, D)[-1]
        assert np.abs(found - mean).max() < 1e-9 * np.abs(mean).max()
        assert np.abs(members.mean(0) - mean).max() < 1e-9 * np.abs(mean).max()
        assert np.abs(np.cov(members.T) - covariance).max() < 1e-9 * scale


def test_a_singular_model_error_is_refused(linear: tuple, tmp_path: Path) -> None:
    case = Case(linear, tmp_path)
    Q = FromEnsemble(np.zeros((2, len(case.b))))
    with pytest.raises(InputError, match="singular"):
        case.solved("gauss-newton", form="statistical", model_error=Q, background=case.background)
    wrong = np.ones(len(case.b) + 1)
    with pytest.raises(InputError, match="model_error is a covariance of"):
        case.solved("strong-constraint", starts="mean", model_error=wrong,
                    background=case.background)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("gauss-newton", {"model_error": 1.0}, "model_error given, but the weighted form"),
        ("strong-constraint", {"model_error": 1.0, "minima": True}, "minima cannot be combined"),
        ("strong-constraint", {"model_error": 1.0, "parameters": True}, "parameters cannot be"),
        ("strong-constraint", {"model_error": 1.0, "background_lead": 3}, "background_lead cannot"),
        ("ensemble-smoother", {"model_error": 1.0, "depth": 2}, "with model_error an analysis"),
    ],
)
def test_options_that_contradict_each_other(method: str, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        METHODS[method].options(**options)
