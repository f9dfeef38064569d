"""Checks of the cost with observations at arbitrary times: the file's own, or some drawn."""

from __future__ import annotations

import numpy as np

from pyvda.batch import Batch
from pyvda.checks.derivatives import EPS
from pyvda.checks.single import Check, agreement, amplification, not_run, taylor_check
from pyvda.engine import CostResult, CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.models import Model
from pyvda.points import Points

_NAMES = ("between steps, Taylor test", "between steps, torch autograd")
_COUNT = 12  # data of a window, where the file has none


def point_checks(
    engine: Engine, model: Model, settings: CostSettings, batch: Batch, x: Array, seed: int
) -> list[Check]:
    """Check the gradient with data between the steps: operator, shorter step and its adjoint.

    Parameters
    ----------
    settings : CostSettings
    batch : Batch
        numpy arrays, (W, T, D).
    x : (W, T, D)
        Where the cost is checked.
    """
    names = [f"julia {settings.scheme}: {name}" for name in _NAMES]
    if engine.info.name != "julia":
        return not_run(names, engine)
    from pyvda.engine.torch_engine import TorchEngine

    points = batch.points or drawn(np.asarray(batch.first_guess), seed)

    def cost(states: Array, on: Engine = engine) -> CostResult:
        y, mask = np.asarray(batch.observation), np.asarray(batch.mask)
        return on.cost(model, settings, states, y, mask, points=points)

    found, expected = cost(x), cost(x, TorchEngine("a check"))
    return [
        taylor_check(
            names[0],
            lambda states: cost(states).total,
            lambda states: np.asarray(cost(states).gradient),
            x,
            seed,
        ),
        agreement(
            names[1],
            {
                "cost": (found.total, expected.total),
                "gradient": (np.asarray(found.gradient), np.asarray(expected.gradient)),
            },
            EPS,
            amplification(x, np.sqrt(found.dynamics / settings.lambda2)),
        ),
    ]


def drawn(states: Array, seed: int) -> Points:
    """Return data at random times, each of a random combination of the components."""
    windows, steps, size = states.shape
    rng = np.random.default_rng([seed, 3])
    shape = (windows, _COUNT)
    step = rng.integers(0, steps, shape)
    operator = rng.standard_normal((*shape, size))
    value = (operator * states[np.arange(windows)[:, None], step]).sum(-1)
    noise = states.std() * rng.standard_normal(shape)
    return Points(step, rng.uniform(0, 1, shape), value + noise, np.ones(shape), operator)
