"""Priors that predict each step of a window from the one before: Φ(x)(t) = step of x(t − Δ).

Nothing predicts the first step of a window, so Φ(x)(0) = x(0) and `first_predicted` is 1. What the
step is, and its transposed Jacobian, is said by `OneStepPrior`'s two subclasses: one Runge-Kutta
step of a differential equation, and a map that is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyvda.priors.linearise import Pullback, pullback_by_autograd


class OneStepPrior(nn.Module):
    """Φ from the map of one step to the next; `step`, `linearised_step` and `adjoint_known`."""

    first_predicted = 1

    def step(self, x: Tensor) -> Tensor:
        """Return the states (..., D) one time step after the states x."""
        raise NotImplementedError

    def linearised_step(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return the states a step later and v to the transposed Jacobian times v, (..., D)."""
        raise NotImplementedError

    def adjoint_known(self) -> bool:
        """Tell whether no inner graph is needed, since the adjoint is written by hand."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return Φ(x) of windows x, both (B, T, D)."""
        return torch.cat((x[:, :1], self.step(x[:, :-1])), 1)

    def run(self, x: Tensor, count: int) -> tuple[Tensor, Tensor, Pullback]:
        """Return runs of the model from states x (..., D): the states, the end, the adjoint.

        Parameters
        ----------
        x : (..., D)
        count : int
            Steps.

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
            end, of_step = self.linearised_step(states[-1])
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
        if not self.adjoint_known():
            return pullback_by_autograd(self.forward, x)
        states, of_step = self.linearised_step(x[:, :-1])

        def pullback(r: Tensor) -> Tensor:
            back = of_step(r[:, 1:])
            return torch.cat((r[:, :1] + back[:, :1], back[:, 1:], torch.zeros_like(r[:, :1])), 1)

        return torch.cat((x[:, :1], states), 1), pullback
