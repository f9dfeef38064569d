"""The curvature of the dynamics in the cost (4), measured at given windows.

Where the model is followed, the Hessian of Σ |x(t + 1) - Φ(x(t))|² is 2 LᵀL, with L the difference
of a perturbation and of what the tangent linear makes of it a step before. The largest eigenvalue
of LᵀL comes from a few steps of Lanczos' method, which need only products with the tangent linear
and its adjoint; it is found from below, to a few percent.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import cast

import numpy as np

from pyvda.climate.climatology import climatology
from pyvda.engine.interface import Array, CostSettings, Engine
from pyvda.errors import InputError
from pyvda.methods.problem import Problem
from pyvda.models.model import Model

_LANCZOS = 16
_AT_ONCE = 1 << 18  # numbers of the windows that are measured together
_RUNS, _STEPS = 16, 32  # of sequences of climatological states


def largest(engine: Engine, model: Model, settings: CostSettings, x: Array) -> Array:
    """Return the largest eigenvalue of LᵀL at windows x (W, T, D), (W,), NaN if not finite."""
    found = np.full(len(x), np.nan)
    usable = np.flatnonzero(np.isfinite(x).all((1, 2)))
    length = max(1, _AT_ONCE // max(1, x[0].size)) if len(x) else 1
    for first in range(0, len(usable), length):
        block = usable[first : first + length]
        found[block] = _lanczos(engine, model, settings, x[block])
    return found


def of_climatology(problem: Problem) -> float:
    """Return the largest eigenvalue of LᵀL over sequences of climatological states.

    0 where the model has no climatology. The sequences are random: of LᵀL only the Jacobians at the
    states matter, and a scheme may not be able to follow a stiff model along its attractor. Blocks
    of one file, which have the same model, share it.
    """
    engine = cast(Hashable, problem.engine)  # mypy takes no protocol for hashable
    return _of_climatology(engine, problem.model, problem.cost)


@lru_cache(maxsize=8)
def _of_climatology(engine: Engine, model: Model, settings: CostSettings) -> float:
    try:
        states = climatology(model, engine).states
    except InputError:  # it has no attractor
        return 0.0
    length = min(_STEPS, len(states))
    runs = min(_RUNS, len(states) // length, max(1, _AT_ONCE // (length * model.state_size)))
    x = np.reshape(states[: runs * length], (runs, length, model.state_size))
    found = largest(engine, model, settings, np.asarray(x, float))
    return float(found[np.isfinite(found)].max(initial=0.0))


def _lanczos(engine: Engine, model: Model, settings: CostSettings, x: Array) -> Array:
    """Return the largest Ritz value of each window, from one vector for all of them."""
    h, scheme = settings.time_step, settings.scheme
    states = np.ascontiguousarray(x[:, :-1])
    v = np.broadcast_to(np.random.default_rng(0).standard_normal(x.shape[1:]), x.shape)
    v = v / _norm(v)
    before, beta = np.zeros_like(v), np.zeros((len(x), 1, 1))
    matrix = np.zeros((len(x), _LANCZOS, _LANCZOS))
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(_LANCZOS):
            v = _without_lost(v, matrix, k)
            at = np.ascontiguousarray(v[:, :-1])
            residual = v[:, 1:] - engine.tangent_linear(
                model, states, at, time_step=h, scheme=scheme
            )
            residual = _without_lost(residual, matrix, k)
            product = np.zeros_like(v)
            product[:, 1:] = residual
            product[:, :-1] -= engine.adjoint(model, states, residual, time_step=h, scheme=scheme)
            alpha = (product * v).sum((1, 2), keepdims=True)
            product -= alpha * v + beta * before
            matrix[:, k, k] += alpha[:, 0, 0]
            beta = _norm(product)
            if k + 1 < _LANCZOS:
                matrix[:, k, k + 1] = matrix[:, k + 1, k] = beta[:, 0, 0]
            before, v = v, product / np.where(beta > 0, beta, 1.0)
    found = np.full(len(x), np.nan)
    finite = np.isfinite(matrix).all((1, 2))
    found[finite] = np.linalg.eigvalsh(matrix[finite])[:, -1]
    return found


def _without_lost(values: Array, matrix: Array, k: int) -> Array:
    """Return windows with 0 in place of those that are not finite, whose matrix gets a NaN."""
    lost = np.asarray(~np.isfinite(values).all((1, 2)))
    matrix[lost, k, k] = np.nan
    return np.where(lost[:, None, None], 0.0, values)


def _norm(v: Array) -> Array:
    return np.asarray(np.sqrt((v**2).sum((1, 2), keepdims=True)))
