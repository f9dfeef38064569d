"""Minimisation where h is linearised anew at every step: Gauss-Newton around the Julia verbs.

A verb proposes a step for the data linearised at the present state. It is taken as far as the exact
cost falls: the whole step, or a half, a quarter, ... of it. The first step of a verb is that of
Gauss-Newton on the exact cost, a direction of descent, so that some fraction lowers the cost; where
the verb's own cost refuses the step it is asked for more of its iterations, which are damped.

Every window or start is on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyvda.engine.interface import Array

_MOST_AT_ONCE = 64  # iterations of the verb for one step
_SMALLEST_PART = 2.0**-30  # of a step
_ROUNDING = 1e-13  # relative rise of a cost that rounding may cause


class Value(NamedTuple):
    """The exact cost of n controls (inf where there is none) and how far they are from a minimum.

    Attributes
    ----------
    cost : (n,)
    distance : (n,)
        Compared to the limit of `minimised`.
    """

    cost: Array
    distance: Array


class Found(NamedTuple):
    """The controls (N, ...) where `minimised` ended, their values, and counts (N,).

    Attributes
    ----------
    x : (N, ...)
    cost, distance : (N,)
    iterations : (N,) of int
    settled : (N,) of bool
        Whether the last step lowered the cost by less than `drop`.
    """

    x: Array
    cost: Array
    distance: Array
    iterations: Array
    settled: Array


def minimised(
    x: Array,
    value: Callable[[Array, Array], Value],
    proposed: Callable[[Array, Array, int], Array],
    limit: Array,
    iterations: int,
    drop: float = 0.0,
) -> Found:
    """Minimise from controls x (N, ...).

    Parameters
    ----------
    value : callable
        (rows, x of these) to their `Value`.
    proposed : callable
        (rows, x of these, iterations of the verb) to the controls that the verb proposes.
    limit : (N,)
        The distance at which each has arrived.
    iterations : int
        At most so many steps.
    drop : float
        A control that a step improves by less is left; 0: none is for that.
    """
    x = x.copy()
    every = np.arange(len(x))
    cost, distance = (np.array(part, float) for part in value(every, x))
    at_once, taken = np.ones(len(x), int), np.zeros(len(x), int)
    settled = np.zeros(len(x), bool)

    def under_way(rows: Array) -> Array:
        far = distance[rows] > limit[rows]
        able = np.isfinite(cost[rows]) & ~settled[rows]
        return rows[able & far & (taken[rows] < iterations)]

    active = under_way(every)
    while len(active):
        step = np.zeros_like(x[active])
        for count in np.unique(at_once[active]):
            these = at_once[active] == count
            rows = active[these]
            step[these] = proposed(rows, x[rows], int(count)) - x[rows]
        flat = step.reshape(len(active), -1)
        moved = np.isfinite(flat).all(1) & (flat != 0).any(1)
        refused = active[~moved]
        at_once[refused] *= 2
        going = [refused[at_once[refused] <= _MOST_AT_ONCE]]
        rows, step, part = active[moved], step[moved], 1.0
        taken[rows] += 1
        while len(rows) and part >= _SMALLEST_PART:
            trial = x[rows] + part * step
            there = value(rows, trial)
            lower = there.cost < cost[rows]
            alike = there.cost <= cost[rows] + _ROUNDING * np.abs(cost[rows])
            better = lower | (alike & (there.distance < distance[rows]))
            taker = rows[better]
            settled[taker] = cost[taker] - there.cost[better] < drop if drop else False
            x[taker], cost[taker] = trial[better], there.cost[better]
            distance[taker], at_once[taker] = there.distance[better], 1
            going.append(taker)
            rows, step, part = rows[~better], step[~better], part / 2
        active = under_way(np.sort(np.concatenate(going)))
    return Found(x, cost, distance, taken, settled)
