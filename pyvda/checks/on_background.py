"""Checks of the background term: half the Mahalanobis distance of a first state from its mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from pyvda.checks.derivative_check import Check, agreement, not_run, taylor_check
from pyvda.checks.derivatives import EPS, Function
from pyvda.checks.on_objectives import drawn_background
from pyvda.climate.background import Background
from pyvda.cost import BackgroundTerm
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.julia.objectives import shooting_objective, strong_objective
from pyvda.models.model import Model


class _Term(NamedTuple):
    """A background term and its gradient as functions of states (W, 1, D)."""

    value: Function
    gradient: Function


def background_checks(
    engine: Engine, model: Model, settings: CostSettings, x: Array, seed: int
) -> list[Check]:
    """Check the term in torch and in both kinds of 4D-Var of the Julia engine.

    Parameters
    ----------
    x : (W, T, D)
        States, of which the first of each window is compared with the background.
    """
    background = drawn_background(x, seed)
    first = x[:, :1]
    checks = _checks("torch background", _in_torch(background), background, first, seed)
    for name, kind in (("weak", _weak), ("strong", _strong)):
        name = f"julia background, {name}"
        if isinstance(engine, JuliaEngine):
            term = kind(engine, model, settings, background)
            checks += _checks(name, term, background, first, seed)
        else:
            checks += not_run(_names(name), engine)
    return checks


def _names(name: str) -> list[str]:
    return [f"{name}: Taylor test", f"{name}: Mahalanobis distance"]


def _checks(name: str, term: _Term, background: Background, first: Array, seed: int) -> list[Check]:
    names = _names(name)
    d = first - background.mean
    pairs = {
        "cost": (term.value(first), background.cost(first)[:, 0]),
        "gradient": (term.gradient(first), background.gradient(first)),
    }
    # The precision lost in B⁻¹ d by cancellation.
    lost = (
        np.abs(d)
        @ np.abs(background.precision)
        / np.abs(d @ background.precision).max(2)[..., None]
    )
    return [
        taylor_check(names[0], term.value, term.gradient, first, seed),
        agreement(names[1], pairs, EPS, float(lost.max())),
    ]


def _in_torch(background: Background) -> _Term:
    term = BackgroundTerm(
        torch.as_tensor(background.mean),
        cholesky=torch.as_tensor(np.linalg.cholesky(background.precision)),
        weight=len(background.mean) / 2,  # torch's term is divided by the number of components
    )

    def value(states: Array) -> Array:
        x = torch.as_tensor(states)
        return np.asarray(term(x, x).numpy())

    def gradient(states: Array) -> Array:
        x = torch.as_tensor(states)
        return np.asarray(term.gradient(x, x)[:, None].numpy())

    return _Term(value, gradient)


def _weak(
    engine: JuliaEngine, model: Model, settings: CostSettings, background: Background
) -> _Term:
    def objective(states: Array) -> tuple[Array, Array | None]:
        zero = np.zeros_like(states)
        mean = np.broadcast_to(background.mean, states[:, 0].shape)
        return shooting_objective(
            engine, model, settings, states, zero, zero, mean, background.precision, weight=0.0
        )

    return _Term(lambda x: objective(x)[0], lambda x: np.asarray(objective(x)[1]))


def _strong(
    engine: JuliaEngine, model: Model, settings: CostSettings, background: Background
) -> _Term:
    def objective(states: Array) -> tuple[Array, Array]:
        zero = np.zeros_like(states)
        return strong_objective(
            engine, model, settings, states[:, 0], zero, zero, background.mean, background.precision
        )

    return _Term(lambda x: objective(x)[0], lambda x: objective(x)[1][:, None])
