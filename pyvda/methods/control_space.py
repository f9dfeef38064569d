"""The control vector of 4D-Var: a vector of independent numbers that determines a window.

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

from pyvda.engine.interface import Array
from pyvda.operators.covariance import Covariance


@dataclass(frozen=True)
class ControlSpace:
    """Controls of a window of T steps.

    Attributes
    ----------
    B : Covariance
        Covariance of the error of the first state.
    Q : Covariance, optional
        Covariance of the model error of a step. None: the model is exact.
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

    def start(self, controls: Array) -> Array:
        """Return the perturbations of the first state, (n, D), of controls (n, rank)."""
        return self.B.sqrt(controls[:, : self.B.rank])

    def forcing(self, controls: Array, first: int, last: int) -> Array | None:
        """Return the forcing of the steps after `first` to `last`, (n, last - first, D), if any."""
        if self.Q is None:
            return None
        of_errors = controls[:, self.B.rank :].reshape(len(controls), -1, self.Q.rank)
        return self.Q.sqrt(of_errors[:, first:last])

    def add_adjoint(self, gradient: Array, first: int, to: Array) -> None:
        """Add to a control `to` (rank,) the gradient through its effect on some steps.

        Parameters
        ----------
        gradient : (n, D)
            With respect to the state of the step `first`, which counts where it is 0, and to the
            forcing of the steps after it.
        """
        if first == 0:
            to[: self.B.rank] += self.B.sqrt_adjoint(gradient[0])
        if self.Q is not None and len(gradient) > 1:
            of_errors = self.Q.sqrt_adjoint(gradient[1:]).ravel()
            at = self.B.rank + first * self.Q.rank
            to[at : at + len(of_errors)] += of_errors
