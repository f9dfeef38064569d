"""Runs of a model over windows and their tangent linear and adjoint, step by step by autograd."""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch import one_step
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model


def run(
    model: Model,
    settings: CostSettings,
    start: Array,
    steps: int,
    forcing: Array | None = None,
) -> Array:
    """See `Engine.run`."""
    step = Steps(model, settings)
    x = [np.asarray(start, float)]
    for t in range(steps - 1):
        good = np.isfinite(x[-1]).all(1)  # a state that diverged stays so
        moved = np.full_like(x[-1], np.nan)
        if good.any():
            moved[good] = one_step.step(step, np.ascontiguousarray(x[-1][good]))
        x.append(moved + _at(forcing, t))
    return np.stack(x, 1)


def tangent_run(
    model: Model,
    settings: CostSettings,
    x: Array,
    start: Array,
    memory: int = 0,
    forcing: Array | None = None,
) -> Array:
    """See `Engine.tangent_run`."""
    step = Steps(model, settings)
    v = [np.asarray(start, float)]
    for t in range(x.shape[1] - 1):
        moved = one_step.step_tangent(step, np.ascontiguousarray(x[:, t]), v[-1])
        v.append(moved + _at(forcing, t))
    return np.stack(v, 1)


def adjoint_run(
    model: Model, settings: CostSettings, x: Array, gradient: Array, memory: int = 0
) -> Array:
    """See `Engine.adjoint_run`."""
    step = Steps(model, settings)
    v = np.array(gradient, float)
    for t in range(x.shape[1] - 2, -1, -1):
        after = np.ascontiguousarray(v[:, t + 1])
        v[:, t] += one_step.step_adjoint(step, np.ascontiguousarray(x[:, t]), after)
    return v


def workspace_bytes(model: Model) -> int:
    """See `Engine.workspace_bytes`."""
    return 0


def _at(forcing: Array | None, t: int) -> Array | float:
    """Return what is added to the states after step t."""
    return 0.0 if forcing is None else forcing[:, t]
