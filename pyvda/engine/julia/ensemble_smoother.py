"""The ensemble smoother of the Julia engine: `julia/src/methods/ensemble_smoother.jl`."""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.engine import _F, _I, _P, JuliaEngine, described, pointer, scheme_number
from pyvda.models.model import Model

_SIGNATURE = (_I, _P, _I, _I, _I, _I, _F, _P, _P, _P, _I, _F, _I, _I, _I, _P, _I, _I, _P, _P)


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
    spread: bool = True,
) -> tuple[Array, Array | None]:
    """Smooth each window with an ensemble that starts from the same members.

    Parameters
    ----------
    observation : (W, T, D)
    precision : (W, T, D)
        One over the error variance of a datum; 0 where nothing was observed.
    members : (N, D)
        States at the first step, N >= 2.
    inflation : float
        Factor on the anomalies when the members leave an observation time.
    lag : int
        Number of later observation times that a state learns from, `depth` at least; 0: all.
    depth : int
        Number of observation times that an analysis goes back, to change the members there.
    iterations : int
        Gauss-Newton steps of an analysis that goes back.
    reflections : (count, r, N), optional
        How members are mixed after the analyses, in turn: r orthonormal vectors that are orthogonal
        to the vector of ones, along which anomalies change their sign. Default: not at all.
    spread : bool
        Whether the standard deviation is wanted; the mean alone is several times faster.

    Returns
    -------
    mean, spread : (W, T, D)
        NaN in a window that diverged; `spread` is None when not asked for.
    """
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    members = checked("members", members, (len(members), model.state_size), np.dtype(float))
    if reflections is None:
        reflections = np.empty((1, 0, len(members)))
    count, columns, _ = reflections.shape
    reflections = checked(
        "reflections", reflections, (count, columns, len(members)), np.dtype(float)
    )
    mean = np.empty(shape)
    stdev = np.empty(shape) if spread else None
    if windows:
        number, parameters, _ = described(model)
        engine.call(
            "ensemble_smoother", _SIGNATURE,
            number, pointer(parameters), size, steps, windows, scheme_number(settings.scheme),
            settings.time_step, pointer(observation), pointer(precision), pointer(members),
            len(members), inflation, lag, depth, iterations, pointer(reflections), columns, count,
            pointer(mean), None if stdev is None else pointer(stdev),
        )  # fmt: skip
    return mean, stdev
