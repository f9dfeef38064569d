"""The torch engine: the same verbs by autograd, for machines without Julia, and to check Julia by.

Gradients and linearised steps come from autograd alone, with no hand-derived adjoint in between.
The simulation follows `dormand_prince.jl` operation by operation, all windows in step,
and gives the same bits; only the tendency is torch's there, since numpy rounds square roots and
quotients of scalars as IEEE 754 asks and torch (2.13, AVX2) does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from pyvda.cost import VariationalCost
from pyvda.engine.interface import (
    Array,
    CostResult,
    CostSettings,
    EngineInfo,
    Scheme,
    checked,
    checked_points,
    checked_problem,
    moved,
)
from pyvda.engine.torch import (
    ensemble_smoother,
    objectives,
    parameters,
    posterior_mean,
    strong_constraint,
    weak_constraint,
)
from pyvda.models.in_torch import module_of
from pyvda.models.model import Model
from pyvda.operators.points import Points
from pyvda.priors.ode import ODEPrior
from pyvda.state.batch import Batch


class TorchEngine:
    """Numerics in torch, on the CPU."""

    def __init__(self, reason: str) -> None:
        self.info = EngineInfo("torch", "torch", torch.__version__, torch.get_num_threads(), reason)

    def simulate(
        self,
        model: Model,
        start: Array,
        *,
        time_step: float,
        steps: int,
        spinup: float = 0.0,
        rtol: float = 1e-9,
        atol: float = 1e-9,
    ) -> Array:
        shape = (len(start), model.state_size)
        y = checked("start", start, shape, np.dtype(float))
        tendency = module_of(model)

        def f(state: Array) -> Array:
            return np.asarray(tendency(torch.from_numpy(state)).numpy())

        with np.errstate(over="ignore", invalid="ignore"):
            return _dormand_prince(f, y, time_step, steps, spinup, rtol, atol)

    def cost(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        gradient: bool = True,
        points: Points | None = None,
    ) -> CostResult:
        cost = _Cost(model, settings, x, observation, mask, points)
        state = cost.start.clone().requires_grad_()
        misfit, dynamics = cost.terms(state)
        (g,) = torch.autograd.grad((misfit + dynamics).sum(), state)
        return CostResult(
            misfit.detach().double().numpy(),
            dynamics.detach().double().numpy(),
            g.double().square().sum((1, 2)).sqrt().numpy(),
            g.numpy() if gradient else None,
        )

    def descend(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        step: float,
        iterations: int,
        out: Array | None = None,
        points: Points | None = None,
    ) -> Array:
        cost = _Cost(model, settings, x, observation, mask, points)
        state = cost.start.clone()
        for _ in range(iterations):
            state.requires_grad_()
            misfit, dynamics = cost.terms(state)
            (g,) = torch.autograd.grad((misfit + dynamics).sum(), state)
            state = state.detach() - step * g
        found = np.asarray(state.numpy())
        return found if out is None else moved(found, out)

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        shape = (*np.shape(x)[:2], model.state_size)
        state = torch.as_tensor(checked("x", x, shape, np.dtype(float)))
        points = checked_points(points, shape[0], shape[2], shape[1], np.dtype(float))
        with torch.no_grad():
            return np.asarray(_at_points(model, settings, state, points).numpy())

    # The methods' verbs, a file each.
    trajectories = staticmethod(strong_constraint.trajectories)
    strong_constraint = staticmethod(strong_constraint.strong_constraint)
    weak_constraint = staticmethod(weak_constraint.weak_constraint)
    ensemble_smoother = staticmethod(ensemble_smoother.ensemble_smoother)
    best_starts = staticmethod(posterior_mean.best_starts)
    posterior_mean = staticmethod(posterior_mean.posterior_mean)
    shooting_objective = staticmethod(objectives.shooting_objective)
    strong_objective = staticmethod(objectives.strong_objective)
    forecast_with_parameters = staticmethod(parameters.forecast)
    tangent_linear_with_parameters = staticmethod(parameters.tangent_linear)
    adjoint_with_parameters = staticmethod(parameters.adjoint)

    def forecast(
        self, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        with torch.no_grad():
            return np.asarray(_prior(model, time_step, scheme).step(_double(x)).numpy())

    def tangent_linear(
        self, model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        step = _prior(model, time_step, scheme).step
        return np.asarray(torch.func.jvp(step, (_double(x),), (_double(dx),))[1].numpy())

    def adjoint(
        self, model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        step = _prior(model, time_step, scheme).step
        pullback: Callable[..., Any] = torch.func.vjp(step, _double(x))[1]
        return np.asarray(pullback(_double(v))[0].detach().numpy())


def _double(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(x, dtype=float))


def _prior(model: Model, time_step: float, scheme: Scheme) -> ODEPrior:
    return ODEPrior(module_of(model), time_step, scheme)


class _Cost:
    """U (4) of some windows as a function of their states, perhaps with data between the steps."""

    def __init__(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        points: Points | None,
    ) -> None:
        x, observation, mask = checked_problem(model, x, observation, mask)
        batch = Batch(observation, mask, x).to()
        prior = _prior(model, settings.time_step, settings.scheme)
        self.start = torch.as_tensor(batch.first_guess)
        self.bound = VariationalCost(prior, settings.lambda1, settings.lambda2).bind(batch)
        self.points = None
        if points is not None:
            self.points = checked_points(points, len(x), model.state_size, x.shape[1], x.dtype)
            on_grid = (mask > 0).sum((1, 2))
            count = np.maximum(on_grid + np.asarray(self.points.counted()), 1)
            self.share = torch.as_tensor(np.maximum(on_grid, 1) / count).to(self.start)
            self.lambda1 = torch.as_tensor(settings.lambda1 / count).to(self.start)
            self.model, self.settings = model, settings

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observation term and the dynamical term of each window, (W,)."""
        found = self.bound.terms(x)
        if self.points is None:
            return found.observation, found.dynamics
        there = _at_points(self.model, self.settings, x, self.points)
        value, weight = (torch.as_tensor(a) for a in (self.points.value, self.points.weight))
        squares = weight * (there - value).square()
        return self.share * found.observation + self.lambda1 * squares.sum(1), found.dynamics


