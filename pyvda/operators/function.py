"""Observations that are any function of the state, in torch.

At each step with observations the K channels are y = h(x) + error. The derivatives come from
autograd, or from an adjoint written by hand, which is tested against autograd before it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.operators.observation import ObservationOperator

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from pyvda.models.model import Model
    from pyvda.operators.correlated_errors import CorrelatedErrors

    Array = np.ndarray | torch.Tensor

_TOLERANCE = 1e-9  # of the two sides of a dot product, in double precision
_STEP, _OF_DIFFERENCES = 1e-5, 1e-6
_LOST = 1e-3  # of a derivative, beyond what its differences are in error


class FunctionOperator(ObservationOperator):
    r"""A function of the state, nonlinear or not.

    .. math:: y(t_k) = h(x(t_k)) + ε_k, \qquad H(x) = ∂h / ∂x

    The observations are a variable over time and one other dimension (the channels), and perhaps
    window; NaN where a channel has no observation.

    Parameters
    ----------
    function : callable
        h, from states (..., D) to channels (..., K), made of torch operations.
    adjoint : callable, optional
        (x, v) to H(x)ᵀ v, (..., D), with v (..., K). Default: by autograd.
    errors : CorrelatedErrors, optional
        How the errors of the channels of one time are correlated, by coordinates along the
        dimension of the channels. Their standard deviations must not change with time, and a time
        has all channels or none. Default: not at all.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        adjoint: Callable[..., Any] | None = None,
        *,
        errors: CorrelatedErrors | None = None,
    ) -> None:
        if not callable(function) or not (adjoint is None or callable(adjoint)):
            raise InputError(
                "a FunctionOperator takes a function h(x) of torch tensors and perhaps its adjoint "
                "(x, v); give functions"
            )
        self.function, self.adjoint = function, adjoint
        from pyvda.operators.correlated_errors import correlated_or_none

        self.errors = correlated_or_none(errors)
        self.combination: np.ndarray | None = None  # (K, K), of `with_independent_errors`

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return h(x), (..., K), for states x (..., D); autograd goes through it."""
        function = self.function
        if self.adjoint is not None:
            function = _with_adjoint(function, self.adjoint)
        return self._combined(function(x))

    def check(self, size: int, channels: int, states: Any = None) -> None:
        """Test the function and its derivatives at some states.

        Parameters
        ----------
        size, channels : int
            D and K.
        states : (N, D), optional
            Default: three random states.

        Raises
        ------
        InputError
            When a result has another shape, type or is not finite, when no gradient comes out, or
            when the adjoint is not that of the function, with both sides of the dot product.
        """
        import torch

        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, size, generator=generator, dtype=torch.float64)
        if states is not None:
            x = torch.as_tensor(np.asarray(states), dtype=torch.float64)
        found = self._evaluated(x, (len(x), channels))
        one = self._evaluated(x[0], (channels,))
        if not torch.allclose(found[0], one, rtol=1e-10, atol=1e-12):
            raise InputError(
                "the observation function gives different results for a state alone and in a "
                "batch; make it act on the last axis of (..., D)"
            )
        dx = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        v = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        try:
            forward, tolerance = self._forward(x, dx)
            point = x.clone().requires_grad_()
            (backward,) = torch.autograd.grad(self(point), point, v)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"autograd cannot differentiate the observation function ({_line(error)}); make it "
                "of differentiable torch operations, without detach() or numpy"
            ) from error
        if backward.shape != x.shape:
            raise InputError(
                f"the adjoint of the observation function returns shape {tuple(backward.shape)}, "
                f"expected that of the states, {tuple(x.shape)}"
            )
        left, right = float((forward * v).sum()), float((dx * backward).sum())
        scale = float(forward.abs().mul(v.abs()).sum() + dx.abs().mul(backward.abs()).sum())
        if not abs(left - right) <= tolerance * max(scale, 1e-300):
            raise InputError(
                "the adjoint of the observation function is wrong: ⟨H dx, v⟩ is "
                f"{left:.9g} and ⟨dx, Hᵀ v⟩ is {right:.9g}; correct it, or leave it out"
            )
        if self.adjoint is None:
            self._expect_derivative(x, dx)

    def _expect_derivative(self, x: torch.Tensor, dx: torch.Tensor) -> None:
        """Refuse a function of which autograd loses a part: both its derivatives then agree."""
        import torch

        dx = dx * (x.abs() + 1e-3 * x.abs().max())  # components may have very different units
        forward, _ = self._forward(x, dx)
        for step in (_STEP, _STEP / 8):
            # A kink or a jump lies between two states of one step only, as a rule.
            with torch.no_grad():
                ahead, behind = self(x + step * dx), self(x - step * dx)
            difference = (ahead - behind) / (2 * step)
            scale = float(torch.maximum(difference.abs(), forward.abs()).max())
            rounding = 1e-14 * max(float(ahead.abs().max()), scale) / step
            error = (difference - forward).abs()
            if not float(error.max()) > _LOST * scale + rounding:
                return
            at = int(error.argmax())
            channel, expected = at % forward.shape[-1] + 1, float(difference.flatten()[at])
        raise InputError(
            f"autograd of the observation function is not its derivative (channel {channel} along "
            f"a random direction: {float(forward.flatten()[at]):.6g}, by differences "
            f"{expected:.6g}); do not detach tensors or convert them to numbers, or give the "
            "adjoint"
        )

    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return the data as channels; see `ObservationOperator.observations`."""
        from pyvda.io.tables import channels

        found = channels.observations(ds, model, variable)
        return found if self.combination is None else channels.combined(found, self.combination)

    def with_independent_errors(
        self, ds: xr.Dataset, variable: str | Sequence[str] | None = None
    ) -> FunctionOperator:
        """Return the operator of combinations A h of the channels of `ds` with independent errors.

        Its `combination` is A, (K, K), and its `observations` are A y. Without `errors` it is the
        operator itself.

        Raises
        ------
        InputError
            The channels have no such coordinates, errors that change with time, or gaps of some.
        """
        if self.errors is None:
            return self
        from pyvda.io.tables import channels

        found = copy.copy(self)
        found.combination, found.errors = channels.independent(ds, self.errors, variable), None
        return found

    def count(self, state: Any) -> int:
        """Return the number of values of the function for a state (D,).

        Raises
        ------
        InputError
            The function fails, returns something else than a vector, or does not say.
        """
        import torch

        x = torch.as_tensor(np.asarray(state, float))
        found = self._returned(x)
        if not isinstance(found, torch.Tensor) or found.ndim != 1 or not len(found):
            raise InputError(
                f"the observation function returns {_kind(found)} for a state of shape "
                f"{tuple(x.shape)}, expected a tensor with one value a channel"
            )
        return len(found)

    def values(self, x: Any, channels: int) -> np.ndarray:
        """Return h of states x (..., D), (..., K), as numpy, with K `channels`."""
        import torch

        with torch.no_grad():
            return np.asarray(self(torch.as_tensor(np.asarray(x, float))).numpy())

    def derivatives(self, x: Any, channels: int) -> np.ndarray:
        """Return ∂h/∂x at states x (..., D), (..., K, D), as numpy, with K `channels`."""
        import torch

        state = torch.as_tensor(np.asarray(x, float)).requires_grad_()
        with torch.enable_grad():
            said = self(state)
            # The states are independent of each other: a pullback for each channel suffices.
            rows = [
                torch.autograd.grad(said[..., k].sum(), state, retain_graph=True, allow_unused=True)
                for k in range(channels)
            ]
        found = [torch.zeros_like(state) if row is None else row for (row,) in rows]
        return np.asarray(torch.stack(found, -2).detach().numpy())

    def _forward(self, x: torch.Tensor, dx: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return H dx and how exact it is; by differences where only the adjoint is known."""
        import torch

        try:
            _, found = torch.autograd.functional.jvp(self.function, x, dx, strict=False)
            return self._combined(found), _TOLERANCE
        except (RuntimeError, TypeError):
            if self.adjoint is None:
                raise
        with torch.no_grad():
            ahead, behind = self.function(x + _STEP * dx), self.function(x - _STEP * dx)
        return self._combined((ahead - behind) / (2 * _STEP)), _OF_DIFFERENCES

    def _combined(self, found: torch.Tensor) -> torch.Tensor:
        """Return A applied to values (..., K) of the function, as an array of the same kind."""
        if self.combination is None:
            return found
        import torch

        return found @ torch.as_tensor(self.combination, dtype=found.dtype, device=found.device).T

    def _returned(self, x: torch.Tensor) -> Any:
        try:
            return self(x)
        except Exception as error:  # whatever a user's function raises
            raise InputError(
                f"the observation function fails on states of shape {tuple(x.shape)} "
                f"({_line(error)}); make it take (..., D)"
            ) from error

    def _evaluated(self, x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        import torch

        found = self._returned(x)
        if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
            raise InputError(
                f"the observation function returns {_kind(found)} for states of shape "
                f"{tuple(x.shape)}, expected a tensor of shape {shape}, one value a channel"
            )
        if found.layout != torch.strided or found.device != x.device:
            raise InputError(
                f"the observation function returns a {_where(found)} tensor for states in a "
                f"{_where(x)} one; make it of the same kind (to_dense(), device=x.device)"
            )
        if found.dtype != x.dtype and found.is_floating_point():
            raise InputError(
                f"the observation function returns {found.dtype} for states of {x.dtype}; compute "
                "in the precision of the states (make constants with dtype=x.dtype)"
            )
        if not found.is_floating_point() or not torch.isfinite(found).all():
            raise InputError(
                "the observation function gives NaN, infinite or no real values at some states; "
                "make it finite for every state, for example by clamping its argument"
            )
        return found


@dataclass(frozen=True)
class Channels:
    """Observations of W windows that are a function of the state at their steps.

    Attributes
    ----------
    value : (W, T, K)
        y; 0 where there is no observation.
    weight : (W, T, K)
        0, 1, or the reference error variance divided by the datum's own, as in `Batch.mask`.
    operator : FunctionOperator
        h.
    """

    value: Array
    weight: Array
    operator: FunctionOperator

    def __post_init__(self) -> None:
        if self.value.ndim != 3 or self.value.shape != self.weight.shape:
            raise ValueError(
                f"value has shape {tuple(self.value.shape)} and weight {tuple(self.weight.shape)}, "
                "expected (window, time, channel) for both"
            )

    def __getitem__(self, windows: Any) -> Channels:
        """Return the data of the chosen windows (a slice, or an array of indices or booleans)."""
        return replace(self, value=self.value[windows], weight=self.weight[windows])

    def counted(self) -> Array:
        """Return how many data each window has, (W,)."""
        return (self.weight > 0).sum((1, 2))

    def weighed(self, factor: float) -> Channels:
        """Return the data with `factor` times their weights."""
        return replace(self, weight=factor * self.weight)

    def curvature(self, x: Any) -> np.ndarray:
        """Return Σ weight |∂h/∂x|² over the channels at states x (W, T, D), (W, T)."""
        rows = self.operator.derivatives(x, self.value.shape[-1])
        return np.asarray((np.asarray(self.weight, float) * (rows**2).sum(-1)).sum(-1))

    def predicted(self, x: Any) -> np.ndarray:
        """Return h of states x (W, T, D), (W, T, K), as numpy."""
        return self.operator.values(x, self.value.shape[-1])


def _with_adjoint(function: Callable[..., Any], adjoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose backward pass is the adjoint."""

    def call(x: Any) -> Any:
        import torch

        class Observation(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, state: Any) -> Any:
                ctx.save_for_backward(state)
                return function(state)

            @staticmethod
            def backward(ctx: Any, v: Any) -> Any:
                (state,) = ctx.saved_tensors
                return adjoint(state, v)

        return Observation.apply(x)

    return call


def _where(tensor: Any) -> str:
    """Return layout and device of a tensor, as "strided cpu"."""
    return f"{str(tensor.layout).removeprefix('torch.')} {tensor.device}"


def _kind(found: Any) -> Any:
    """Return the shape of a tensor, or the name of another type."""
    import torch

    return tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
