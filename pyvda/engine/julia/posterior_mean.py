"""Posterior means and starts from a library: `posterior_mean.jl`, `best_starts.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.data import Posterior
from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.arguments import pointer, scheme_number
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.climate.library import Library
    from pyvda.engine.julia.engine import JuliaEngine


def posterior_mean(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    library: Library,
    *,
    noise: Array,
    enough: float,
    spread: Array,
) -> Posterior:
    """See `Engine.posterior_mean`."""
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    noise = checked("noise", noise, (len(noise) // 8 * 8, size), np.dtype(float))
    spread = checked("spread", spread, (size,), np.dtype(float))
    mean, stdev, info = np.empty(shape), np.empty(shape), np.empty((windows, 3))
    trajectories, length, _ = library.states.shape
    if windows:
        engine.call(
            "posterior_mean",
            *engine.model_arguments(model), steps, windows, scheme_number(settings.scheme),
            settings.time_step, pointer(observation), pointer(precision), pointer(library.states),
            length, trajectories, library.lead, pointer(library.signs), pointer(noise), len(noise),
            enough, pointer(spread), pointer(mean), pointer(stdev), pointer(info),
        )  # fmt: skip
    return Posterior(mean, stdev, *info.T)


def best_starts(
    engine: JuliaEngine,
    observation: Array,
    precision: Array,
    library: Library,
    *,
    apart: Array,
    count: int,
) -> Array:
    """See `Engine.best_starts`."""
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    apart = checked("apart", apart, (size,), np.dtype(float))
    starts = np.empty((windows, count, size))
    trajectories, length, _ = library.states.shape
    if windows:
        engine.call(
            "best_starts",
            size, steps, windows, pointer(observation), pointer(precision),
            pointer(library.states), length, trajectories, library.lead, pointer(library.signs),
            pointer(apart), count, pointer(starts),
        )  # fmt: skip
    return starts
