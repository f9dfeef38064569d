"""Settings and results of the methods' verbs of an engine, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GIVEN_UP = 5
"""In `Minimum.status`, beside the numbers of `pyvda.names.Status`: left after an early stage."""


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
