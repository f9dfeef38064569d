"""The library's part of the Julia engine: `julia/src/methods/posterior_mean.jl`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.climate.library import Library
from pyvda.engine.interface import Array, CostSettings, checked
from pyvda.engine.julia.engine import _F, _I, _P, JuliaEngine, described, pointer, scheme_number
from pyvda.models.model import Model

_POSTERIOR = (_I, _P, _I, _I, _I, _I, _F, _P, _P, _P, _I, _I, _I, _P, _P, _I, _F, _P, _P, _P, _P)
_STARTS = (_I, _I, _I, _P, _P, _P, _I, _I, _I, _P, _P, _I, _P)


class Posterior(NamedTuple):
    """Posterior of each window; NaN where its data are so absurd that no member has a likelihood.

    Attributes
    ----------
    mean, stdev : (W, T, D)
    effective : (W,)
        Effective sample size.
    misfit : (W,)
        The least of ½ Σ (y - h)² / R over the samples that the mean is made of.
    draws : (W,)
        Draws of the second stage.
    """

    mean: Array
    stdev: Array
    effective: Array
    misfit: Array
    draws: Array


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
    """Weigh the members of a library by their likelihood; where few have weight, draw around them.

    Parameters
    ----------
    observation : (W, T, D)
    precision : (W, T, D)
        One over the error variance of a datum; 0 where nothing was observed.
    noise : (N, D)
        Standard normal deviates of the second stage, N a multiple of eight; N = 0: only one stage.
    enough : float
        Effective sample size below which the second stage is entered.
    spread : (D,)
        Standard deviation of the moves, `library.lead` steps before the window.
    """
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    noise = checked("noise", noise, (len(noise) // 8 * 8, size), np.dtype(float))
    spread = checked("spread", spread, (size,), np.dtype(float))
    mean, stdev, info = np.empty(shape), np.empty(shape), np.empty((windows, 3))
    trajectories, length, _ = library.states.shape
    if windows:
        number, parameters, _ = described(model)
        engine.call(
            "posterior_mean", _POSTERIOR,
            number, pointer(parameters), size, steps, windows, scheme_number(settings.scheme),
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
    """Return the states, `library.lead` steps before the window, of the likeliest members.

    Parameters
    ----------
    apart : (D,)
        Members that are nearer than this to a likelier one in every component are passed over.

    Returns
    -------
    (W, count, D)
        The likeliest first; repeated where there are fewer.
    """
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, np.dtype(float))
    precision = checked("precision", precision, shape, np.dtype(float))
    apart = checked("apart", apart, (size,), np.dtype(float))
    starts = np.empty((windows, count, size))
    trajectories, length, _ = library.states.shape
    if windows:
        engine.call(
            "best_starts", _STARTS,
            size, steps, windows, pointer(observation), pointer(precision),
            pointer(library.states), length, trajectories, library.lead, pointer(library.signs),
            pointer(apart), count, pointer(starts),
        )  # fmt: skip
    return starts
