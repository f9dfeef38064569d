"""The cost (4) of windows of states in torch, its gradient by autograd, and descent along it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyvda.cost import VariationalCost
from pyvda.engine.checked import checked, checked_problem, moved
from pyvda.engine.interface import Array, CostResult, CostSettings
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.channels import listed
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.points import Points
from pyvda.state.batch import Batch


def cost(
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
    *,
    gradient: bool = True,
    points: Data | None = None,
) -> CostResult:
    """See `Engine.cost`."""
    bound = _Cost(model, settings, x, observation, mask, points)
    misfit, dynamics, g = bound.linearised(bound.start)
    return CostResult(
        misfit.double().numpy(),
        dynamics.double().numpy(),
        g.double().square().sum((1, 2)).sqrt().numpy(),
        g.numpy() if gradient else None,
    )


def descend(
    model: Model,
    settings: CostSettings,
    x: Array,
    observation: Array,
    mask: Array,
    *,
    step: float,
    iterations: int,
    out: Array | None = None,
    points: Data | None = None,
) -> Array:
    """See `Engine.descend`."""
    bound = _Cost(model, settings, x, observation, mask, points)
    state = bound.start.clone()
    for _ in range(iterations):
        state = state - step * bound.linearised(state)[2]
    found = np.asarray(state.numpy())
    return found if out is None else moved(found, out)


def observed(model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
    """See `Engine.observed`."""
    windows, length, size = shape = (*np.shape(x)[:2], model.state_size)
    states = tensor(checked("x", x, shape, np.dtype(float)))
    data = listed(points, windows, size, length)
    if data is None:
        return np.zeros(points.step.shape)
    with torch.no_grad():
        return array(data.predicted(Steps(model, settings), states))


class _Prediction(torch.nn.Module):
    """Φ of whole windows (B, T, D), as `VariationalCost` takes it."""

    first_predicted = 1

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x[:, :1], self.steps.step(x[:, :-1])), 1)


class _Cost:
    """U (4) of some windows as a function of their states, perhaps with data between the steps."""

    def __init__(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        points: Data | None,
    ) -> None:
        x, observation, mask = checked_problem(model, x, observation, mask)
        batch = Batch(observation, mask, x).to()
        self.steps = Steps(model, settings)
        self.start = torch.as_tensor(batch.first_guess)
        prior = _Prediction(self.steps)
        self.bound = VariationalCost(prior, settings.lambda1, settings.lambda2).bind(batch)
        self.points = listed(points, len(x), model.state_size, x.shape[1], self.start.dtype)
        if points is not None:
            on_grid = (mask > 0).sum((1, 2))
            count = np.maximum(on_grid + np.asarray(points.counted()), 1)
            self.share = torch.as_tensor(np.maximum(on_grid, 1) / count).to(self.start)
            self.lambda1 = torch.as_tensor(settings.lambda1 / count).to(self.start)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the observation term and the dynamical term (W,), and their gradient (W, T, D)."""
        x = x.detach().requires_grad_()
        terms = self.bound.terms(x)
        misfit = terms.observation
        if self.points is not None:
            squares = self.points.squares(self.points.predicted(self.steps, x)).sum(1)
            misfit = self.share * misfit + self.lambda1 * squares
        (g,) = torch.autograd.grad((misfit + terms.dynamics).sum(), x)
        return misfit.detach(), terms.dynamics.detach(), g
