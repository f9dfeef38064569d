"""The control of 4D-Var in control space: what a vector of independent numbers means for a window.

The first state is x₀ = x_b + S v with the background covariance B = S Sᵀ. Where the model has an
error, each step adds a forcing ηₜ = S_Q wₜ with the model error covariance Q = S_Q S_Qᵀ,

    x_{t+1} = M(x_t) + η_{t+1},

and the control is (v, w₁, …, w_{T−1}): the forcing formulation of the weak constraint (Trémolet
2006). In either case the prior term of the cost is half the squared norm of the control.

References
----------
Y. Trémolet, Q. J. R. Meteorol. Soc. 132 (2006), 2483-2504.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyvda.engine.interface import Array
from pyvda.operators.covariance import Covariance


@dataclass(frozen=True)
class ControlSpace:
    """Controls of a window of T steps.

    Attributes
    ----------
    B : Covariance
        Of the first state.
    Q : Covariance, optional
        Of the error that the model makes in a step. None: the model is exact.
    steps : int
        T.
    """

    B: Covariance
    Q: Covariance | None
    steps: int

    @property
    def rank(self) -> int:
        """Number of components of a control."""
        return self.B.rank + (0 if self.Q is None else (self.steps - 1) * self.Q.rank)

    def applied(self, controls: Array, steps: int) -> tuple[Array, Array | None]:
        """Return the perturbations of the first state and the forcings of controls (n, rank).

        Parameters
        ----------
        steps : int
            Of the part of the window that is looked at; later forcings do not matter.

        Returns
        -------
        start : (n, D)
        forcing : (n, steps - 1, D) or None
        """
        start = self.B.sqrt(controls[:, : self.B.rank])
        if self.Q is None:
            return start, None
        of_errors = controls[:, self.B.rank :].reshape(len(controls), -1, self.Q.rank)
        return start, self.Q.sqrt(of_errors[:, : steps - 1])

    def adjoint(self, gradient: Array) -> Array:
        """Return the gradient with respect to the control, (rank,).

        Parameters
        ----------
        gradient : (steps, D)
            With respect to the first state, and to the forcing of each later time.
        """
        found = np.zeros(self.rank)
        found[: self.B.rank] = self.B.sqrt_adjoint(gradient[0])
        if self.Q is not None and len(gradient) > 1:
            of_errors = self.Q.sqrt_adjoint(gradient[1:]).ravel()
            found[self.B.rank : self.B.rank + len(of_errors)] = of_errors
        return found
