"""The weak-constraint cost with nodes every n-th step and its Gauss-Newton Hessian, many windows.

    J = ½ (x₁ - b)ᵀ B⁻¹ (x₁ - b) + ½ Σ c (x(t) - y(t))² + w/2 Σₖ rₖᵀ Q⁻¹ rₖ,   rₖ = xₖ₊₁ - M(xₖ)

All segments of all windows run side by side. With G(t) the derivative of the state at t by its node
the Hessian is block-tridiagonal:

    Aₖₖ = [k = 1: B⁻¹, else w Q⁻¹] + Σ Gᵀ c G + w Mₖᵀ Q⁻¹ Mₖ,     Aₖ₊₁,ₖ = -w Q⁻¹ Mₖ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array
from pyvda.engine.torch.arrays import quadratic, tensor
from pyvda.engine.torch.block_tridiagonal import Factors
from pyvda.engine.torch.channels import ListedData
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import follow, follow_linearised


def as_model_precision(given: Array | None, size: int) -> Tensor | None:
    """Return Q⁻¹ (D, D) as a tensor, checked; None: the weight of the model is a number."""
    if given is None:
        return None
    return tensor(checked("model_precision", given, (size, size), np.dtype(float)))


@dataclass(frozen=True)
class Linearised:
    """J (W,), its gradient (W, K, D), and its Hessian by blocks, (W, K, D, D) and (W, K-1, D, D).

    `carried` (W, K, every, D, D) has the derivatives of each state by its node.
    """

    cost: Tensor
    gradient: Tensor
    diagonal: Tensor
    below: Tensor
    carried: Tensor

    def factors(self, damping: Tensor) -> Factors:
        """Return the factors of the Hessian with `damping` (W,) on its diagonal."""
        return Factors(self.diagonal, self.below, damping)

    def variances(self, steps: int) -> Tensor:
        """Return the diagonals of the covariances of the states, (W, `steps`, D)."""
        Z = self.factors(torch.zeros(len(self.cost), dtype=self.cost.dtype)).inverse_diagonal()
        found = ((self.carried @ Z[:, :, None]) * self.carried).sum(-1)
        return found.flatten(1, 2)[:, :steps]


@dataclass(frozen=True)
class ShootingCost:
    """The cost of W windows of T steps.

    Attributes
    ----------
    observation, weight : (W, T, D)
        y and c.
    background : (W, D)
    precision : (D, D)
        B⁻¹.
    every : int
        Steps from one node to the next.
    points : PointData, optional
        Further data, with their own weights c.
    model_precision : (D, D), optional
        Q⁻¹. Default: I.
    """

    steps: Steps
    observation: Tensor
    weight: Tensor
    background: Tensor
    precision: Tensor
    every: int
    points: ListedData | None = None
    model_precision: Tensor | None = None

    def __getitem__(self, windows: Tensor) -> ShootingCost:
        """Return the cost of the chosen windows."""
        return replace(
            self,
            observation=self.observation[windows],
            weight=self.weight[windows],
            background=self.background[windows],
            points=None if self.points is None else self.points[windows],
        )

    def nodes(self, x: Tensor) -> Tensor:
        """Return the nodes (W, K, D) of states (W, T, D)."""
        return x[:, :: self.every]

    def trajectory(self, nodes: Tensor) -> Tensor:
        """Return the states at every step, (W, T, D)."""
        windows, count, size = nodes.shape
        states = follow(self.steps, nodes.flatten(0, 1), self.every)
        return states.reshape(windows, count * self.every, size)[:, : self.observation.shape[1]]

    def value(self, nodes: Tensor, w: float) -> Tensor:
        """Return J (W,) of the nodes (W, K, D)."""
        windows, count, size = nodes.shape
        reach = self.every + (count > 1)  # the state behind a segment is compared with a node
        states = follow(self.steps, nodes.flatten(0, 1), reach).reshape(windows, count, reach, size)
        jump = nodes[:, 1:] - states[:, :-1, -1]
        J = self._misfit(states[:, :, : self.every].flatten(1, 2), nodes)
        return 0.5 * (J + w * quadratic(self._model_precision, jump).sum(1))

    @property
    def _model_precision(self) -> Tensor:
        if self.model_precision is None:
            return torch.eye(len(self.precision), dtype=self.precision.dtype)
        return self.model_precision

    def _misfit(self, states: Tensor, nodes: Tensor) -> Tensor:
        states = states[:, : self.observation.shape[1]]
        squares = self.weight * (states - self.observation).square()
        # Beyond the data a state may overflow.
        J = torch.where(self.weight > 0, squares, 0.0).sum((1, 2))
        J = J + quadratic(self.precision, nodes[:, 0] - self.background)
        if self.points is not None:
            J = J + self.points.squares(self.points.predicted(self.steps, states)).sum(1)
        return J

    def linearised(self, nodes: Tensor, w: float) -> Linearised:
        """Return J, its gradient and its Gauss-Newton Hessian at the nodes (W, K, D)."""
        windows, count, size = nodes.shape
        every, length = self.every, self.observation.shape[1]
        reach = every + (count > 1)
        unit = torch.eye(size, dtype=nodes.dtype)
        states, carried = follow_linearised(
            self.steps, nodes.flatten(0, 1), unit.expand(windows * count, -1, -1), reach
        )
        states = states.reshape(windows, count, reach, size)
        carried = carried.reshape(windows, count, reach, size, size)
        G = carried[:, :, :every]
        d = nodes[:, 0] - self.background
        cost = quadratic(self.precision, d)
        gradient = torch.zeros_like(nodes)
        gradient[:, 0] = d @ self.precision
        diagonal = torch.zeros(windows, count, size, size, dtype=nodes.dtype)
        diagonal[:, 0] = self.precision
        W = w * self._model_precision
        diagonal[:, 1:] += W

        missing = count * every - length
        weight = torch.nn.functional.pad(self.weight, (0, 0, 0, missing))
        y = torch.nn.functional.pad(self.observation, (0, 0, 0, missing))
        c = weight.reshape(windows, count, every, size)
        misfit = states[:, :, :every] - y.reshape(c.shape)
        misfit = torch.where(c > 0, misfit, 0.0)
        seen = torch.where(c[..., None] > 0, G, 0.0)
        cost = cost + (c * misfit.square()).sum((1, 2, 3))
        gradient += torch.einsum("wkti,wktij->wkj", c * misfit, seen)
        rows = seen.flatten(2, 3)
        diagonal += rows.mT @ (c.flatten(2, 3)[..., None] * rows)
        if self.points is not None:
            cost = cost + self._add_points(gradient, diagonal, states[:, :, :every], G)
        M = carried[:, :-1, -1]
        jump = nodes[:, 1:] - states[:, :-1, -1]
        pull = jump @ W
        cost = cost + (pull * jump).sum((1, 2))
        gradient[:, 1:] += pull
        gradient[:, :-1] -= (M.mT @ pull[..., None])[..., 0]
        diagonal[:, :-1] += M.mT @ W @ M
        return Linearised(0.5 * cost, gradient, diagonal, -W @ M, G)

    def _add_points(self, gradient: Tensor, diagonal: Tensor, states: Tensor, G: Tensor) -> Tensor:
        """Add the data at arbitrary times to gradient and Hessian; return Σ c d², (W,)."""
        points = self.points
        if points is None:
            return torch.zeros(len(gradient), dtype=gradient.dtype)
        predicted, rows = points.linearised(self.steps, states.flatten(1, 2))
        derivative = points.along(G.flatten(1, 2), rows)
        used = points.weight > 0
        misfit = torch.where(used, predicted - points.value, 0.0)
        derivative = torch.where(used[..., None], derivative, 0.0)
        node = torch.div(points.step, self.every, rounding_mode="floor")
        windows = torch.arange(len(node))[:, None].expand_as(node)
        c = points.weight
        gradient.index_put_((windows, node), (c * misfit)[..., None] * derivative, accumulate=True)
        outer = c[..., None, None] * derivative[..., :, None] * derivative[..., None, :]
        diagonal.index_put_((windows, node), outer, accumulate=True)
        return (c * misfit.square()).sum(1)
