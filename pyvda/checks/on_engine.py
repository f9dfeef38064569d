"""Checks of the Julia engine: its steps, its cost, and its gradient compared with torch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.checks.derivative_check import (
    Check,
    agreement,
    amplification,
    not_run,
    step_checks,
    taylor_check,
)
from pyvda.checks.derivatives import EPS
from pyvda.checks.on_torch import EPS32, TorchCost
from pyvda.engine import CostResult, CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.models.model import Model
from pyvda.state.batch import Batch

_NAMES = (
    "tangent linear, by differences",
    "adjoint, in ulps",
    "gradient, Taylor test",
    "cost and gradient, torch autograd",
    "float32 against float64",
)


def engine_checks(
    engine: Engine,
    model: Model,
    settings: CostSettings,
    batch: Batch,
    x: Array,
    in_torch: TorchCost,
    seed: int,
) -> list[Check]:
    """Check the hand-written derivatives of the Julia engine; other engines are listed as not run.

    Parameters
    ----------
    settings : CostSettings
    batch : Batch
        numpy arrays, (W, T, D).
    x : (W, T, D)
        The states at which the cost is checked.
    in_torch : TorchCost
        The same cost in torch.
    """
    names = [f"julia {settings.scheme}: {name}" for name in _NAMES]
    if engine.info.name != "julia":
        return not_run(names, engine)
    how: dict[str, Any] = {"time_step": settings.time_step, "scheme": settings.scheme}

    def cost(states: Array, dtype: Any = np.float64, gradient: bool = True) -> CostResult:
        arrays = (np.asarray(a, dtype) for a in (states, batch.observation, batch.mask))
        return engine.cost(model, settings, *arrays, gradient=gradient)

    double, float32 = cost(x), cost(x, np.float32)
    by_hand = np.asarray(double.gradient)
    magnified = amplification(x, np.sqrt(double.dynamics / settings.lambda2))
    return [
        *step_checks(
            (names[0], names[1]),
            lambda states: engine.forecast(model, states, **how),
            lambda states, direction: engine.tangent_linear(model, states, direction, **how),
            lambda states, v: engine.adjoint(model, states, v, **how),
            x,
            by_hand,
            seed,
        ),
        taylor_check(
            names[2],
            lambda states: cost(states, gradient=False).total,
            lambda states: np.asarray(cost(states).gradient),
            x,
            seed,
        ),
        agreement(
            names[3],
            {
                "cost": (double.total, in_torch.value(x)),
                "gradient": (by_hand, in_torch.by_autograd(x)),
            },
            EPS,
            magnified,
        ),
        agreement(
            names[4],
            {
                "cost": (float32.total, double.total),
                "gradient": (np.asarray(float32.gradient, dtype=float), by_hand),
            },
            EPS32,
            magnified,
        ),
    ]
