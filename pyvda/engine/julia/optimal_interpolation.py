"""Optimal interpolation in Julia: `julia/src/methods/optimal_interpolation.jl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.checked import checked, plain
from pyvda.engine.data import Array, Interpolated, InterpolationData, Selection, Targets

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def optimal_interpolation(
    engine: JuliaEngine,
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> Interpolated:
    """See `Engine.optimal_interpolation`."""
    return _interpolated(engine, data, targets, selection, factors, along, None)


def interpolation_derivatives(
    engine: JuliaEngine,
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> tuple[Interpolated, Array]:
    """See `Engine.interpolation_derivatives`."""
    found = np.empty((len(targets.point), 1 + 3 * len(factors), 2))
    estimate = _interpolated(engine, data, targets, selection, factors, along, found)
    return estimate, found.swapaxes(1, 2)


def _interpolated(
    engine: JuliaEngine,
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float],
    derivatives: Array | None,
) -> Interpolated:
    count, points, queries = len(data.value), len(targets.position), len(targets.point)
    groups = len(data.group_time)
    real = np.dtype(float)
    moving = data.velocity is not None
    velocity = data.velocity if data.velocity is not None else np.zeros((0, 3))
    out = np.empty((queries, 4))
    if queries:
        engine.call(
            "optimal_interpolation", data=count, groups=groups, points=points, queries=queries,
            position=checked("position", data.position, (count, 3), real),
            map=checked("map", data.map, (count, 2), real),
            hidden=_whole(data.hidden, count),
            first=_whole(data.first, groups + 1),
            **{name: checked(name, np.asarray(getattr(data, name), float), (count,), real)
               for name in ("time", "value", "noise", "track")},
            moving=int(moving), velocity=checked("velocity", velocity, (count * moving, 3), real),
            group_time=checked("group_time", data.group_time, (groups,), real),
            covariance=plain(factors, real), factors=len(factors),
            along=np.array(along, real), scale=np.array(data.scale, real),
            own=selection.own, other=selection.other, days=selection.days, km=selection.km,
            point_position=checked("position", targets.position, (points, 3), real),
            point_map=checked("map", targets.map, (points, 2), real),
            point=_whole(targets.point + 1, queries),
            query_time=checked("time", targets.time, (queries,), real),
            group=_whole(targets.group + 1, queries), out=out, derivatives=derivatives,
        )  # fmt: skip
    return Interpolated(*np.ascontiguousarray(out.T))


def _whole(array: Array, count: int) -> Array:
    found = plain(array, np.int64)
    if found.shape != (count,):
        raise ValueError(f"an array of integers has shape {found.shape}, expected {(count,)}")
    return found
