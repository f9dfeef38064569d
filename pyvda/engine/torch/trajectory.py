"""Trajectories of a model with their derivatives, and their values at arbitrary times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked_points
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
    index, coefficient : (N, K, J)
        The terms of the rows a; see `pyvda.operators.sparse_rows.SparseRows`.
    size : int
        C.
    """

    step: Tensor
    fraction: Tensor
    value: Tensor
    weight: Tensor
    index: Tensor
    coefficient: Tensor
    size: int

    @classmethod
    def of(
        cls,
        points: Points | None,
        windows: int,
        size: int,
        steps: int,
        dtype: torch.dtype = torch.float64,
    ) -> PointData | None:
        """Return the data of `windows` windows of `steps` steps, checked; None without data."""
        if points is None or not points.step.size:
            return None
        p = checked_points(points, windows, size, steps, np.dtype(float))
        fraction, value, weight, coefficient = (
            tensor(np.asarray(a)).to(dtype)
            for a in (p.fraction, p.value, p.weight, p.operator.coefficient)
        )
        step, index = (torch.as_tensor(np.array(a)) for a in (p.step, p.operator.index))
        return cls(step, fraction, value, weight, index, coefficient, size)

    @property
    def operator(self) -> Tensor:
        """The rows in full, (N, K, C)."""
        found = self.coefficient.new_zeros(*self.step.shape, self.size)
        return found.scatter_add_(-1, self.index, self.coefficient)

    def __getitem__(self, chosen: Tensor) -> PointData:
        """Return the data of the chosen trajectories."""
        return self._each(lambda part: part[chosen])

    def of_step(self, data: Tensor, states: int) -> PointData:
        """Return the data (n,) of one step of one trajectory, repeated for `states` states."""
        found = self._each(lambda part: part[:1, data].expand(states, len(data), *part.shape[2:]))
        return replace(found, step=torch.zeros_like(found.step))

    def predicted(self, steps: Steps, states: Tensor) -> Tensor:
        """Return aᵀ Φ_θ(x(t)) of every datum, (N, K), from the states (N, T, C)."""
        windows = torch.arange(len(states))[:, None, None]
        seen = states[windows, self.step[..., None], self.index]
        if self._between():
            seen = self._seen_between(steps, states, seen)
        return (self.coefficient * seen).sum(-1)

    def linearised(self, steps: Steps, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return `predicted` and its derivatives by the states at the data's steps, (N, K, C)."""
        predicted, rows = self.predicted(steps, states), self.operator
        if self._between():
            at = states[torch.arange(len(states))[:, None], self.step].flatten(0, 1)
            fraction = self.fraction.flatten()
            _, pullback = pullback_by_autograd(lambda x: steps.between(x, fraction), at)
            rows = pullback(rows.reshape(at.shape)).reshape(rows.shape)
        return predicted, rows

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

    def _between(self) -> bool:
        return bool((self.fraction > 0).any())

    def _seen_between(self, steps: Steps, states: Tensor, seen: Tensor) -> Tensor:
        """Return the components (N, K, J) that the terms read, with those between the steps."""
        window, datum = (self.fraction > 0).nonzero(as_tuple=True)
        step, fraction = self.step[window, datum], self.fraction[window, datum]
        index = self.index[window, datum]
        if steps.model.kind == "step":  # interpolated: one step serves all data after it
            times, inverse = torch.unique(
                torch.stack([window, step], 1), dim=0, return_inverse=True
            )
            there = steps.step(states[times[:, 0], times[:, 1]])
            here = seen[window, datum]
            values = here + fraction[:, None] * (there[inverse[:, None], index] - here)
            return seen.index_put((window, datum), values)
        # One state for each time, since many data may have the same.
        when = torch.stack([window.double(), step.double(), fraction.double()], 1)
        times, inverse = torch.unique(when, dim=0, return_inverse=True)
        first, from_step = times[:, 0].long(), times[:, 1].long()
        there = steps.between(states[first, from_step], times[:, 2].to(states))
        values = there[inverse[:, None], index]
        return seen.index_put((window, datum), values)

    def _each(self, f: Callable[[Tensor], Tensor]) -> PointData:
        return PointData(
            f(self.step), f(self.fraction), f(self.value), f(self.weight), f(self.index),
            f(self.coefficient), self.size,
        )  # fmt: skip
