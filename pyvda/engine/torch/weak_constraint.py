"""Weak-constraint 4D-Var by Levenberg-Marquardt, perhaps annealed, in torch.

The damping is an observation of the present state with `damping` times the weight of the best
datum. It starts at zero, becomes 0.01 after the first step that does not lower the cost, grows by a
factor of five after the next ones, falls by five after steps that do, and is zero again below 1e-6.
Annealing starts every stage, with its own weight of the model, where the last one ended. Windows go
through the arithmetic together; each has its own damping and stops on its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked
from pyvda.engine.data import GIVEN_UP, Minimum, Shooting
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.channels import listed
from pyvda.engine.torch.shooting import ShootingCost, as_model_precision
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model
from pyvda.names import Status
from pyvda.operators.data import Data

_FIRST_DAMPING, _SMALLEST_DAMPING, _LARGEST_DAMPING = 1e-2, 1e-6, 1e12
_ROUNDING = 1e-13  # relative rise of a cost that rounding may cause
_REAL = np.dtype(float)


def weak_constraint(
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
    spread: bool = False,
    points: Data | None = None,
) -> Minimum:
    """See `Engine.weak_constraint`."""
    windows, length, _ = np.shape(x)
    size = model.state_size
    shape = (windows, length, size)
    start = tensor(checked("x", x, shape, _REAL))
    divide = tensor(checked("divisor", divisor, (windows,), _REAL))
    data = listed(points, windows, size, length)
    if data is not None:
        data = replace(data, weight=data.weight / divide[:, None])
    cost = ShootingCost(
        Steps(model, settings, shooting.substeps),
        tensor(checked("observation", observation, shape, _REAL)),
        tensor(checked("mask", mask, shape, _REAL)) / divide[:, None, None],
        tensor(checked("background", background, (windows, size), _REAL)),
        tensor(checked("precision", precision, (size, size), _REAL)),
        min(shooting.every, length),
        data,
        as_model_precision(shooting.model_precision, size),
    )
    if not windows:
        none = np.zeros(0)
        return Minimum(np.empty(shape), np.empty(shape) if spread else None,
                       none.astype(int), none.astype(int), none, none)  # fmt: skip
    weights = [float(w) for w in shooting.weights]
    with torch.no_grad():
        run = _Minimisation(cost, cost.nodes(start).clone(), shooting)
        run.anneal(weights)
        found = cost.trajectory(run.x)
        stdev = None
        if spread:
            variances = cost.linearised(run.x, weights[-1]).variances(length)
            stdev = array(torch.where(variances >= 0, variances, torch.nan).sqrt())
    return Minimum(
        array(found), stdev, run.status.numpy(), run.iterations.numpy(), array(run.cost_of),
        array(run.norm),
    )  # fmt: skip


class _Minimisation:
    """The windows in progress: nodes x (W, K, D), and the cost, damping and status of each."""

    def __init__(self, cost: ShootingCost, x: Tensor, shooting: Shooting) -> None:
        windows = len(x)
        self.cost, self.x, self.shooting = cost, x, shooting
        best = cost.weight.amax((1, 2))
        if cost.points is not None:
            best = torch.maximum(best, cost.points.weight.amax(1))
        self.scale = best
        self.cost_of = torch.zeros(windows, dtype=x.dtype)
        self.norm = torch.zeros_like(self.cost_of)
        self.first_norm = torch.zeros_like(self.cost_of)
        self.damping = torch.zeros_like(self.cost_of)
        self.status = torch.full((windows,), int(Status.ITERATION_LIMIT))
        self.iterations = torch.zeros(windows, dtype=torch.int64)
        limit = np.broadcast_to(shooting.give_up_cost, windows)
        self.give_up_cost = tensor(limit)

    def anneal(self, weights: list[float]) -> None:
        """Minimise at each weight of the model in turn."""
        running = torch.ones(len(self.x), dtype=torch.bool)
        for stage, w in enumerate(weights, 1):
            if not running.any():
                break
            self.damping.zero_()
            self._minimise(running.clone(), w)
            running &= self.status != int(Status.DIVERGED)
            if stage == self.shooting.give_up_stage:
                lost = running & (self.cost_of > self.give_up_cost)
                self.status[lost] = GIVEN_UP
                running &= ~lost

    def _minimise(self, active: Tensor, w: float) -> None:
        """Minimise the `active` windows (W,) at one weight of the model."""
        rows = active.nonzero()[:, 0]
        here = self.cost[rows].linearised(self.x[rows], w)
        self._note(rows, here.cost, here.gradient)
        self.first_norm = torch.where(self.first_norm == 0, self.norm, self.first_norm)
        self.status[rows] = int(Status.ITERATION_LIMIT)
        lost = active & ~torch.isfinite(self.cost_of)
        self.status[lost] = int(Status.DIVERGED)
        active &= ~lost
        for _ in range(self.shooting.iterations):
            self._settle(active)
            kept = active[rows]
            if not kept.any():
                return
            if not kept.all():
                rows = rows[kept]
                here = type(here)(*(getattr(here, name)[kept] for name in vars(here)))
            cost = self.cost[rows]
            step = here.factors(self.damping[rows] * self.scale[rows]).solve(here.gradient)
            trial = self.x[rows] - step
            new = cost.value(trial, w)
            self.iterations[rows] += 1
            old, damping = self.cost_of[rows], self.damping[rows]
            accepted = new <= old + _ROUNDING * old.abs()
            self.x[rows[accepted]] = trial[accepted]
            ended = accepted & (old - new < self.shooting.drop)
            self.status[rows[ended]] = int(Status.CONVERGED)
            self.cost_of[rows[accepted]] = new[accepted]
            less = torch.where(damping <= _SMALLEST_DAMPING, 0.0, damping / 5)
            more = torch.where(damping == 0, _FIRST_DAMPING, 5 * damping)
            self.damping[rows] = torch.where(accepted, less, more)
            too_much = ~accepted & ~(more < _LARGEST_DAMPING)
            active[rows[ended | too_much]] = False
            if accepted.any():
                here = cost.linearised(self.x[rows], w)
                self._note(rows, here.cost, here.gradient)
        self._settle(active)

    def _note(self, rows: Tensor, cost: Tensor, gradient: Tensor) -> None:
        self.cost_of[rows] = cost
        self.norm[rows] = gradient.square().sum((1, 2)).sqrt()

    def _settle(self, active: Tensor) -> None:
        """Leave windows whose gradient is small enough, and those where it overflows."""
        limit = self.shooting.tolerance * self.first_norm
        lost = active & ~(torch.isfinite(self.norm) & torch.isfinite(limit))
        converged = active & ~lost & (self.norm <= limit)
        self.status[lost] = int(Status.DIVERGED)
        self.status[converged] = int(Status.CONVERGED)
        active &= ~(lost | converged)
