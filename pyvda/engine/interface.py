"""What an engine does. Two exist: `julia` (julia.py, fast) and `torch` (torch_engine.py, slower).

Arrays are numpy, C-ordered `(window, time, state)`, in the state's units; nothing of Julia and no
tensor is seen outside this folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pyvda.models.model import Model
from pyvda.operators.points import Points

Array = NDArray[Any]
Scheme = Literal["euler", "rk4"]


@dataclass(frozen=True)
class CostSettings:
    """The weak-constraint cost (4) of a window, for an ODE model.

    U = λ₁ Σ mask (x - y)² / (number of observations) + λ₂ mean((x(t) - Φ(x(t - Δ)))²), the mean
    over the T - 1 steps that Φ predicts and all components.

    Attributes
    ----------
    time_step : float
        Δ, in model time units.
    lambda1, lambda2 : float
        Weights of the observations and of the dynamics.
    scheme : {"rk4", "euler"}
        Φ: Runge-Kutta 4 (8) or Euler (7).
    """

    time_step: float
    lambda1: float = 0.01
    lambda2: float = 1.0
    scheme: Scheme = "rk4"


@dataclass(frozen=True)
class CostResult:
    """Cost of each window, its two terms (weights included), and its gradient.

    Attributes
    ----------
    observation, dynamics : (W,)
    gradient_norm : (W,)
        Euclidean norm of ∂U/∂x.
    gradient : (W, T, D) or None
    """

    observation: Array
    dynamics: Array
    gradient_norm: Array
    gradient: Array | None

    @property
    def total(self) -> Array:
        """U of each window, shape (W,)."""
        return self.observation + self.dynamics


@dataclass(frozen=True)
class EngineInfo:
    """How an engine was started, for `pyvda info` and the provenance of files."""

    name: str
    start: str
    version: str
    threads: int
    reason: str

    def __str__(self) -> str:
        how = "" if self.start == self.name else f" ({self.start})"
        threads = f"{self.threads} thread" + ("s" if self.threads != 1 else "")
        return f"{self.name}{how} {self.version}, {threads}"


@runtime_checkable
class Engine(Protocol):
    """Simulation, cost and gradient, descent, and linearised steps of a model."""

    info: EngineInfo

    def simulate(
        self,
        model: Model,
        start: Array,
        *,
        time_step: float,
        steps: int,
        spinup: float = 0.0,
        rtol: float = 1e-9,
        atol: float = 1e-9,
    ) -> Array:
        """Integrate by Dormand-Prince 5(4) with dense output.

        Parameters
        ----------
        start : (W, D)
            States at time -`spinup`.
        time_step, spinup : float
            Model time units.

        Returns
        -------
        (W, steps, D)
            States at 0, Δ, 2Δ, ...; NaN in a window that diverged. Both engines give the same bits.
        """

    def cost(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        gradient: bool = True,
        points: Points | None = None,
    ) -> CostResult:
        """Evaluate (4) and its gradient, in the precision of `x`; all arrays (W, T, D).

        `points` are further data, at arbitrary times; they count among the observations.
        """

    def descend(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        step: float,
        iterations: int,
        out: Array | None = None,
        points: Points | None = None,
    ) -> Array:
        """Return `x` after `iterations` of x ← x - `step` ∂U/∂x, eq. (5).

        The result goes to `out` where it is given (C-contiguous, in the precision of `x`; it may be
        `x` itself); otherwise `x` is left as it is.
        """

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        """Return what states x (W, T, D) say of data at arbitrary times, (W, K)."""

    def forecast(
        self, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """Φ of each state: (..., D) to (..., D)."""

    def tangent_linear(
        self, model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """∂Φ/∂x(x) dx, (..., D)."""

    def adjoint(
        self, model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """(∂Φ/∂x(x))ᵀ v, (..., D)."""


def checked(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return `array` C-contiguous with `dtype`; refuse another shape, NaN and infinities."""
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values; mask gaps instead")
    return array


def checked_problem(
    model: Model, x: Array, observation: Array, mask: Array
) -> tuple[Array, Array, Array]:
    """Return the three (W, T, D) arrays in the precision of `x`, checked."""
    dtype = working_dtype(x)
    if np.ndim(x) != 3 or x.shape[1] < 2:
        raise ValueError(f"x has shape {np.shape(x)}, expected (window, time >= 2, state)")
    shape = (x.shape[0], x.shape[1], model.state_size)
    return (
        checked("x", x, shape, dtype),
        checked("observation", observation, shape, dtype),
        checked("mask", mask, shape, dtype),
    )


def checked_points(points: Points, windows: int, size: int, steps: int, dtype: np.dtype) -> Points:
    """Return `points` C-contiguous in the precision `dtype`, checked."""
    shape = (windows, points.step.shape[1])
    step = np.ascontiguousarray(points.step, dtype=np.int64)
    fraction = checked("fraction", np.asarray(points.fraction), shape, dtype)
    if ((step < 0) | (step >= steps)).any() or ((fraction < 0) | (fraction > 1)).any():
        raise ValueError(f"points lie outside the {steps} steps of a window")
    return Points(
        step, fraction,
        checked("value", np.asarray(points.value), shape, dtype),
        checked("weight", np.asarray(points.weight), shape, dtype),
        checked("operator", np.asarray(points.operator), (*shape, size), dtype),
    )  # fmt: skip


def moved(x: Array, out: Array) -> Array:
    """Return `out` with the values of `x`; refuse an array that an engine cannot work in."""
    if out.shape != x.shape or out.dtype != x.dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"out is {out.dtype} of shape {out.shape}, expected {x.dtype} of {x.shape} in C order"
        )
    if out is not x:
        out[...] = x
    return out


def working_dtype(x: Array) -> np.dtype:
    """float32 stays float32; everything else is computed in float64."""
    return np.dtype(np.float32 if np.asarray(x).dtype == np.float32 else np.float64)
