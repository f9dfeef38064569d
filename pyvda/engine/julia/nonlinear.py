"""The verbs of the Julia engine for observations of a function h, by its linearisations.

A cost and its gradient at given states are exact with h linearised there; the minimisations
linearise anew at every step (relinearised.py). `descend` and `ensemble_smoother` are not here: in
Julia they call h itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.engine.data import GIVEN_UP, Minima, Minimum, Shooting
from pyvda.engine.interface import Array, CostResult, CostSettings
from pyvda.engine.julia.linearised_data import expect_julia, linearised
from pyvda.engine.julia.relinearised import Value, minimised
from pyvda.models.model import Model
from pyvda.names import Status
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine

_LOOSE = 0.1  # decrement below which a window shorter than the whole is lengthened
_LOST_IN_SUM = 1e-12  # relative to J: a smaller decrease is not seen


def cost(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
    *,
    gradient: bool,
    points: Channels,
) -> CostResult:
    """See `Engine.cost`; NaN for a window where h is not finite."""
    data, possible = linearised(points, x)
    found = engine.cost(model, settings, x, observation, mask, gradient=gradient, points=data)
    for part in (found.observation, found.gradient_norm, found.gradient):
        if part is not None:
            part[~possible] = np.nan
    return found


def weak_constraint(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    shooting: Shooting,
    x: Array,
    observation: Array,
    mask: Array,
    divisor: Array,
    background: Array,
    precision: Array,
    *,
    spread: bool,
    points: Channels,
) -> Minimum:
    """See `Engine.weak_constraint`; the control is the states at the nodes."""
    expect_julia(points)
    if not len(x):
        return engine.weak_constraint(
            model, settings, shooting, x, observation, mask, divisor, background, precision,
            spread=spread,
        )  # fmt: skip
    every = min(shooting.every, np.shape(x)[1])

    stage = 0

    def called(rows: Array, states: Array, count: int, data: Any, sd: bool = False) -> Minimum:
        limited = replace(
            shooting, weights=shooting.weights[stage : stage + 1], iterations=count, tolerance=0.0,
            drop=0.0, give_up_stage=0, give_up_cost=np.inf,
        )  # fmt: skip
        return engine.weak_constraint(
            model, settings, limited, states, observation[rows], mask[rows], divisor[rows],
            background[rows], precision, spread=sd, points=data,
        )  # fmt: skip

    def states_of(rows: Array, nodes: Array) -> Array:
        states = np.repeat(nodes, every, axis=1)[:, : np.shape(x)[1]]
        return states if every == 1 else called(rows, states, 0, None).x

    def value(rows: Array, nodes: Array) -> Value:
        states = states_of(rows, nodes)
        data, possible = linearised(points[rows], states)
        J, norm = np.full((2, len(rows)), np.inf)
        if possible.any():
            there = called(rows[possible], states[possible], 0, data[possible])
            J[possible], norm[possible] = there.cost, there.gradient_norm
        return Value(np.where(np.isfinite(J), J, np.inf), norm)

    def proposed(rows: Array, nodes: Array, count: int) -> Array:
        states = states_of(rows, nodes)
        return called(rows, states, count, linearised(points[rows], states)[0]).x[:, ::every]

    nodes = np.array(x[:, ::every], float, order="C")
    all_rows = np.arange(len(x))
    limits = shooting.tolerance * value(all_rows, nodes).distance
    status = np.full(len(x), int(Status.ITERATION_LIMIT))
    J, norm = np.full((2, len(x)), np.inf)
    taken, running = np.zeros(len(x), int), all_rows
    give_up = np.broadcast_to(shooting.give_up_cost, len(x))
    for stage in range(len(shooting.weights)):  # read by `called`
        if not len(running):
            break
        rows = running

        def value_of(some: Array, there: Array, rows: Array = rows) -> Value:
            return value(rows[some], there)

        def step_of(some: Array, there: Array, count: int, rows: Array = rows) -> Array:
            return proposed(rows[some], there, count)

        found = minimised(
            nodes[rows], value_of, step_of, limits[rows], shooting.iterations, shooting.drop
        )
        nodes[rows], J[rows], norm[rows] = found.x, found.cost, found.distance
        taken[rows] += found.iterations
        arrived = found.settled | (found.distance <= limits[rows])
        status[rows] = np.where(arrived, Status.CONVERGED, Status.ITERATION_LIMIT)
        status[rows[~np.isfinite(found.cost)]] = Status.DIVERGED
        running = rows[np.isfinite(found.cost)]
        if stage + 1 == shooting.give_up_stage:
            dear = J[running] > give_up[running]
            status[running[dear]] = GIVEN_UP
            running = running[~dear]
    stage = len(shooting.weights) - 1
    states = states_of(all_rows, nodes)
    lost = ~np.isfinite(J)
    stdev = None
    if spread:
        stdev = np.full(states.shape, np.nan)
        kept = all_rows[~lost]
        if len(kept):
            data, _ = linearised(points[kept], states[kept])
            stdev[kept] = called(kept, states[kept], 0, data, True).stdev
    return Minimum(states, stdev, status, taken, J, norm)


def strong_constraint(
    engine: JuliaEngine,
    verb: Callable[..., tuple[Minima, Array]],
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    starts: Array,
    *,
    lead: int,
    growth: int,
    iterations: int,
    tolerance: float,
    points: Channels,
    **prior: Array,
) -> Minima:
    """See `Engine.strong_constraint`.

    Parameters
    ----------
    verb : callable
        The verb for linear data, which returns the minima and how far they are from one, gᵀH⁻¹g.
    prior : dict
        Background, its precision, and the variance that measures the damping.
    """
    expect_julia(points)
    windows, count, size = starts.shape
    window = np.repeat(np.arange(windows), count)
    length = observation.shape[1]
    horizons = [*range(growth, length, growth), length] if growth else [length]
    x, taken = starts.reshape(-1, size).astype(float), np.zeros(windows * count, int)
    every = np.arange(len(x))

    def called(
        rows: Array, control: Array, horizon: int, count: int
    ) -> tuple[Array, Minima, Array]:
        """Return which rows have finite data, and the verb's minima and distances of these."""
        eye = np.broadcast_to(np.eye(size), (len(rows), size, size))
        states, _ = engine.trajectories(
            model, settings, control, eye, lead=lead, steps=horizon
        )  # fmt: skip
        seen = points[window[rows]]
        seen = replace(seen, value=seen.value[:, :horizon], weight=seen.weight[:, :horizon])
        data, possible = linearised(seen, states[..., : model.state_size])
        kept = window[rows[possible]]
        found, distance = verb(
            model, settings, observation[kept, :horizon], precision[kept, :horizon],
            control[possible, None], lead=lead, growth=0, iterations=count, tolerance=0.0,
            points=data[possible], **prior,
        )  # fmt: skip
        return possible, found, distance[:, 0]

    for horizon in horizons:

        def value(rows: Array, control: Array, horizon: int = horizon) -> Value:
            J, far = np.full((2, len(rows)), np.inf)
            possible, there, distance = called(rows, control, horizon, 0)
            J[possible], far[possible] = there.objective[:, 0], distance
            return Value(np.where(np.isfinite(J), J, np.inf), far)

        def proposed(rows: Array, control: Array, count: int, horizon: int = horizon) -> Array:
            possible, found, _ = called(rows, control, horizon, count)
            control = control.copy()
            control[possible] = found.control[:, 0]
            return control

        enough = tolerance if horizon == length else _LOOSE
        found = minimised(x, value, proposed, np.full(len(x), enough), iterations)
        x, taken = found.x, taken + found.iterations

    control, hessian = np.full(x.shape, np.nan), np.full((len(x), size, size), np.nan)
    possible, last, _ = called(every, x, length, 0)
    control[possible], hessian[possible] = last.control[:, 0], last.hessian[:, 0]
    arrived = found.distance <= np.maximum(tolerance, _LOST_IN_SUM * (1 + found.cost))
    status = np.where(arrived, Status.CONVERGED, Status.ITERATION_LIMIT)
    status = np.where(np.isfinite(found.cost), status, Status.DIVERGED).astype(int)
    parts = (control, hessian, found.cost, taken, status)
    return Minima(*(part.reshape(windows, count, *part.shape[1:]) for part in parts))


