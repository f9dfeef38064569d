"""The states from which strong-constraint 4D-Var starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.climate.climatology import climatology
from pyvda.climate.library import library
from pyvda.engine.interface import Array
from pyvda.methods.control import Prior
from pyvda.methods.problem import Problem
from pyvda.methods.statistics import precision_of, variance_of
from pyvda.methods.strong_constraint_options import (
    Setting,
    StrongConstraintOptions,
    uses_library,
)
from pyvda.operators.points import Points, nearest_steps

# Climatological standard deviations between two starts from the library: on either side of a
# separatrix they are further apart, and closer ones mostly lead to the same minimum.
_APART = 0.6
_LOOKS = 25  # steps at which a library is compared with a first guess


def starts(
    problem: Problem, options: StrongConstraintOptions, prior: Prior, setting: Setting
) -> Callable[[Array], Array]:
    """Return a function that maps a block of n windows to their starting controls, (n, count, C).

    Parameters
    ----------
    prior : Prior
        Prior of the control; its mean is the start "mean".
    """
    engine, count = problem.engine, setting.count
    precision = precision_of(problem, options.observation_variance)
    observation = np.asarray(problem.batch.observation, float)
    variance = variance_of(problem, options.observation_variance)
    _, steps, size = observation.shape
    shelf, drawn, apart = None, None, None
    if setting.starts == "climatology":
        known = climatology(problem.model, engine).states
        drawn = known[np.random.default_rng(options.seed).permutation(len(known))[:count]]
    if uses_library(setting.starts, size):
        shelf = library(
            problem.model, engine, problem.cost.time_step, steps, options.members, setting.lead
        )
        apart = _APART * np.sqrt(climatology(problem.model, engine).variance)

    def states(block: Array) -> Array:
        shape = (len(block), count, size)
        if drawn is not None:
            return np.broadcast_to(drawn, shape)
        if setting.starts == "first-guess" and shelf is None:
            return np.asarray(problem.batch.first_guess, float)[block, :1]
        if shelf is None or apart is None:
            return np.broadcast_to(prior.mean[:size], shape)
        near, weight = observation[block], precision[block]
        points = problem.points(block)
        if isinstance(points, Points):
            values, there = nearest_steps(points, steps, size)
            near = np.where(weight > 0, near, values)
            weight = np.maximum(weight, there / variance)
        if setting.starts == "first-guess":
            near = np.asarray(problem.batch.first_guess, float)[block]
            weight = np.zeros_like(near)
            weight[:, :: max(1, steps // _LOOKS)] = 1 / variance
        return engine.best_starts(near, weight, shelf, apart=apart, count=count)

    def controls(block: Array) -> Array:
        found = states(block)
        own = problem.model.parameters if options.parameters else ()
        return np.concatenate([found, np.broadcast_to(own, (*found.shape[:2], len(own)))], axis=2)

    return controls
