"""Trajectories of a model with their derivatives, and what data at arbitrary times see of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.interface import checked_points
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.steps import Steps
from pyvda.operators.points import Points
from pyvda.priors.linearise import pullback_by_autograd


def follow(steps: Steps, x: Tensor, count: int) -> Tensor:
    """Return the controls x (N, C) and those after 1, ..., count - 1 steps, (N, count, C)."""
    states = [x]
    for _ in range(count - 1):
        states.append(steps.step(states[-1]))
    return torch.stack(states, 1)


def follow_linearised(
    steps: Steps, x: Tensor, columns: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return `follow` and the columns (N, C, M) carried along by the tangent linear.

    Returns
    -------
    (N, count, C)
    (N, count, C, M)
    """
    states, carried = [x], [columns]
    for _ in range(count - 1):
        x, jacobian = steps.linearised(x)
        columns = jacobian @ columns
        states.append(x)
        carried.append(columns)
    return torch.stack(states, 1), torch.stack(carried, 1)


def advanced(steps: Steps, x: Tensor, columns: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return controls and columns `count` steps later."""
    for _ in range(count):
        x, jacobian = steps.linearised(x)
        columns = jacobian @ columns
    return x, columns


@dataclass(frozen=True)
class PointData:
    """Data at arbitrary times of N trajectories, as tensors; see `pyvda.operators.points.Points`.

    Attributes
    ----------
    step : (N, K) of int
    fraction, value, weight : (N, K)
    operator : (N, K, C)
    """

    step: Tensor
    fraction: Tensor
    value: Tensor
    weight: Tensor
    operator: Tensor

    @classmethod
    def of(
        cls,
        points: Points | None,
        windows: int,
        size: int,
        steps: int,
        dtype: torch.dtype = torch.float64,
    ) -> PointData | None:
        """Return the data of `windows` windows of `steps` steps, checked; None: there are none."""
        if points is None or not points.step.size:
            return None
        p = checked_points(points, windows, size, steps, np.dtype(float))
        rest = (
            tensor(np.asarray(a)).to(dtype) for a in (p.fraction, p.value, p.weight, p.operator)
        )
        return cls(torch.as_tensor(np.array(p.step)), *rest)

    def __getitem__(self, chosen: Tensor) -> PointData:
        """Return the data of the chosen trajectories."""
        return PointData(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def of_step(self, data: Tensor, states: int) -> PointData:
        """Return the data (n,) of one step of one trajectory, repeated for `states` states."""
        chosen = (getattr(self, name)[:1, data] for name in self.__dataclass_fields__)
        found = PointData(*(part.expand(states, *part.shape[1:]) for part in chosen))
        return replace(found, step=torch.zeros_like(found.step))

    def predicted(self, steps: Steps, states: Tensor) -> Tensor:
        """Return aᵀ Φ_θ(x(t)) of every datum, (N, K), from the states (N, T, C)."""
        there = self._moved(steps, self._gathered(states))
        return (self.operator.reshape(there.shape) * there).sum(-1).reshape(self.step.shape)

    def linearised(self, steps: Steps, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return `predicted` and its derivatives by the states at the data's steps, (N, K, C)."""
        at = self._gathered(states)
        operator = self.operator.reshape(at.shape)
        there, rows = at, operator
        if self._between():
            there, pullback = pullback_by_autograd(lambda x: self._moved(steps, x), at)
            rows = pullback(operator)
        predicted = (operator * there).sum(-1).reshape(self.step.shape)
        return predicted, rows.reshape(self.operator.shape)

    def along(self, carried: Tensor, rows: Tensor) -> Tensor:
        """Return the derivatives (N, K, M) by the control from those by the states.

        Parameters
        ----------
        carried : (N, T, C, M)
            Derivatives of the states by the control.
        rows : (N, K, C)
        """
        there = carried[torch.arange(len(carried))[:, None], self.step]
        return (rows[:, :, None] @ there)[:, :, 0]

    def squares(self, predicted: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return weight times squared misfit of each datum, 0 where the weight is 0, (N, K)."""
        weight = self.weight if counted is None else self.weight * counted
        return torch.where(weight > 0, weight * (predicted - self.value).square(), 0.0)

    def _gathered(self, states: Tensor) -> Tensor:
        return states[torch.arange(len(states))[:, None], self.step].flatten(0, 1)

    def _between(self) -> bool:
        return bool((self.fraction > 0).any())

    def _moved(self, steps: Steps, x: Tensor) -> Tensor:
        return steps.between(x, self.fraction.flatten()) if self._between() else x
