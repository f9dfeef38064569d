"""The outer loops of incremental 4D-Var: a window that grows, and steps that lower the exact J.

P. Courtier, J.-N. Thépaut and A. Hollingsworth, Q. J. R. Meteorol. Soc. 120 (1994), 1367-1387;
C. Pires, R. Vautard and O. Talagrand, Tellus A 48 (1996), 96-121, for the growing window.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.incremental_cost import ControlCost
from pyvda.methods.inner_loop import Ritz
from pyvda.methods.inner_loop import solve as solve_linear
from pyvda.methods.problem import Status
from pyvda.methods.trajectory import Trajectory

if TYPE_CHECKING:
    from pyvda.methods.incremental import IncrementalOptions

_SHORTEST = 2.0**-6  # of a step of Gauss-Newton
# What the linearised J may promise at a minimum: times the tolerance, and of J where that is small.
_PROMISED, _ROUNDING = 10.0, 1e-10
_EARLY_ITERATIONS, _EARLY_INNER, _EARLY_TOLERANCE = 2, 20, 0.1  # of windows that grow


class ControlMinimum(NamedTuple):
    """Where the outer loops of a window ended: its trajectory x (T, D), control and Ritz pairs."""

    x: Array
    trajectory: Trajectory
    status: int
    objective: float
    iterations: int
    control: Array
    ritz: Ritz


def minimised(
    cost: ControlCost, options: IncrementalOptions, near: ControlMinimum | None = None
) -> ControlMinimum:
    """Minimise J of windows that grow to the whole one, each from the minimum before.

    From the minimum of a cost that differs little, the window need not grow.
    """
    v, ritz, count = np.zeros(cost.control.rank), Ritz.none(cost.control.rank), 0
    if near is not None:
        v, ritz = near.control, near.ritz
    status = Status.ITERATION_LIMIT
    for steps, last in _lengths(cost.data.steps, options.growth if near is None else 0):
        x = cost.trajectory(v, steps)
        J = cost.value(v, x)
        status = Status.ITERATION_LIMIT
        for _ in range(options.iterations if last else _EARLY_ITERATIONS):
            if not np.isfinite(J):
                break
            downhill = -cost.gradient(v, x)
            inner = solve_linear(
                partial(cost.curvature, x=x),
                downhill,
                ritz,
                options.inner_iterations if last else min(_EARLY_INNER, options.inner_iterations),
                options.inner_tolerance if last else max(_EARLY_TOLERANCE, options.inner_tolerance),
            )
            count += 1
            # A loop that hardly had to iterate knows less of A than the one before.
            ritz = inner.ritz if len(inner.ritz.values) >= len(ritz.values) else ritz
            promised = 0.5 * float(downhill @ inner.x)
            del downhill
            v, x, J, fell = _shortened(cost, v, x, J, inner.x)
            if fell <= options.tolerance * J:
                # Where shorter steps hardly lower J either, this need not be a minimum.
                if promised <= max(_PROMISED * options.tolerance, _ROUNDING) * J:
                    status = Status.CONVERGED
                break
    whole = x.whole()
    if not np.isfinite(J):
        whole, status, J = np.full_like(whole, np.nan), Status.DIVERGED, np.nan
    return ControlMinimum(whole, x, status, J, count, v, ritz)


def _shortened(
    cost: ControlCost, v: Array, x: Trajectory, J: float, step: Array
) -> tuple[Array, Trajectory, float, float]:
    """Return the control, trajectory and J after a step that lowers J, and by how much it fell."""
    length = 1.0
    while length >= _SHORTEST:
        there = v + length * step
        new = cost.trajectory(there, x.steps)
        value = cost.value(there, new)
        if value < J:
            return there, new, value, J - value
        length /= 2
    return v, x, J, 0.0


def _lengths(steps: int, growth: int | tuple[int, ...]) -> Iterator[tuple[int, bool]]:
    """Yield the lengths of the window while it grows, and whether it is the whole one."""
    if isinstance(growth, int):
        growth = tuple(range(growth, steps, growth)) if growth else ()
    for length in growth:
        if 1 < length < steps:
            yield length, False
    yield steps, True
