"""The variational cost U of eq. (4), one value per window, and its gradient.

    U_w = λ1 Σ mask (x − y)² / n_obs  +  λ2 mean over the predicted steps of (x − Φ(x))²
          [ + λb (x(t0) − xb)ᵀ P (x(t0) − xb) / D ]

n_obs is the number of observed values of the window (the term is 0 where there are none); a mask
entry other than 1 weights its datum. The steps before `prior.first_predicted` have no residual and
are not counted. A window's cost and gradient do not depend on the other windows of its batch.

`VariationalCost.bind(batch)` performs the work common to all evaluations on a batch: it computes
the weights of the data and prepares the prior. Solvers iterate on the bound cost.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.priors.linearise import Pullback, linearise
from pyvda.state.batch import Batch

HalfGradient = Callable[[Any, Tensor, int], Tensor]


class CostTerms(NamedTuple):
    """The cost of each window, (B,), and its terms, weights included: total is their sum."""

    total: Tensor
    observation: Tensor
    dynamics: Tensor
    background: Tensor | None = None


class BackgroundTerm(nn.Module):
    """The term (x(t0) − mean)ᵀ P (x(t0) − mean) / D on the first state of a window.

    Only x(t0) is constrained by the background; the dynamics constrain the later states.

    Parameters
    ----------
    mean : (D,), optional
        Background state xb, in the state's units; without it, each window's own first guess at t0.
    precision : (D,), optional
        Diagonal of P, the inverse of the background error variances.
    cholesky : (D, D), optional
        Lower triangular L with P = L Lᵀ. Give either `precision` or `cholesky`.
    weight : float
        λb.
    """

    mean: Tensor | None
    factor: Tensor

    def __init__(
        self,
        mean: Sequence[float] | Tensor | None = None,
        precision: Sequence[float] | Tensor | None = None,
        cholesky: Sequence[Sequence[float]] | Tensor | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if (precision is None) == (cholesky is None):
            raise InputError("a background needs either precision or cholesky; give exactly one")
        self.weight = _not_negative("the weight of the background", weight)
        factor = torch.as_tensor(precision if cholesky is None else cholesky, dtype=torch.float64)
        size = factor.shape[-1] if mean is None else len(mean)
        expected = (size,) if cholesky is None else (size, size)
        if tuple(factor.shape) != expected:
            raise InputError(
                f"the precision of the background has shape {tuple(factor.shape)}, expected "
                f"{expected}; give D inverse variances or a D × D factor"
            )
        if cholesky is None:
            if bool((factor < 0).any()):
                raise InputError(
                    "the precision of the background has negative entries, expected inverse "
                    "variances; remove the minus signs"
                )
            factor = factor.sqrt()
        self.register_buffer("factor", factor)
        self.register_buffer(
            "mean", None if mean is None else torch.as_tensor(mean, dtype=torch.float64)
        )

    def forward(self, x: Tensor, first_guess: Tensor) -> Tensor:
        """Return the weighted term of each window, (B,); `x` and `first_guess` are (B, T, D)."""
        return self.weight * self._whitened(x, first_guess).square().mean(-1)

    def gradient(self, x: Tensor, first_guess: Tensor) -> Tensor:
        """Return the term's gradient with respect to x(t0), (B, D)."""
        factor = self.factor.to(x)
        whitened = self._whitened(x, first_guess)
        back = whitened * factor if factor.ndim == 1 else whitened @ factor.T
        return (2.0 * self.weight / x.shape[-1]) * back

    def _whitened(self, x: Tensor, first_guess: Tensor) -> Tensor:
        factor = self.factor.to(x)
        anomaly = x[:, 0] - (first_guess[:, 0] if self.mean is None else self.mean.to(x))
        return anomaly * factor if factor.ndim == 1 else anomaly @ factor


