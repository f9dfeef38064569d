"""The problems that tests share: twin experiments, random windows, linear models and point data.

A test that needs windows of a published setting takes `twin_problem`; one that compares two
computations takes random numbers (`random_windows`, `random_points`, `random_batch`); one that
needs a known answer takes `linear_problem`, whose smoother is a dense least-squares solution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.methods import Problem
from pyvda.models.in_torch import Trainable, bilinear
from pyvda.models.model import Model
from pyvda.models.registry import get_family, get_preset, presets
from pyvda.operators.points import Points
from pyvda.state import windows
from pyvda.state.batch import Batch

# Models with a published setting under the same name.
MODELS = tuple(name for name in presets() if "-" not in name)
TIME_STEPS = {name: get_preset(name).model.time_step for name in MODELS}
OBSERVATION_VARIANCE = 2.0  # of every preset

# Windows that a test of seconds can afford.
FEW_WINDOWS = {"lorenz63": 12, "lorenz63-blanked": 12, "lorenz96": 2}


def twin_problem(
    preset: str,
    count: int,
    *,
    seed: int = 5,
    model: Model | None = None,
    steps: int | None = None,
    engine: str | None = None,
) -> Problem:
    """Return `count` windows of a twin experiment with their truth, ready for a method.

    The data are drawn with `seed` and `seed` + 1. `model` replaces the preset's model in the
    assimilation, and only the first `steps` steps of each window are kept.
    """
    truth = pyvda.simulate(preset, count, seed)
    observed = pyvda.observe(truth, preset, seed + 1)
    model = model or get_preset(preset).model
    batch = windows.to_batch(observed, climatology(model).mean)
    batch = replace(batch, truth=truth["truth"].values)._map(lambda array: array[:, :steps])
    cost = CostSettings(model.time_step)
    return Problem(batch, model, cost, get_engine(engine), OBSERVATION_VARIANCE)


def random_windows(
    size: int, count: int = 9, steps: int = 30, *, seed: int = 1, observed: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random states, observations and weights (count, steps, size).

    The states are of the size of the Lorenz models'; the weights lie between 0.5 and 2; the first
    window is not observed at all.
    """
    rng = np.random.default_rng(seed)
    x = 5.0 * rng.standard_normal((count, steps, size)) + 2.0
    mask = (rng.random(x.shape) < observed) * rng.uniform(0.5, 2.0, x.shape)
    mask[0] = 0.0
    return x, (x + rng.standard_normal(x.shape)) * (mask > 0), mask


def random_points(
    size: int, count: int = 9, steps: int = 30, *, data: int = 6, seed: int = 0
) -> Points:
    """Return data at random times of random combinations; every fifth is padding with weight 0."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2.0, (count, data))
    weight[:, ::5] = 0
    return Points(
        rng.integers(0, steps, (count, data)),
        rng.uniform(0, 1, (count, data)),
        5 * rng.standard_normal((count, data)),
        weight,
        rng.standard_normal((count, data, size)),
    )


def random_batch(
    count: int = 5,
    steps: int = 12,
    state: int | tuple[int, ...] = 3,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    """Return a batch of torch tensors, normally distributed; of fields where `state` is (y, x).

    The weights lie between 0.5 and 1.5; the second window is not observed at all.
    """
    size = (state,) if isinstance(state, int) else state
    generator = torch.Generator().manual_seed(seed)

    def draw(function: Any) -> torch.Tensor:
        return function(count, steps, *size, dtype=torch.float64, generator=generator).to(dtype)

    mask = (draw(torch.rand) + 0.5) * (draw(torch.randn) > 0.3)
    mask[1:2] = 0.0
    return Batch(draw(torch.randn) * (mask > 0), mask, draw(torch.randn), draw(torch.randn))


# --- linear models, whose analysis is known -------------------------------------------------------


@dataclass(frozen=True)
class LinearProblem:
    """x(t+1) = M x(t) + N(0, Q), y(t) = H x(t) + N(0, R), x(0) from N(mean, B).

    Attributes
    ----------
    M, Q, B : (D, D)
    H : (P, D)
    R : (P, P)
    mean : (D,)
    y : (T, P)
    """

    M: np.ndarray
    Q: np.ndarray
    H: np.ndarray
    R: np.ndarray
    mean: np.ndarray
    B: np.ndarray
    y: np.ndarray

    def smoothed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (T, D) and covariance (T, D, T, D) of the states given all data.

        From the dense precision matrix of all states at once, with no recursion in time.
        """
        T, D = len(self.y), len(self.mean)
        precision, right = np.zeros((T, D, T, D)), np.zeros((T, D))
        Q, R, B = (np.linalg.inv(a) for a in (self.Q, self.R, self.B))
        precision[0, :, 0] += B
        right[0] += B @ self.mean
        for t in range(T):
            precision[t, :, t] += self.H.T @ R @ self.H
            right[t] += self.H.T @ R @ self.y[t]
        for t in range(T - 1):
            precision[t, :, t] += self.M.T @ Q @ self.M
            precision[t + 1, :, t + 1] += Q
            precision[t, :, t + 1] -= self.M.T @ Q
            precision[t + 1, :, t] -= Q @ self.M
        covariance = np.linalg.inv(precision.reshape(T * D, T * D))
        mean = covariance @ right.ravel()
        return mean.reshape(T, D), covariance.reshape(T, D, T, D)


