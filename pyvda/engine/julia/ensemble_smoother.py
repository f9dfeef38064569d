"""The ensemble smoother of the Julia engine: `julia/src/methods/ensemble_smoother.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.julia.arguments import (
    function_arguments,
    point_arguments,
    step_arguments,
    window_arguments,
)
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def ensemble_smoother(
    engine: JuliaEngine,
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    members: Array,
    *,
    inflation: float = 1.0,
    lag: int = 0,
    depth: int = 0,
    iterations: int = 1,
    reflections: Array | None = None,
    noise: Array | None = None,
    points: Data | None = None,
    spread: bool = True,
    final: bool = False,
) -> tuple[Array, Array | None, Array | None]:
    """See `Engine.ensemble_smoother`."""
    windows, steps, _ = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    members = checked("members", members, (len(members), model.state_size), np.dtype(float))
    if reflections is None:
        reflections = np.empty((1, 0, len(members)))
    count, columns, _ = reflections.shape
    reflections = checked(
        "reflections", reflections, (count, columns, len(members)), np.dtype(float)
    )
    if noise is not None:
        noise = checked("noise", noise, (steps - 1, shape[2], len(members)), np.dtype(float))
        if depth:
            raise ValueError(f"depth is {depth}, expected 0 with noise")
    mean = np.empty(shape)
    stdev = np.empty(shape) if spread else None
    last = np.empty((windows, *members.shape)) if final else None
    if windows:
        engine.call(
            "ensemble_smoother", **engine.model_arguments(model), **step_arguments(settings),
            **window_arguments(observation),
            **function_arguments(engine.observation_functions, points),
            **point_arguments(None if isinstance(points, Channels) else points, observation),
            y=observation, precision=precision, members=members, member_count=len(members),
            inflation=inflation, lag=lag, depth=depth, iterations=iterations,
            reflections=reflections, columns=columns, reflection_count=count, noise=noise,
            mean=mean, spread=stdev, final=last,
        )  # fmt: skip
    return mean, stdev, last
