"""Checks of observations at arbitrary times, given by the file or random, and of their cost.

The descent propagates their misfits backwards by the adjoint of a shorter step, Gauss-Newton by its
tangent linear. With data that differ by v from the predicted values, both gradients are Hᵀv.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyvda.checks.derivative_check import (
    Check,
    agreement,
    amplification,
    difference_check,
    not_run,
    taylor_check,
)
from pyvda.checks.derivatives import EPS
from pyvda.engine import CostResult, CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.julia.objectives import shooting_objective
from pyvda.models.model import Model
from pyvda.operators.points import Points
from pyvda.operators.sparse_rows import SparseRows
from pyvda.state.batch import Batch

_NAMES = (
    "between steps, by differences",
    "between steps, adjoint",
    "between steps, Taylor test",
    "between steps, torch autograd",
)
_LARGE = 1024
_COUNT = 12  # number of data per window if the file has none
_TERMS = 64  # components that each of them reads at most


def point_checks(
    engine: Engine, model: Model, settings: CostSettings, batch: Batch, x: Array, seed: int
) -> list[Check]:
    """Check data between the steps: their operator with its derivatives, and the cost's gradient.

    Parameters
    ----------
    settings : CostSettings
    batch : Batch
        numpy arrays, (W, T, D).
    x : (W, T, D)
        The states at which the cost is checked.
    """
    names = [f"julia {settings.scheme}: {name}" for name in _NAMES]
    if not isinstance(engine, JuliaEngine):
        return not_run(names, engine)
    from pyvda.engine.torch.engine import TorchEngine

    points = batch.points or drawn(np.asarray(batch.first_guess), seed)

    def cost(states: Array, on: Engine = engine) -> CostResult:
        y, mask = np.asarray(batch.observation), np.asarray(batch.mask)
        return on.cost(model, settings, states, y, mask, points=points)

    found, expected = cost(x), cost(x, TorchEngine("a check"))
    return [
        *operator_checks((names[0], names[1]), engine, model, settings, points, x, seed),
        taylor_check(
            names[2],
            lambda states: cost(states).total,
            lambda states: np.asarray(cost(states).gradient),
            x,
            seed,
        ),
        agreement(
            names[3],
            {
                "cost": (found.total, expected.total),
                "gradient": (np.asarray(found.gradient), np.asarray(expected.gradient)),
            },
            EPS,
            amplification(x, np.sqrt(found.dynamics / settings.lambda2)),
        ),
    ]


def operator_checks(
    names: tuple[str, str],
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    points: Points,
    x: Array,
    seed: int,
) -> list[Check]:
    """Check Gauss-Newton's tangent linear H by differences, and the descent's Hᵀ by H."""
    counted = np.asarray(points.weight) > 0
    v = counted * np.random.default_rng([seed, 8]).standard_normal(counted.shape)
    zero = np.zeros_like(x)
    mean, precision = zero[:, 0], np.zeros((x.shape[2],) * 2)  # no background
    # A power of two so large that little is lost in the difference from the predicted values.
    scale = 2.0 ** np.ceil(np.log2(_LARGE * np.abs(x).max()))

    def predicted(states: Array) -> Array:
        return engine.observed(model, settings, states, points)

    def displaced(states: Array) -> Points:
        return replace(
            points, value=counted * (predicted(states) - scale * v), weight=counted.astype(float)
        )

    def by_tangent_linear(states: Array) -> Array:
        _, g = shooting_objective(
            engine, model, settings, states, zero, zero, mean, precision, weight=0.0,
            points=displaced(states),
        )  # fmt: skip
        return np.asarray(g) / scale

    def by_adjoint(states: Array) -> Array:
        # The descent's observation term is a mean over the data, without the factor one half.
        data = float(counted.sum(1).max())
        only = replace(settings, lambda1=data / 2, lambda2=0.0)
        g = engine.cost(model, only, states, zero, zero, points=displaced(states)).gradient
        return np.asarray(g) * (counted.sum(1) / data)[:, None, None] / scale

    return [
        # The whole length of the gradient's direction is in the few observed states.
        difference_check(
            names[0], lambda states: (v * predicted(states)).sum(1), by_tangent_linear, x, seed,
            reach=1 / 16,
        ),
        agreement(
            names[1], {"product": (by_adjoint(x), by_tangent_linear(x))}, EPS,
            1.0 + float(np.abs(points.operator.coefficient).sum(2).max()) / _LARGE,
        ),
    ]  # fmt: skip


def drawn(states: Array, seed: int) -> Points:
    """Return data at random times, each of a random combination of the components."""
    windows, steps, size = states.shape
    rng = np.random.default_rng([seed, 3])
    shape = (windows, _COUNT)
    step = rng.integers(0, steps, shape)
    terms = min(size, _TERMS)
    # One component of each of as many parts of the state.
    index = rng.integers(0, size // terms, (*shape, terms)) + size // terms * np.arange(terms)
    operator = SparseRows(index, rng.standard_normal(index.shape), size)
    value = operator.product(states[np.arange(windows)[:, None], step])
    noise = states.std() * rng.standard_normal(shape)
    return Points(step, rng.uniform(0, 1, shape), value + noise, np.ones(shape), operator)