def linear_problem(
    size: int = 3, steps: int = 12, observed: int = 2, *, seed: int = 0
) -> LinearProblem:
    """Return a random stable linear model with full covariances, and data drawn from it."""
    rng = np.random.default_rng(seed)

    def covariance(n: int, scale: float) -> np.ndarray:
        root = rng.standard_normal((n, n + 2))
        return scale * (root @ root.T / n + 0.1 * np.eye(n))

    M = rng.standard_normal((size, size))
    M *= 0.98 / np.abs(np.linalg.eigvals(M)).max()
    Q, R, B = covariance(size, 0.1), covariance(observed, 0.5), covariance(size, 2.0)
    H, mean = rng.standard_normal((observed, size)), rng.standard_normal(size)
    x, y = rng.multivariate_normal(mean, B), np.empty((steps, observed))
    for t in range(steps):
        y[t] = rng.multivariate_normal(H @ x, R)
        x = rng.multivariate_normal(M @ x, Q)
    return LinearProblem(M, Q, H, R, mean, B, y)


def drawn_problem(
    model: Model,
    count: int = 2,
    steps: int = 17,
    *,
    every: int = 2,
    variance: float = 0.04,
    seed: int = 3,
    engine: str | None = None,
) -> Problem:
    """Return windows of any model: from its climatology, most components seen every few steps.

    They are short and well observed, so that each cost has a single minimum.
    """
    rng = np.random.default_rng(seed)
    running = get_engine(engine)
    known = climatology(model, running)
    start = known.states[rng.integers(0, len(known.states), count)]
    truth = running.simulate(model, start, time_step=model.time_step, steps=steps)
    mask = np.zeros_like(truth)
    mask[:, ::every] = rng.random(mask[:, ::every].shape) < 0.7
    observation = mask * (truth + np.sqrt(variance) * rng.standard_normal(truth.shape))
    guess = np.broadcast_to(known.mean, truth.shape)
    batch = Batch(observation, mask, np.where(mask > 0, observation, guess), truth)
    return Problem(batch, model, CostSettings(model.time_step), running, variance)


def true_form(name: str, *parameters: float) -> Trainable:
    """Return the trainable form of a built-in model, with the weights of the model itself."""
    form = get_family(name).trainable
    assert form is not None
    found = bilinear(name).double()
    weights = form.true(*parameters)
    numbers = {key: torch.tensor(value, dtype=torch.float64) for key, value in weights.items()}
    found.load_state_dict(numbers)
    return found


# --- nonlinear models of a user's own -------------------------------------------------------------


ROSSLER = {"a": 0.2, "b": 0.2, "c": 5.7}


def rossler(x: torch.Tensor, a: float, b: float, c: float) -> torch.Tensor:
    """Return dx/dt of Rössler's system, (..., 3); `julia_files.ROSSLER` is the same in Julia."""
    x, y, z = x.unbind(-1)
    return torch.stack((-y - z, x + a * y, b + z * (x - c)), -1)


def rossler_model(name: str = "rossler", **parameters: float) -> Model:
    """Return Rössler's system as a user's model in torch, with `ROSSLER` unless given."""
    return pyvda.torch_model(
        rossler, variables=("x", "y", "z"), time_step=0.05, name=name,
        parameters=ROSSLER | parameters,
    )  # fmt: skip


def rossler_tangent_linear(x, dx, a, b, c):
    u, _, w = x.unbind(-1)
    du, dv, dw = dx.unbind(-1)
    return torch.stack((-dv - dw, du + a * dv, w * du + (u - c) * dw), -1)


def rossler_adjoint(x, dy, a, b, c):
    u, _, w = x.unbind(-1)
    p, q, r = dy.unbind(-1)
    return torch.stack((q + w * r, -p + a * q, -p + (u - c) * r), -1)


def rossler_with(function=rossler, **changed):
    """Return Rössler's system by another function, or with other arguments of `torch_model`."""
    usual = {"variables": ("x", "y", "z"), "time_step": 0.05, "parameters": ROSSLER}
    return pyvda.torch_model(function, **{**usual, **changed})


def turning(**changed) -> Model:
    """Return a linear model that turns two variables, of two places each, into each other."""

    def f(x, rate):
        u, v = x[..., :2], x[..., 2:]
        return torch.cat((-rate * v, rate * u), -1)

    return pyvda.torch_model(
        f, variables=("u", "v"), dimensions={"place": 2}, time_step=0.1, spinup=1.0,
        parameters={"rate": 2.0}, **changed,
    )  # fmt: skip


def sine(slope: float) -> Model:
    """Return the step x -> slope sin x, steep at a first guess near 0."""

    def step(x: torch.Tensor) -> torch.Tensor:
        return slope * torch.sin(x)

    return pyvda.torch_model(step=step, variables=("x",), time_step=1.0)
