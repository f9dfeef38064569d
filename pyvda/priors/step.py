"""The prior of a model that is given by its step: Φ(x)(t) = g(x(t − Δ))."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pyvda.priors.linearise import Pullback, pullback_by_autograd
from pyvda.priors.one_step import OneStepPrior


class StepPrior(OneStepPrior):
    """Φ from the map of one step to the next.

    Parameters
    ----------
    next_state : module or function
        Maps states (..., D) to the states a time step later. With a method `adjoint(x, dy)` no
        inner graph is built for gradients.
    time_step : float
        Δ, which the map stands for.
    """

    def __init__(self, next_state: nn.Module, time_step: float) -> None:
        super().__init__()
        self.next_state = next_state
        self.time_step = float(time_step)

    def step(self, x: Tensor) -> Tensor:
        """Return the states (..., D) one time step after the states x."""
        return self.next_state(x)

    def adjoint_known(self) -> bool:
        """Tell whether the map has an adjoint written by hand."""
        return hasattr(self.next_state, "adjoint")

    def linearised_step(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return the states a step later and v to the transposed Jacobian times v, (..., D)."""
        if not self.adjoint_known():
            return pullback_by_autograd(self.step, x)
        adjoint: Any = self.next_state.adjoint
        return self.step(x), lambda v: adjoint(x, v)
