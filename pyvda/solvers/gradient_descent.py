"""Fixed-step gradient descent, eq. (5), for any prior."""

from __future__ import annotations

import math

from torch import Tensor

from pyvda.errors import InputError
from pyvda.solvers.solver import Carry, GradientSolver


class GradientDescent(GradientSolver):
    """x ← x − α ∇U with α = step · n, n = T · D the number of values of a window.

    Because U is a mean over the window, its curvature falls with n and the largest stable α grows
    with n; measured in units of n, one step size suits windows of every length.

    Parameters
    ----------
    step : float
        α / n. For Lorenz-63 with the usual weights, (0.01, 1), steps from about 0.22 diverge.
    """

    def __init__(self, step: float = 0.13) -> None:
        super().__init__()
        if not step > 0.0:
            raise InputError(f"the step is {step}, expected a positive number")
        self.step_size = float(step)

    def init(self, x0: Tensor) -> Carry:
        """Return the empty internal state."""
        return ()

    def step(self, x: Tensor, carry: Carry, gradient: Tensor) -> tuple[Tensor, Carry]:
        """Return x − α ∇U."""
        return x - (self.step_size * math.prod(x.shape[1:])) * gradient, carry
