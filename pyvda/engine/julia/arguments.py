"""Arguments that several of Julia's entry points share, by the names in `signatures.txt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.engine.checked import checked, checked_points, plain
from pyvda.engine.data import Array, CostSettings
from pyvda.engine.julia.linearised_data import expect_julia
from pyvda.errors import InputError
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

if TYPE_CHECKING:
    from pyvda.climate.library import Library
    from pyvda.engine.julia.observation_function import ObservationFunctions

_SCHEME_NUMBER = {"euler": 1, "rk4": 4}


def scheme_number(scheme: str) -> int:
    """Return the number of a scheme at the boundary."""
    if scheme not in _SCHEME_NUMBER:
        raise InputError(
            f"the Julia engine has no scheme {scheme!r}; choose one of {', '.join(_SCHEME_NUMBER)}"
        )
    return _SCHEME_NUMBER[scheme]


def step_arguments(settings: CostSettings) -> dict[str, Any]:
    """Return the scheme and its step."""
    return {"scheme": scheme_number(settings.scheme), "h": settings.time_step}


def window_arguments(x: Array) -> dict[str, Any]:
    """Return the steps and the number of windows (W, T, ...)."""
    return {"T": x.shape[1], "windows": x.shape[0]}


def point_arguments(points: Data | None, x: Array) -> dict[str, Any]:
    """Return `points` of the windows x (W, T, D), in the precision of x."""
    if isinstance(points, Channels):
        expect_julia(points)
        raise TypeError("functions of the state have entry points or linearisations of their own")
    if points is None or not points.step.size:
        arrays = dict.fromkeys(("step", "fraction", "value", "weight", "index", "coefficient"))
        return {"count": 0, "terms": 1, **arrays}
    windows, steps, size = x.shape
    p = checked_points(points, windows, size, steps, x.dtype)
    rows = p.operator
    return {
        "count": rows.index.shape[1], "terms": rows.index.shape[2], "step": p.step,
        "fraction": p.fraction, "value": p.value, "weight": p.weight, "index": rows.index,
        "coefficient": rows.coefficient,
    }  # fmt: skip


def function_arguments(functions: ObservationFunctions, data: Data | None) -> dict[str, Any]:
    """Return the data of a function of the state; of other data, none."""
    if not isinstance(data, Channels):
        return {
            "observation_function": 0, "channels": 0, "channel_value": None,
            "channel_weight": None, "channel_combination": None,
        }  # fmt: skip
    operator = expect_julia(data)
    value, weight = (
        checked("channels", np.asarray(a), np.shape(data.value), np.dtype(float))
        for a in (data.value, data.weight)
    )
    count, combination = value.shape[-1], operator.combination
    if combination is not None:
        combination = checked("combination", combination, (count, count), np.dtype(float))
    return {
        "observation_function": functions.handle(operator.path, operator.text),
        "channels": count, "channel_value": value, "channel_weight": weight,
        "channel_combination": combination,
    }  # fmt: skip


def library_arguments(library: Library) -> dict[str, Any]:
    """Return the trajectories of a library."""
    trajectories, length, _ = library.states.shape
    return {
        "states": library.states, "length": length, "trajectories": trajectories,
        "lead": library.lead, "signs": plain(library.signs, float),
    }  # fmt: skip