def shooting_objective(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    *others: Array,
    every: int,
    substeps: int,
    points: Channels,
    **options: Any,
) -> tuple[Array, Array | None]:
    """See `Engine.shooting_objective`; NaN for a window where h is not finite."""
    states, size = x, model.state_size
    if min(every, np.shape(x)[1]) > 1:
        none, zero = np.zeros(np.shape(x)), np.zeros((len(x), size))
        states = engine.weak_constraint(
            model, settings, Shooting((1.0,), every, substeps, iterations=0), x, none, none,
            np.ones(len(x)), zero, np.eye(size),
        ).x  # fmt: skip
    data, possible = linearised(points, states)
    J, gradient = engine.shooting_objective(
        model, settings, x, observation, *others, every=every, substeps=substeps, points=data,
        **options,
    )  # fmt: skip
    return _known(possible, J, gradient)


def strong_objective(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    start: Array,
    observation: Array,
    *others: Array,
    lead: int,
    points: Channels,
) -> tuple[Array, Array]:
    """See `Engine.strong_objective`; NaN for a window where h is not finite."""
    eye = np.broadcast_to(np.eye(start.shape[1]), (*start.shape, start.shape[1]))
    steps = observation.shape[1]
    states, _ = engine.trajectories(model, settings, start, eye, lead=lead, steps=steps)
    data, possible = linearised(points, states)
    J, gradient = engine.strong_objective(
        model, settings, start, observation, *others, lead=lead, points=data
    )
    _known(possible, J, gradient)
    return J, gradient


def _known(possible: Array, J: Array, gradient: Array | None) -> tuple[Array, Array | None]:
    J[~possible] = np.nan
    if gradient is not None:
        gradient[~possible] = np.nan
    return J, gradient
