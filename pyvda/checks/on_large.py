"""Checks of a state too large for matrices: runs of the model, and 4D-Var in control space.

They are those of the code that `incremental` runs: the tangent linear and adjoint of a run over
several steps, the square root of a covariance, and the cost in control space with its gradient and
the products of its Hessian. Steps are compared with torch's where the model is in both languages.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.checks import derivatives
from pyvda.checks.derivative_check import Check, difference_check, spread, taylor_check
from pyvda.checks.derivatives import EPS
from pyvda.engine import CostSettings, Engine, get_engine
from pyvda.engine.interface import Array
from pyvda.methods.incremental import IncrementalOptions, control_cost
from pyvda.methods.problem import Problem
from pyvda.methods.trajectory import Trajectory
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance, Diagonal
from pyvda.operators.spectral import Spectral, power
from pyvda.state.batch import Batch

_STEPS = 4  # of the window that is checked
_LENGTH = 3.0  # of the correlations of the covariance, in grid spacings
_SAME = 1e-9  # relative difference of a step in two languages
_SHORT = 0.1  # of a direction, in standard deviations: over several steps a run is nonlinear
_PART = 0.1  # standard deviation of the background, in units of the spread of the states


def large_checks(
    engine: Engine, model: Model, batch: Batch, time_step: float, seed: int
) -> list[Callable[[], list[Check]]]:
    """Return the groups of checks, to be run one after the other.

    Parameters
    ----------
    batch : Batch
        numpy arrays (W, T, D); the first steps with data of its first window are used.
    """
    mask = np.asarray(batch.mask)[0]
    first = min(int((mask > 0).any(1).argmax()), max(0, len(mask) - _STEPS))
    part = np.s_[:1, first : first + _STEPS]
    short = Batch(
        np.asarray(batch.observation, float)[part], np.asarray(mask, float)[None][part],
        np.asarray(batch.first_guess, float)[part],
    )  # fmt: skip
    cost, random = CostSettings(time_step), np.random.default_rng([seed, 8])
    guess = np.asarray(batch.first_guess, float)
    size = spread(guess) * _PART
    B = _covariance(model, size)
    # As smooth as a state of the model: a first guess jumps at the data.
    start = np.where(model.sea, guess.mean((0, 1)) + B.sample(random, 1)[0], 0.0)
    problem = Problem(short, model, cost, engine, size**2)
    return [
        lambda: _of_runs(engine, model, cost, start, B, random),
        lambda: _of_languages(engine, model, cost, start, random),
        lambda: _of_covariance(B, random),
        lambda: _of_control(problem, start, B, seed),
    ]


def _of_runs(
    engine: Engine, model: Model, cost: CostSettings, start: Array, B: Covariance,
    random: np.random.Generator,
) -> list[Check]:  # fmt: skip
    def run(states: Array) -> Array:
        return engine.run(model, cost, states, _STEPS)

    x = run(start[None])
    direction = _SHORT * B.sample(random, 1)
    tangent = engine.tangent_run(model, cost, x, direction)
    exact, tolerance = derivatives.settled_difference(run, start[None], direction)
    v = random.standard_normal(x.shape)
    back = engine.adjoint_run(model, cost, x, v)[:, 0]
    mismatch = derivatives.adjoint_mismatch(
        tangent.reshape(1, -1), v.reshape(1, -1), direction, back
    )
    name = f"{engine.info.name} run"
    error = float(derivatives.relative(tangent, exact)[0])
    ulps, most = float(mismatch[0]) / EPS, 16 * float(np.sqrt(v.size))
    return [
        Check(
            f"{name}: tangent linear, by differences",
            error,
            float(tolerance[0]),
            f"random {error:.1e}",
        ),
        Check(f"{name}: adjoint, in ulps", ulps, most, f"{float(mismatch[0]):.1e} relative"),
    ]


def _of_languages(
    engine: Engine, model: Model, cost: CostSettings, start: Array, random: np.random.Generator
) -> list[Check]:
    names = [f"julia and torch: {what}" for what in ("state", "tangent linear", "adjoint")]
    if engine.info.name != "julia" or model.torch is None:
        why = f"the model runs only in {engine.info.name}"
        if engine.info.name != "julia" and model.julia is not None:
            why = "compared where the engine is julia"
        return [Check(name, None, None, why) for name in names]
    other, h = get_engine("torch"), cost.time_step
    state, v = start[None], np.where(model.sea, random.standard_normal(start.shape), 0.0)[None]
    pairs = [
        (one.forecast(model, state, time_step=h), one.tangent_linear(model, state, v, time_step=h),
         one.adjoint(model, state, v, time_step=h))
        for one in (engine, other)
    ]  # fmt: skip
    found = [float(derivatives.relative(a, b)[0]) for a, b in zip(*pairs, strict=True)]
    return [
        Check(name, error, _SAME, f"{error:.1e} relative")
        for name, error in zip(names, found, strict=True)
    ]


def _of_covariance(B: Covariance, random: np.random.Generator) -> list[Check]:
    w, v = random.standard_normal(B.rank), random.standard_normal(B.size)
    one, other = B.sqrt(w), B.sqrt_adjoint(v)
    size = float(np.linalg.norm(one) * np.linalg.norm(v))
    mismatch = abs(float(one @ v - w @ other)) / max(size, EPS)
    name = f"{type(B).__name__} covariance: adjoint of its root, in ulps"
    most = 16 * float(np.sqrt(B.size))
    return [Check(name, float(mismatch) / EPS, most, f"{mismatch:.1e} relative")]


def _of_control(problem: Problem, start: Array, B: Covariance, seed: int) -> list[Check]:
    options = IncrementalOptions(background=start, covariance=B, members=0)
    cost = control_cost(problem, options)

    def trajectory(v: Array) -> Trajectory:
        return cost.trajectory(v.ravel(), _STEPS)

    def value(v: Array) -> Array:
        return np.array([cost.value(v.ravel(), trajectory(v))])

    def gradient(v: Array) -> Array:
        return cost.gradient(v.ravel(), trajectory(v)).reshape(v.shape)

    random = np.random.default_rng([seed, 9])
    at = random.standard_normal((1, 1, B.rank))
    w, z = random.standard_normal((2, B.rank))
    x = trajectory(at)
    Aw, Az = cost.curvature(w, x), cost.curvature(z, x)
    mismatch = abs(Aw @ z - w @ Az) / (np.linalg.norm(Aw) * np.linalg.norm(z))
    return [
        difference_check("control space: gradient, by differences", value, gradient, at,
                         seed, reach=1 / 8),
        taylor_check("control space: gradient, Taylor test", value, gradient, at, seed,
                     reach=1 / 64),
        Check("control space: Hessian symmetric, in ulps", float(mismatch) / EPS,
              64 * float(np.sqrt(B.rank)), f"{mismatch:.1e} relative"),
    ]  # fmt: skip


def _covariance(model: Model, stdev: float) -> Covariance:
    """Return a covariance, with correlations where the state is one field without land inside."""
    space = model.state_space
    if space is not None and len(space.variables) == 1 and len(space.variables[0].shape) == 2:
        shape = space.variables[0].shape
        sea = np.asarray(model.sea).reshape(shape)
        if min(shape) >= 3 and sea[1:-1, 1:-1].all():
            spectrum = power(_LENGTH, 3.0)
            return Spectral(shape, spectrum, stdev, boundary="open" if sea.all() else "wall")
    return Diagonal(np.where(model.sea, stdev, 1e-6 * stdev) ** 2)
