"""Posterior means and starts from a library: `posterior_mean.jl`, `best_starts.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.data import Posterior
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia.arguments import library_arguments, step_arguments, window_arguments
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
    windows, _, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    noise = checked("noise", noise, (len(noise) // 8 * 8, size), np.dtype(float))
    spread = checked("spread", spread, (size,), np.dtype(float))
    mean, stdev, info = np.empty(shape), np.empty(shape), np.empty((windows, 3))
    if windows:
        engine.call(
            "posterior_mean", **engine.model_arguments(model), **step_arguments(settings),
            **window_arguments(observation), **library_arguments(library), y=observation,
            precision=precision, deviates=noise, draws=len(noise), enough=enough, moves=spread,
            mean=mean, stdev=stdev, info=info,
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
    windows, _, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    apart = checked("apart", apart, (size,), np.dtype(float))
    starts = np.empty((windows, count, size))
    if windows:
        engine.call(
            "best_starts", D=size, **window_arguments(observation), **library_arguments(library),
            y=observation, precision=precision, apart=apart, start_count=count, starts=starts,
        )  # fmt: skip
    return starts
