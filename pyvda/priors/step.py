"""The prior of a model that is given by its step: Φ(x)(t) = g(x(t − Δ)).

As in `pyvda.priors.ode`, nothing predicts the first step of a window: Φ(x)(0) = x(0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyvda.priors.linearise import Pullback, pullback_by_autograd


class StepPrior(nn.Module):
    """Φ from the map of one step to the next.

    Parameters
    ----------
    next_state : module or function
        Maps states (..., D) to the states a time step later. With a method `adjoint(x, dy)` no
        inner graph is built for gradients.
    time_step : float
        Δ, which the map stands for.
    """

    first_predicted = 1

    def __init__(self, next_state: nn.Module, time_step: float) -> None:
        super().__init__()
        self.next_state = next_state
        self.time_step = float(time_step)

    def forward(self, x: Tensor) -> Tensor:
        """Return Φ(x) of windows x, both (B, T, D)."""
        return torch.cat((x[:, :1], self.step(x[:, :-1])), 1)

    def step(self, x: Tensor) -> Tensor:
        """Return the states (..., D) one time step after the states x."""
        return self.next_state(x)

    def run(self, x: Tensor, count: int) -> tuple[Tensor, Tensor, Pullback]:
        """Return runs of the model from states x (..., D): the states, the end, the adjoint.

        Returns
        -------
        (..., count, D)
            x and the states after 1, ..., count − 1 steps.
        (..., D)
            The state after `count` steps.
        function
            v to (∂ end / ∂x)ᵀ v, both (..., D).
        """
        states, pullbacks = [x], []
        for _ in range(count):
            end, of_step = self._linearised(states[-1])
            states.append(end)
            pullbacks.append(of_step)

        def pullback(v: Tensor) -> Tensor:
            for of_step in reversed(pullbacks):
                v = of_step(v)
            return v

        return torch.stack(states[:-1], -2), states[-1], pullback

    def vjp(self, x: Tensor, r: Tensor) -> Tensor:
        """Return (∂Φ/∂x)ᵀ r at x, all (B, T, D)."""
        return self.linearise(x)[1](r)

    def linearise(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return Φ(x) and the function r -> (∂Φ/∂x)ᵀ r."""
        if not hasattr(self.next_state, "adjoint"):
            return pullback_by_autograd(self.forward, x)
        states, of_step = self._linearised(x[:, :-1])

        def pullback(r: Tensor) -> Tensor:
            back = of_step(r[:, 1:])
            return torch.cat((r[:, :1] + back[:, :1], back[:, 1:], torch.zeros_like(r[:, :1])), 1)

        return torch.cat((x[:, :1], states), 1), pullback

    def _linearised(self, x: Tensor) -> tuple[Tensor, Pullback]:
        if not hasattr(self.next_state, "adjoint"):
            return pullback_by_autograd(self.step, x)
        adjoint: Any = self.next_state.adjoint
        return self.step(x), lambda v: adjoint(x, v)