class VariationalCost(nn.Module):
    """U of eq. (4) over any prior.

    Parameters
    ----------
    prior : nn.Module
        Φ, (B, T, D) or (B, T, Y, X) to the same shape. Its attribute `first_predicted` (default 0)
        is the first step it predicts; its method `linearise`, if it has one, gives the gradient
        without an inner graph.
    lambda1, lambda2 : float
        Weights of the observation and of the dynamical term.
    learnable : bool
        Train both weights. They are exponentials of the parameters, so they stay positive.
    background : BackgroundTerm, optional
        A background term on the first state.
    """

    def __init__(
        self,
        prior: nn.Module,
        lambda1: float = 0.01,
        lambda2: float = 1.0,
        learnable: bool = False,
        background: BackgroundTerm | None = None,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.background = background
        self.learnable = learnable
        self._half_gradient: HalfGradient = _half_gradient
        for name, value in (("lambda1", lambda1), ("lambda2", lambda2)):
            value = _not_negative(name, value)
            if learnable:
                if value == 0.0:
                    raise InputError(
                        f"{name} is 0, expected a positive start for a learnable weight"
                    )
                self.register_parameter(f"log_{name}", nn.Parameter(torch.tensor(math.log(value))))
            else:
                self.register_buffer(f"fixed_{name}", torch.tensor(value, dtype=torch.float64))

    def compile(self) -> None:
        """Compile the gradient by `torch.compile`, where the prior is a differential equation.

        The many small operations of a Runge-Kutta step and its adjoint then run as a few loops. The
        first gradients of each batch size take a minute and need a C++ compiler; where compilation
        fails, a warning is issued and the operations run uncompiled.
        """
        if not hasattr(self.prior, "prepare"):  # priors with `prepare` have kernels of their own
            self._half_gradient = _Compiled(_half_gradient)

    @property
    def lambda1(self) -> Tensor:
        """Dimensionless weight of the observation term."""
        return self.log_lambda1.double().exp() if self.learnable else self.fixed_lambda1  # type: ignore

    @property
    def lambda2(self) -> Tensor:
        """Dimensionless weight of the dynamical term."""
        return self.log_lambda2.double().exp() if self.learnable else self.fixed_lambda2  # type: ignore

    def bind(self, batch: Batch) -> BoundCost:
        """Return the cost of states given these observations."""
        if self.background is not None:
            batch.expect_components("a background term")
        observation, mask, first_guess = (
            as_tensor(name, getattr(batch, name)) for name in ("observation", "mask", "first_guess")
        )
        observed = (mask > 0).flatten(1).sum(1).clamp(min=1).to(mask.dtype)
        prepare = getattr(self.prior, "prepare", None)
        return BoundCost(
            prior=self.prior if prepare is None else prepare(),
            observation=observation,
            weight=self.lambda1 * (mask / observed.reshape(-1, *[1] * (mask.ndim - 1))),
            first_guess=first_guess,
            lambda2=self.lambda2,
            first_predicted=int(getattr(self.prior, "first_predicted", 0)),
            background=self.background,
            half_gradient=self._half_gradient,
        )

    def forward(self, x: Tensor, batch: Batch) -> CostTerms:
        """Return U of each window and its terms, each (B,), for states x of the batch's shape."""
        return self.bind(batch).terms(x)

    def gradient(self, x: Tensor, batch: Batch, create_graph: bool = False) -> Tensor:
        """Return ∇ₓ Σ_w U_w, of x's shape: the gradient of each window's own cost.

        With `create_graph` the result can be differentiated again, with respect to x and to the
        parameters of the cost and of the prior.
        """
        context = torch.enable_grad() if create_graph else torch.no_grad()
        with context:
            return self.bind(batch).gradient(x)


@dataclass(frozen=True)
class BoundCost:
    """U as a function of the states alone; made by `VariationalCost.bind`.

    Shapes are given for states of components; for fields, (B, T, Y, X) replaces (B, T, D).

    Attributes
    ----------
    prior : callable
        Φ, prepared if it has a method `prepare`.
    observation : (B, T, D)
        y.
    weight : (B, T, D)
        λ1 · mask / n_obs.
    first_guess : (B, T, D)
        x⁽⁰⁾, for the background term.
    lambda2 : ()
        Weight of the dynamical term.
    first_predicted : int
        First step that Φ predicts.
    background : BackgroundTerm, optional
        The term on the first state.
    half_gradient : callable(prior, x, first_predicted)
        Gradient of half the sum of squared residuals.
    """

    prior: Any
    observation: Tensor
    weight: Tensor
    first_guess: Tensor
    lambda2: Tensor
    first_predicted: int
    background: BackgroundTerm | None
    half_gradient: HalfGradient

    def terms(self, x: Tensor) -> CostTerms:
        """Return the cost of each window and its terms, each (B,)."""
        return self._terms(x, self.prior(x))

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient, (B, T, D); differentiable when gradients are enabled."""
        at_once = getattr(self.prior, "residual_gradient", None)
        if at_once is not None and not self.first_predicted:
            return self._add_data(x, at_once(x))
        return self._add_data(x, self.half_gradient(self.prior, x, self.first_predicted))

    def _terms(self, x: Tensor, phi: Tensor) -> CostTerms:
        observation = (self.weight * (x - self.observation).square()).flatten(1).sum(1)
        residual = (x - phi)[:, self.first_predicted :]
        dynamics = self.lambda2 * residual.square().flatten(1).mean(1)
        if self.background is None:
            return CostTerms(observation + dynamics, observation, dynamics)
        background = self.background(x, self.first_guess)
        return CostTerms(observation + dynamics + background, observation, dynamics, background)

    def _add_data(self, x: Tensor, half_gradient: Tensor) -> Tensor:
        """Return the gradient from that of half the sum of squared residuals."""
        steps = x.shape[1]
        predicted = math.prod(x.shape[1:]) * (steps - self.first_predicted) // steps
        gradient = (self.lambda2 * (2.0 / predicted)) * half_gradient + 2.0 * self.weight * (
            x - self.observation
        )
        if self.background is None:
            return gradient
        start = gradient[:, :1] + self.background.gradient(x, self.first_guess)[:, None]
        return torch.cat((start, gradient[:, 1:]), 1)


class _Compiled:
    """A compiled function that falls back to the original once compilation has failed."""

    def __init__(self, function: HalfGradient) -> None:
        self.eager = function
        self.chosen: HalfGradient = torch.compile(function, dynamic=False)

    def __call__(self, prior: Any, x: Tensor, first: int) -> Tensor:
        try:
            return self.chosen(prior, x, first)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self.chosen is self.eager:
                raise
            found = self.eager(prior, x, first)  # raises if compilation was not the cause
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            warnings.warn(f"torch.compile failed, continuing without it: {reason}", stacklevel=2)
            self.chosen = self.eager
            return found


def _half_gradient(prior: Any, x: Tensor, first: int) -> Tensor:
    return _half_of(x, *linearise(prior, x), first)


def _half_of(x: Tensor, phi: Tensor, pullback: Pullback, first: int) -> Tensor:
    """Return the gradient of half the sum of squared residuals from step `first` on."""
    residual = x - phi
    if first:
        residual = torch.cat((torch.zeros_like(x[:, :first]), residual[:, first:]), 1)
    return residual - pullback(residual)


def _not_negative(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0.0):
        raise InputError(f"{name} is {value}, expected a number >= 0")
    return float(value)


def as_tensor(name: str, array: Any) -> Tensor:
    """Return the array `name` of a batch; raise InputError unless it is a torch tensor."""
    if not isinstance(array, Tensor):
        raise InputError(
            f"the batch's {name} is of type {type(array).__name__}, expected a torch tensor; "
            "use batch.to(device=…, dtype=…)"
        )
    return array
