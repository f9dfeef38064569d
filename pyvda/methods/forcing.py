"""Strong-constraint 4D-Var with a forcing η, the error of the model at every step.

    J(x₀, η) = ½ (x₀ - b)ᵀ B⁻¹ (x₀ - b) + ½ Σ (y - x(t))² / R + ½ Σ ηₜᵀ Q⁻¹ ηₜ,
    x(t + 1) = Φ(x(t)) + ηₜ

The control (x₀, η) and the states at all steps determine each other, so that the minimum over
either is the same. It is computed over the states, whose Hessian is block-tridiagonal: the weak
constraint with a node at every step (Trémolet 2006).

References
----------
Y. Trémolet, Q. J. R. Meteorol. Soc. 132 (2006), 2483-2504.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.engine.data import Minimum, Shooting
from pyvda.engine.interface import Array
from pyvda.methods.model_error import model_weight
from pyvda.methods.problem import Problem, Status

_WORK = 2_000_000  # numbers of the Hessians in a block of windows: about a second of work


def with_forcing(
    problem: Problem,
    guess: Array,
    chosen: Array,
    *,
    background: Array,
    background_precision: Array,
    variance: float,
    model_error: Any,
    iterations: int,
    tolerance: float,
) -> Minimum:
    """Minimise J from each guess and keep the lowest minimum of each window.

    Parameters
    ----------
    guess : (n, S, T, D)
        Trajectories to start from; those that are not finite are skipped.
    chosen : (n,) of int
        The windows that they belong to.
    background, background_precision : (D,), (D, D)
        b and B⁻¹.
    variance : float
        R of a datum with weight 1.
    model_error : float, or what `as_covariance` takes
        Q.
    iterations, tolerance : int, float
        See `Shooting`.

    Returns
    -------
    Minimum
        Minima of the n windows; `iterations` is the sum over the starts. A window without a finite
        guess has NaN and the status DIVERGED.
    """
    windows, starts, steps, size = guess.shape
    weight, model_precision = model_weight(model_error, size)
    shooting = Shooting(
        (weight,), iterations=iterations, tolerance=tolerance, model_precision=model_precision
    )
    observation = np.asarray(problem.batch.observation, float)
    mask = np.asarray(problem.batch.mask, float)
    x = np.full((windows, steps, size), np.nan)
    stdev = np.full_like(x, np.nan)
    status = np.full(windows, int(Status.DIVERGED))
    count = np.zeros(windows, int)
    cost, norm = np.full(windows, np.inf), np.full(windows, np.nan)
    length = max(1, _WORK // (steps * size * size))
    for start in range(starts):
        usable = np.flatnonzero(np.isfinite(guess[:, start]).all((1, 2)))
        for first in range(0, len(usable), length):
            rows = usable[first : first + length]
            block = chosen[rows]
            found = problem.engine.weak_constraint(
                problem.model, problem.cost, shooting, guess[rows, start], observation[block],
                mask[block], np.full(len(rows), variance),
                np.broadcast_to(background, (len(rows), size)), background_precision, spread=True,
                points=problem.points(block),
            )  # fmt: skip
            count[rows] += found.iterations
            better = np.isfinite(found.x).all((1, 2)) & (found.cost < cost[rows])
            into = rows[better]
            x[into], status[into], cost[into] = (
                found.x[better], found.status[better], found.cost[better],
            )  # fmt: skip
            norm[into] = found.gradient_norm[better]
            if found.stdev is not None:
                stdev[into] = found.stdev[better]
            problem.report(start * windows + first + len(rows), starts * windows)
    return Minimum(x, stdev, status, count, np.where(np.isfinite(cost), cost, np.nan), norm)