def _at_points(
    model: Model, settings: CostSettings, x: torch.Tensor, points: Points
) -> torch.Tensor:
    """Return aᵀ Φ_θ(x(t)) of every datum, (W, K)."""
    step, fraction, operator = (
        torch.as_tensor(a) for a in (points.step, points.fraction, points.operator)
    )
    at = x[torch.arange(len(x))[:, None], step]
    length = (settings.time_step * fraction)[..., None]
    tendency = module_of(model)
    # A step of length 1 where time runs θΔ times as fast.
    there = ODEPrior(lambda s: length * tendency(s), 1.0, settings.scheme).step(at)
    return (operator * there).sum(-1)


_STEPS_AT_MOST = 1000  # for each output step, as in dormand_prince.jl

# Dormand & Prince (1980): stages 2 to 6, the new state (k₂ has weight 0), its error, and Hairer's
# dense output. Every number is the quotient of two integers, rounded once.
_STAGES = [
    ["1/5"],
    ["3/40", "9/40"],
    ["44/45", "-56/15", "32/9"],
    ["19372/6561", "-25360/2187", "64448/6561", "-212/729"],
    ["9017/3168", "-355/33", "46732/5247", "49/176", "-5103/18656"],
]
_NEW = ["35/384", "500/1113", "125/192", "-2187/6784", "11/84"]
_ERROR = ["71/57600", "-71/16695", "71/1920", "-17253/339200", "22/525", "-1/40"]
_DENSE = [
    "-12715105075/11282082432",
    "87487479700/32700410799",
    "-10690763975/1880347072",
    "701980252875/199316789632",
    "-1453857185/822651844",
    "69997945/29380423",
]


def _combination(coefficients: Sequence[str], k: Sequence[Array]) -> Array:
    total = float(Fraction(coefficients[0])) * k[0]
    for coefficient, slope in zip(coefficients[1:], k[1:], strict=True):
        total = total + float(Fraction(coefficient)) * slope
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
