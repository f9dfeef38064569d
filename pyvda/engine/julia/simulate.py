"""Simulation to a tolerance in the Julia engine: `julia/src/schemes/dormand_prince.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked
from pyvda.engine.data import Array
from pyvda.engine.julia.arguments import window_arguments
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def simulate(
    engine: JuliaEngine,
    model: Model,
    start: Array,
    *,
    time_step: float,
    steps: int,
    spinup: float = 0.0,
    rtol: float = 1e-9,
    atol: float = 1e-9,
) -> Array:
    """See `Engine.simulate`."""
    windows = len(start)
    start = checked("start", start, (windows, model.state_size), np.dtype(float))
    x = np.empty((windows, steps, model.state_size))
    engine.call(
        "simulate", **engine.model_arguments(model), **window_arguments(x), start=start, x=x,
        dt=time_step, spinup=spinup, rtol=rtol, atol=atol,
    )  # fmt: skip
    return x
