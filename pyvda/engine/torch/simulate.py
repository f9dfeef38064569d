"""Simulation in torch: Dormand-Prince 5(4) with dense output, or the model's own steps.

Dormand-Prince follows `julia/src/schemes/dormand_prince.jl` operation by operation, all windows in
step, and gives the same bits; only the tendency is torch's, since numpy rounds square roots and
quotients of scalars as IEEE 754 asks and torch (2.13, AVX2) does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array
from pyvda.models.in_torch import expect_own_step, module_of
from pyvda.models.model import Model


def simulate(
    model: Model,
    start: Array,
    *,
    time_step: float,
    steps: int,
    spinup: float = 0.0,
    rtol: float = 1e-9,
    atol: float = 1e-9,
) -> Array:
    """See `Engine.simulate`."""
    y = checked("start", start, (len(start), model.state_size), np.dtype(float))
    function = module_of(model)

    def f(state: Array) -> Array:
        with torch.no_grad():
            return np.asarray(function(torch.from_numpy(state)).numpy())

    with np.errstate(over="ignore", invalid="ignore"):
        if model.kind == "step":
            expect_own_step(model, time_step)
            return _iterated(f, y, steps, round(spinup / time_step))
        return _dormand_prince(f, y, time_step, steps, spinup, rtol, atol)


def _iterated(f: Callable[[Array], Array], y: Array, steps: int, before: int) -> Array:
    """Return `steps` states (W, steps, D) that come `before` steps after y; NaN if one diverged."""
    for _ in range(before):
        y = f(y)
    out = np.empty((len(y), steps, y.shape[1]))
    for t in range(steps):
        out[:, t] = y
        y = f(y) if t + 1 < steps else y
    out[~np.isfinite(out).all((1, 2))] = np.nan
    return out


_STEPS_AT_MOST = 1000  # for each output step, as in dormand_prince.jl

# Dormand & Prince (1980): stages 2 to 6, the new state (k₂ has weight 0), its error, and Hairer's
# dense output. Every number is the quotient of two integers, rounded once.
_STAGES = [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
]
_NEW = [35 / 384, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]
_ERROR = [71 / 57600, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]
_DENSE = [
    -12715105075 / 11282082432,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
]


def _combination(coefficients: Sequence[float], k: Sequence[Array]) -> Array:
    total = coefficients[0] * k[0]
    for coefficient, slope in zip(coefficients[1:], k[1:], strict=True):
        total = total + coefficient * slope
    return total


def _dormand_prince(
    f: Callable[[Array], Array],
    y: Array,
    dt: float,
    steps: int,
    spinup: float,
    rtol: float,
    atol: float,
) -> Array:
    out = np.full((len(y), steps, y.shape[1]), np.nan)
    saved = np.zeros(len(y), dtype=int)
    running = np.arange(len(y))
    t = np.full(len(y), -spinup)
    h = np.full(len(y), dt / 8)
    k1 = f(y)
    left = _STEPS_AT_MOST * (spinup / dt + steps)
    while len(running):
        step = h[:, None]
        k = [k1]
        for stage in _STAGES:
            k.append(f(y + step * _combination(stage, k)))
        used = [k[0], *k[2:]]
        y_new = y + step * _combination(_NEW, used)
        used.append(f(y_new))
        scale = atol + rtol * np.maximum(np.abs(y), np.abs(y_new))
        err = (np.abs(step * _combination(_ERROR, used)) / scale).max(1)
        accepted = err <= 1
        t_new = t + h
        due = accepted & (saved < steps) & (saved * dt <= t_new)
        while due.any():
            theta = ((saved * dt - t) / h)[due, None]
            values = _interpolate(y[due], y_new[due], step[due], theta, [s[due] for s in used])
            out[running[due], saved[due]] = values
            saved = saved + due
            due = due & (saved < steps) & (saved * dt <= t_new)
        t = np.where(accepted, t_new, t)
        y = np.where(accepted[:, None], y_new, y)
        k1 = np.where(accepted[:, None], used[-1], k1)
        h = h * _step_factor(err)
        left -= 1
        diverged = ~((h > 1e-5 * dt) & (left > 0))
        out[running[diverged]] = np.nan
        keep = (saved < steps) & ~diverged
        if not keep.all():
            running, saved = running[keep], saved[keep]
            t, h, y, k1 = t[keep], h[keep], y[keep], k1[keep]
    return out


def _step_factor(err: Array) -> Array:
    root = np.sqrt(np.sqrt(np.sqrt(err)))
    with np.errstate(divide="ignore"):
        factor = np.maximum(0.2, 0.9 / (root * np.sqrt(root)))
    factor = np.minimum(factor, np.where(err <= 1, 5.0, 1.0))
    return np.where(np.isfinite(err), factor, 0.2)


def _interpolate(y: Array, y_new: Array, h: Array, theta: Array, k: Sequence[Array]) -> Array:
    one_minus = 1.0 - theta
    difference = y_new - y
    c3 = h * k[0] - difference
    c4 = difference - h * k[5] - c3
    c5 = h * _combination(_DENSE, k)
    return y + theta * (difference + one_minus * (c3 + theta * (c4 + one_minus * c5)))
