"""Priors from differential equations: Φ is one explicit Runge-Kutta step, eqs. (7) and (8).

Φ(x)(t) is the result of the step from x(t − Δ). The vector-Jacobian product walks the stages
backwards with the tendency's own `adjoint`; it consists of torch operations and can itself be
differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyvda.errors import InputError
from pyvda.priors.linearise import Pullback, pullback_by_autograd
from pyvda.priors.one_step import OneStepPrior

Tendency = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tableau:
    """Butcher's coefficients of an explicit Runge-Kutta method for an autonomous system.

    Attributes
    ----------
    stages : sequence of sequences
        Row i holds a_i1 … a_i,i-1; the first row is empty.
    weights : sequence
        b_1 … b_s, summing to 1.
    """

    stages: Sequence[Sequence[float]]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        lengths = [len(row) for row in self.stages]
        if lengths != list(range(len(self.weights))):
            raise InputError(
                f"the rows of the tableau have lengths {lengths}, expected 0, 1, … "
                f"{len(self.weights) - 1} for an explicit method with {len(self.weights)} weights"
            )
        if abs(sum(self.weights) - 1.0) > 1e-9:
            raise InputError(f"the weights of the tableau sum to {sum(self.weights)}, expected 1")


TABLEAUX = {
    "euler": Tableau([[]], [1.0]),
    "midpoint": Tableau([[], [0.5]], [0.0, 1.0]),
    "rk4": Tableau([[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}


class ODEPrior(OneStepPrior):
    """Φ(x)(t) = one Runge-Kutta step of length Δ from x(t − Δ).

    Parameters
    ----------
    tendency : module or function
        Maps states (..., D) to dx/dt (..., D); fixed or trainable. If it has a method
        `adjoint(x, dy)`, no inner graph is built for gradients.
    time_step : float
        Δ, in the tendency's unit of time.
    tableau : str or Tableau
        "euler" (7), "midpoint", "rk4" (8), or any explicit tableau.
    """

    def __init__(
        self, tendency: Tendency, time_step: float, tableau: str | Tableau = "rk4"
    ) -> None:
        super().__init__()
        if isinstance(tableau, str):
            if tableau not in TABLEAUX:
                raise InputError(
                    f"unknown tableau {tableau!r}; choose one of {', '.join(TABLEAUX)} or give a "
                    "Tableau"
                )
            tableau = TABLEAUX[tableau]
        self.tendency = tendency
        self.time_step = float(time_step)
        self.tableau = tableau

    def step(self, x: Tensor) -> Tensor:
        """Return the states (..., D) one time step after the states x."""
        return self._step(x)[0]

    def adjoint_known(self) -> bool:
        """Tell whether the tendency has an adjoint written by hand."""
        return hasattr(self.tendency, "adjoint")

    def linearised_step(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Return the states a step later and v to the transposed Jacobian times v, (..., D)."""
        if not self.adjoint_known():
            return pullback_by_autograd(self.step, x)
        states, stages = self._step(x)
        return states, lambda v: self._step_adjoint(stages, v)

    def _step(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the next states and the states at which the tendency was evaluated."""
        stages: list[Tensor] = []
        slopes: list[Tensor] = []
        for row in self.tableau.stages:
            stages.append(self._advance(x, row, slopes))
            slopes.append(self.tendency(stages[-1]))
        return self._advance(x, self.tableau.weights, slopes), stages

    def _advance(self, x: Tensor, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
        for weight, slope in zip(weights, slopes, strict=True):
            if weight:
                x = x + (self.time_step * weight) * slope
        return x

    def _step_adjoint(self, stages: Sequence[Tensor], r: Tensor) -> Tensor:
        """Return the transpose of the step's Jacobian applied to r, walking the stages back.

        k̄_i = Δ b_i r + Δ Σ_{j>i} a_ji x̄_j,  x̄_i = M(x_i)ᵀ k̄_i;  the result is r + Σ x̄_i.
        """
        adjoint = self.tendency.adjoint  # type: ignore[attr-defined]
        rows, weights = self.tableau.stages, self.tableau.weights
        later: list[tuple[int, Tensor]] = []
        result = r
        for i in reversed(range(len(weights))):
            slope = (self.time_step * weights[i]) * r if weights[i] else torch.zeros_like(r)
            for j, state in later:
                if rows[j][i]:
                    slope = slope + (self.time_step * rows[j][i]) * state
            state = adjoint(stages[i], slope)
            later.append((i, state))
            result = result + state
        return result


class EulerPrior(ODEPrior):
    """Φ(x)(t) = x(t − Δ) + Δ M(x(t − Δ)), eq. (7)."""

    def __init__(self, tendency: Tendency, time_step: float) -> None:
        super().__init__(tendency, time_step, "euler")


class RK4Prior(ODEPrior):
    """The fourth-order Runge-Kutta step, eq. (8)."""

    def __init__(self, tendency: Tendency, time_step: float) -> None:
        super().__init__(tendency, time_step, "rk4")
