"""Optimal interpolation in Julia: `julia/src/methods/optimal_interpolation.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.data import Array, FieldData, Interpolated, Selection, Targets
from pyvda.engine.interface import checked
from pyvda.engine.julia.arguments import pointer

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def optimal_interpolation(
    engine: JuliaEngine,
    data: FieldData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> Interpolated:
    """See `Engine.optimal_interpolation`."""
    count, points, queries = len(data.value), len(targets.position), len(targets.point)
    groups = len(data.group_time)
    real, whole = np.dtype(float), np.dtype(np.int64)
    arrays = [
        checked("position", data.position, (count, 3), real),
        checked("map", data.map, (count, 2), real),
        _whole(data.hidden, count, whole),
        _whole(data.first, groups + 1, whole),
        *(checked(n, np.asarray(getattr(data, n), float), (count,), real)
          for n in ("time", "value", "noise", "track")),
        checked("group_time", data.group_time, (groups,), real),
        np.ascontiguousarray(factors, real),
        np.array(along, real),
        np.array(data.scale, real),
    ]  # fmt: skip
    behind = [
        checked("position", targets.position, (points, 3), real),
        checked("map", targets.map, (points, 2), real),
        _whole(targets.point + 1, queries, whole),
        checked("time", targets.time, (queries,), real),
        _whole(targets.group + 1, queries, whole),
    ]
    out = np.empty((queries, 4))
    if queries:
        engine.call(
            "optimal_interpolation",
            count, groups, points, queries, len(factors), *map(pointer, arrays),
            selection.own, selection.other, selection.days, selection.km,
            *map(pointer, behind), pointer(out),
        )  # fmt: skip
    return Interpolated(*np.ascontiguousarray(out.T))


def _whole(array: Array, count: int, dtype: np.dtype) -> Array:
    found = np.ascontiguousarray(array, dtype)
    if found.shape != (count,):
        raise ValueError(f"an array of integers has shape {found.shape}, expected {(count,)}")
    return found
