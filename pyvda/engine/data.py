"""Settings and results of an engine, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Scheme = Literal["euler", "rk4"]

GIVEN_UP = 9
"""In `Minimum.status`, beside the numbers of `pyvda.names.Status`: left after an early stage."""


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


@dataclass(frozen=True)
class Shooting:
    """The control and the stages of a weak-constraint minimisation.

    Attributes
    ----------
    weights : sequence of float
        w of the model, one a stage: 1/q for a model-error variance q between two nodes.
    model_precision : (D, D), optional
        Q⁻¹ of a model-error covariance Q between two nodes, which w multiplies. Default: I.
    every : int
        Steps from one node to the next; between nodes the model is exact.
    substeps : int
        Steps of the scheme to a step of the window.
    iterations : int
        At most so many a stage.
    tolerance : float
        A window has converged when its gradient norm is below this fraction of the first.
    drop : float
        A window leaves a stage when a step lowers its cost by less.
    give_up_stage : int
    give_up_cost : float or (W,)
        A window that costs more after this stage (counted from 1) is given up.
    """

    weights: Sequence[float] | Array
    every: int = 1
    substeps: int = 1
    iterations: int = 100
    tolerance: float = 0.0
    drop: float = 0.0
    give_up_stage: int = 0
    give_up_cost: float | Array = np.inf
    model_precision: Array | None = None


@dataclass(frozen=True)
class LocalCentres:
    """Where local analyses are made, G of them, and what each of them contributes to.

    Attributes
    ----------
    place : (G, d)
        In half the distance at which data cease to count; NaN where a dimension does not count.
    period : (d,)
        Length of each dimension that is a circle, in the same unit; 0: none.
    first : (G + 1,) of int
        Entries `first[c]` to `first[c + 1]` of the next two belong to the centre c.
    component, coefficient : (M,)
        A component of the state, from 0, and the share of the centre in it; the shares of a
        component add up to 1.
    colours : (C + 1,) of int
        Centres from `colours[k]` to `colours[k + 1]` have no component in common.
    """

    place: Array
    period: Array
    first: Array
    component: Array
    coefficient: Array
    colours: Array


class Minimum(NamedTuple):
    """Result of `weak_constraint`: x and stdev (W, T, D), the rest (W,); `cost` is halved."""

    x: Array
    stdev: Array | None
    status: Array
    iterations: Array
    cost: Array
    gradient_norm: Array


class Minima(NamedTuple):
    """Result of `strong_constraint`: what each start of each window led to.

    Attributes
    ----------
    control : (W, S, C)
        The state, `lead` steps before the window; behind it the parameters, where the starts have
        them.
    hessian : (W, S, C, C)
        Of Gauss-Newton, the inverse of the posterior covariance of the control.
    objective : (W, S)
        J; not finite when the start diverged.
    iterations, status : (W, S) of int
        `status` is a `pyvda.names.Status`.
    """

    control: Array
    hessian: Array
    objective: Array
    iterations: Array
    status: Array


class Posterior(NamedTuple):
    """Result of `posterior_mean`; NaN in a window where no member of the library has a likelihood.

    Attributes
    ----------
    mean, stdev : (W, T, D)
    effective : (W,)
        Effective sample size.
    misfit : (W,)
        The smallest ½ Σ (y - h)² / R of the samples that the mean is made of.
    draws : (W,)
        Draws of the second stage.
    """

    mean: Array
    stdev: Array
    effective: Array
    misfit: Array
    draws: Array


class InterpolationData(NamedTuple):
    """Data of a field, sorted by group (those of one time), for `optimal_interpolation`.

    Attributes
    ----------
    position : (N, 3)
        km.
    map : (N, 2)
        Map coordinates, which tell the quadrants around a point.
    scale : (3,)
        Least km in a unit of each map coordinate, and the period of the first, 0 without.
    time, value, noise : (N,)
        Days; departure from the mean; variance of its error.
    track : (N,) of int
        Number of the pass, whose data share errors.
    hidden : (N,) of bool
        Data that estimates of the same group do not use.
    first : (G + 1,) of int
        Index of the first datum of each group; the last is N.
    group_time : (G,)
        Days, increasing.
    velocity : (N, 3), optional
        km a day: a datum is taken from where it would be at the time of the estimate, carried by
        its own velocity. Default: it does not move.
    """

    position: Array
    map: Array
    scale: tuple[float, float, float]
    time: Array
    value: Array
    noise: Array
    track: Array
    hidden: Array
    first: Array
    group_time: Array
    velocity: Array | None = None


class Targets(NamedTuple):
    """Where a field is estimated: `query` q is at point `point[q]`, time `time[q]`.

    Attributes
    ----------
    position, map : (P, 3), (P, 2)
    point : (Q,) of int
        Queries of the same point are adjacent.
    time : (Q,)
        Days.
    group : (Q,) of int
        The group of data of that time, -1 without.
    """

    position: Array
    map: Array
    point: Array
    time: Array
    group: Array


class Selection(NamedTuple):
    """Which data an estimate uses: the nearest of each quadrant of each group.

    Attributes
    ----------
    own, other : int
        How many of each quadrant of the group of the same time, and of every other one.
    days, km : float
        How far away.
    """

    own: int
    other: int
    days: float
    km: float


class Interpolated(NamedTuple):
    """Result of `optimal_interpolation`, (Q,) each.

    Attributes
    ----------
    value, variance : (Q,)
        Estimate and variance of its error; NaN where the covariance is not positive definite.
    km, days : (Q,)
        From the point to the datum with the largest covariance; NaN without data.
    """

    value: Array
    variance: Array
    km: Array
    days: Array
