"""Checks of the objectives of the Gauss-Newton methods, at random states with random data.

The statistical form has a node at every step, multiple shooting one at every second step, and the
strong constraint is the case of one node, some steps before the window. The engine computes their
gradients by the tangent linear; here the model's adjoint propagates the misfits backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyvda.checks.derivative_check import (
    Check,
    agreement,
    amplification,
    not_run,
    spread,
    taylor_check,
)
from pyvda.checks.derivatives import EPS
from pyvda.climate.background import Background
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.julia.objectives import shooting_objective, strong_objective
from pyvda.models.model import Model

_STEPS, _EVERY, _LEAD = 5, 2, 2
# Over several steps the model is strongly nonlinear: with short directions the remainder is still
# of second order.
_REACH = 1 / 16
_OBSERVED = 0.4
_RUNAWAY = 1e9  # all misfits are of the order of their deviations
_FORMS = {"statistical form": 1, "multiple shooting": _EVERY, "strong constraint": None}
_KINDS = ("Taylor test", "by the adjoint")


class _Drawn(NamedTuple):
    """States, data and precisions, all (W, T, D), and a background of similar size."""

    x: Array
    observation: Array
    precision: Array
    background: Background


def objective_checks(
    engine: Engine, model: Model, settings: CostSettings, x: Array, seed: int
) -> list[Check]:
    """Check the gradients of three objectives; list them as not run without Julia.

    Parameters
    ----------
    x : (W, T, D)
        States whose first steps are the control.
    """
    names = [f"julia {settings.scheme}: {form}, {kind}" for form in _FORMS for kind in _KINDS]
    if not isinstance(engine, JuliaEngine):
        return not_run(names, engine)
    drawn = _drawn(x[:, :_STEPS], seed)
    checks: list[Check] = []
    for form, every in _FORMS.items():
        if every is None:
            checks += _strong_checks(engine, model, settings, drawn, form, seed)
        else:
            checks += _shooting_checks(engine, model, settings, drawn, form, every, seed)
    return checks


def _shooting_checks(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    drawn: _Drawn,
    form: str,
    every: int,
    seed: int,
) -> list[Check]:
    weight = 1 / spread(drawn.x) ** 2
    background = np.broadcast_to(drawn.background.mean, drawn.x[:, 0].shape)

    def objective(nodes: Array, gradient: bool) -> tuple[Array, Array | None]:
        x = np.zeros_like(drawn.x)
        x[:, ::every] = nodes
        return shooting_objective(
            engine, model, settings, x, drawn.observation, drawn.precision, background,
            drawn.background.precision, weight=weight, every=every, gradient=gradient,
        )  # fmt: skip

    return _two_checks(
        f"julia {settings.scheme}: {form}",
        lambda nodes: objective(nodes, gradient=False)[0],
        lambda nodes: np.asarray(objective(nodes, gradient=True)[1]),
        lambda nodes: by_adjoint(engine, model, settings, drawn, nodes, every, weight),
        drawn.x[:, ::every],
        seed,
    )


def _strong_checks(
    engine: JuliaEngine, model: Model, settings: CostSettings, drawn: _Drawn, form: str, seed: int
) -> list[Check]:
    def objective(nodes: Array) -> tuple[Array, Array]:
        return strong_objective(
            engine, model, settings, nodes[:, 0], drawn.observation, drawn.precision,
            drawn.background.mean, drawn.background.precision, lead=_LEAD,
        )  # fmt: skip

    # The steps before the window have no data.
    before = ((0, 0), (_LEAD, 0), (0, 0))
    longer = drawn._replace(
        observation=np.pad(drawn.observation, before), precision=np.pad(drawn.precision, before)
    )
    return _two_checks(
        f"julia {settings.scheme}: {form}",
        lambda nodes: objective(nodes)[0],
        lambda nodes: objective(nodes)[1][:, None],
        lambda nodes: by_adjoint(engine, model, settings, longer, nodes, _STEPS + _LEAD, 0.0),
        drawn.x[:, :1],
        seed,
    )


def _two_checks(
    name: str,
    value: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
    expected: Callable[[Array], tuple[Array, Array]],
    nodes: Array,
    seed: int,
) -> list[Check]:
    names = [f"{name}, {kind}" for kind in _KINDS]
    J_expected, g_expected = expected(nodes)
    if not (J_expected < _RUNAWAY).all():
        why = f"the model's states grow without bound in {_STEPS + _LEAD} steps"
        return [Check(name, None, None, why) for name in names]
    pairs = {"cost": (value(nodes), J_expected), "gradient": (gradient(nodes), g_expected)}
    magnified = amplification(nodes, np.full(len(nodes), spread(nodes)))
    return [
        taylor_check(names[0], value, gradient, nodes, seed, reach=_REACH),
        agreement(names[1], pairs, EPS, magnified),
    ]


def by_adjoint(
    engine: Engine,
    model: Model,
    settings: CostSettings,
    drawn: _Drawn,
    nodes: Array,
    every: int,
    weight: float,
) -> tuple[Array, Array]:
    """Return J (W,) and its gradient by the nodes (W, K, D), from steps and their adjoints.

    J is infinite if the states grow without bound.
    """
    y, precision, background = drawn.observation, drawn.precision, drawn.background
    how: dict[str, Any] = {"time_step": settings.time_step, "scheme": settings.scheme}
    x, jump = np.zeros_like(y), np.zeros_like(nodes)
    for t in range(y.shape[1]):
        k, since = divmod(t, every)
        if t:
            x[:, t] = engine.forecast(model, x[:, t - 1], **how)
        if not since:
            jump[:, k] = nodes[:, k] - x[:, t] if k else 0.0
            x[:, t] = nodes[:, k]
        if not (x[:, t] ** 2 < _RUNAWAY * spread(drawn.x) ** 2).all():
            return np.full(len(x), np.inf), jump
    J = background.cost(nodes[:, 0]) + 0.5 * (precision * (x - y) ** 2).sum((1, 2))
    J = J + 0.5 * weight * (jump**2).sum((1, 2))
    gradient = weight * jump
    gradient[:, 0] += background.gradient(nodes[:, 0])
    later = np.zeros_like(x[:, 0])  # slope with respect to the state one step later
    for t in reversed(range(y.shape[1])):
        k, since = divmod(t, every)
        slope = precision[:, t] * (x[:, t] - y[:, t]) + engine.adjoint(model, x[:, t], later, **how)
        later = slope if since else -weight * jump[:, k]
        if not since:
            gradient[:, k] += slope
    return np.asarray(J), gradient


def _drawn(x: Array, seed: int) -> _Drawn:
    rng = np.random.default_rng([seed, 6])
    size = spread(x)
    noise = size * rng.standard_normal(x.shape)
    seen = rng.random(x.shape) < _OBSERVED
    precision = seen * rng.uniform(0.5, 2.0, x.shape) / size**2
    return _Drawn(x, (x + noise) * seen, precision, drawn_background(x, seed))


def drawn_background(x: Array, seed: int) -> Background:
    """Return a Gaussian with the spread of `x` (W, T, D) and correlated components."""
    rng = np.random.default_rng([seed, 7])
    state = x.shape[2]
    mixed = rng.standard_normal((state, state)) / np.sqrt(state)
    covariance = spread(x) ** 2 * (mixed @ mixed.T + np.eye(state))
    mean = x.mean((0, 1)) + spread(x) * rng.standard_normal(state)
    return Background.full(mean, covariance)
