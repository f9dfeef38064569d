"""A linear model in torch and windows of data of it, whose Kalman smoother is known."""

from __future__ import annotations

from dataclasses import dataclass

import kalman
import numpy as np
from problems import LinearProblem, linear_problem

import pyvda
from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.models.model import Model


@dataclass(frozen=True)
class LinearWindows:
    """W windows of T steps of x(t+1) = M x(t), data of single components and a background.

    Attributes
    ----------
    problem : LinearProblem
        M, Q, mean and B; its H, R and y are not used.
    observation, weight : (W, T, D)
        Data and the inverses of their error variances, 0 where there is none.
    """

    problem: LinearProblem
    model: Model
    settings: CostSettings
    observation: np.ndarray
    weight: np.ndarray

    def smoothed(self, window: int, *, exact: bool = False) -> kalman.Smoothed:
        """Return the Kalman smoother of a window; with an `exact` model there is no Q."""
        p = self.problem
        with np.errstate(divide="ignore"):
            variance = 1 / self.weight[window]
        Q = 0 * p.Q if exact else p.Q
        return kalman.of_mask(p.M, p.mean, p.B, self.observation[window], variance, Q)


def linear_windows(
    count: int = 3, steps: int = 8, size: int = 3, *, seed: int = 0
) -> LinearWindows:
    """Return random windows; the last step of each is not observed."""
    problem = linear_problem(size, steps, size, seed=seed)
    M = problem.M
    model = pyvda.torch_model(
        step=lambda x: x @ tensor(M).to(x.dtype).T,
        variables=tuple("abcdefgh"[:size]), time_step=1.0,
    )  # fmt: skip
    rng = np.random.default_rng([seed, 1])
    shape = (count, steps, size)
    weight = (rng.random(shape) < 0.5) * rng.uniform(0.5, 3.0, shape)
    weight[:, 0, 0] = 1.0
    weight[:, -1] = 0.0
    observation = (weight > 0) * 2 * rng.standard_normal(shape)
    return LinearWindows(problem, model, CostSettings(1.0), observation, weight)
