"""Data that are a function h of the state at a step, with derivatives by autograd.

They go through the methods like `PointData`: a list of data, each of one step, of which a method
asks the prediction and the derivative by the state there. So a method knows one kind of data
beside the components of the state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import PointData
from pyvda.operators.data import Data
from pyvda.operators.function import Channels, FunctionOperator


@dataclass(frozen=True)
class ChannelData:
    """Data of N trajectories; those of weight 0 are padding.

    Attributes
    ----------
    step, channel : (N, K) of int
    value, weight : (N, K)
    function : FunctionOperator
        h, from states (..., D) to channels.
    size : int
        D: a control may have parameters behind the state, which h does not see.
    """

    step: Tensor
    channel: Tensor
    value: Tensor
    weight: Tensor
    function: FunctionOperator
    size: int

    @classmethod
    def of(cls, channels: Channels, size: int, dtype: torch.dtype) -> ChannelData:
        """Return the data of all windows as a list for each of them."""
        arrays = (channels.value, channels.weight)
        value, weight = (tensor(np.asarray(a)).to(dtype) for a in arrays)
        windows, steps, count = value.shape
        step = torch.arange(steps).repeat_interleave(count).expand(windows, -1)
        channel = torch.arange(count).repeat(steps).expand(windows, -1)
        # Only as many places as the window with the most data needs.
        order = (weight.flatten(1) > 0).int().argsort(dim=1, descending=True, stable=True)
        order = order[:, : int((weight > 0).sum((1, 2)).max())]
        return cls(
            step.gather(1, order), channel.gather(1, order), value.flatten(1).gather(1, order),
            weight.flatten(1).gather(1, order), channels.operator, size,
        )  # fmt: skip

    def __getitem__(self, chosen: Tensor) -> ChannelData:
        """Return the data of the chosen trajectories."""
        return replace(
            self, step=self.step[chosen], channel=self.channel[chosen], value=self.value[chosen],
            weight=self.weight[chosen],
        )  # fmt: skip

    def of_step(self, data: Tensor, states: int) -> ChannelData:
        """Return the data (n,) of one step of one trajectory, repeated for `states` states."""
        channel, value, weight = (
            part[:1, data].expand(states, -1) for part in (self.channel, self.value, self.weight)
        )
        step = torch.zeros_like(channel)
        return ChannelData(step, channel, value, weight, self.function, self.size)

    def predicted(self, steps: Steps, states: Tensor) -> Tensor:
        """Return h of the states (N, T, C) at every datum, (N, K)."""
        predicted = self.function(states[..., : self.size])
        return predicted[self._windows(), self.step, self.channel]

    def linearised(self, steps: Steps, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return `predicted` and its derivatives by the states at the data's steps, (N, K, C)."""
        with torch.enable_grad():
            x = states[..., : self.size].detach().requires_grad_()
            predicted = self.function(x)
            # The states are independent of each other: a pullback for each channel suffices.
            rows = [
                torch.autograd.grad(
                    predicted[..., k].sum(), x, retain_graph=True, allow_unused=True
                )[0]
                for k in range(predicted.shape[-1])
            ]
        rows = [torch.zeros_like(x) if row is None else row for row in rows]
        H = torch.stack(rows, 2).detach()  # (N, T, channel, D)
        H = torch.nn.functional.pad(H, (0, states.shape[-1] - self.size))
        at = (self._windows(), self.step, self.channel)
        return predicted.detach()[at], H[at]

    def along(self, carried: Tensor, rows: Tensor) -> Tensor:
        """Return the derivatives (N, K, M) by the control; see `PointData.along`."""
        there = carried[self._windows(), self.step]
        return (rows[:, :, None] @ there)[:, :, 0]

    def squares(self, predicted: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return weight times squared misfit of each datum, 0 where the weight is 0, (N, K)."""
        weight = self.weight if counted is None else self.weight * counted
        return torch.where(weight > 0, weight * (predicted - self.value).square(), 0.0)

    def _windows(self) -> Tensor:
        return torch.arange(len(self.step))[:, None]


ListedData = PointData | ChannelData


def listed(
    points: Data | None,
    windows: int,
    size: int,
    steps: int,
    dtype: torch.dtype = torch.float64,
    *,
    state_size: int | None = None,
) -> ListedData | None:
    """Return the data of `windows` windows of `steps` steps, checked; None without data.

    Parameters
    ----------
    size : int
        C of the controls.
    state_size : int, optional
        Default: C.
    """
    if not isinstance(points, Channels):
        return PointData.of(points, windows, size, steps, dtype)
    if points.value.shape[:2] != (windows, steps):
        raise ValueError(
            f"channels have shape {points.value.shape}, expected ({windows}, {steps}, channel)"
        )
    return ChannelData.of(points, state_size or size, dtype)
