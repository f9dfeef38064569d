"""The local analyses of the Julia engine: `julia/src/methods/letkf.jl`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyvda.engine.checked import checked_analysis, plain
from pyvda.engine.data import LocalCentres
from pyvda.engine.interface import Array

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


def local_analyses(
    engine: JuliaEngine,
    ensembles: Sequence[Array],
    sensitivity: Array,
    innovation: Array,
    place: Array,
    centres: LocalCentres,
    *,
    inflation: float | None = 1.0,
    rotation: Array | None = None,
) -> None:
    """See `Engine.local_analyses`."""
    S, d, place, centres, rotation = checked_analysis(
        ensembles, sensitivity, innovation, place, centres, rotation
    )
    count, size = ensembles[0].shape
    engine.call(
        "local_analyses", D=size, member_count=count, ensemble_count=len(ensembles),
        ensembles=ensembles, data=len(d), sensitivity=S, innovation=d, dims=place.shape[1],
        place=place, centre_count=len(centres.place), centre_place=centres.place,
        period=centres.period, first=centres.first, entries=len(centres.component),
        component=centres.component, coefficient=centres.coefficient,
        colour_count=len(centres.colours) - 1, colours=centres.colours,
        inflation=1.0 if inflation is None else inflation, adaptive=inflation is None,
        rotation=None if rotation is None else plain(rotation.T, float),
    )  # fmt: skip
