"""The local analyses of the Julia engine: `julia/src/methods/letkf.jl`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.data import LocalCentres
from pyvda.engine.interface import Array, checked_analysis
from pyvda.engine.julia.arguments import pointer, pointer_or_null

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
    addresses = np.array([members.ctypes.data for members in ensembles], np.uintp)
    count, size = ensembles[0].shape
    engine.call(
        "local_analyses", size, count, len(ensembles), pointer(addresses), len(d), pointer(S),
        pointer(d), place.shape[1], pointer(place), len(centres.place), pointer(centres.place),
        pointer(centres.period), pointer(centres.first), len(centres.component),
        pointer(centres.component), pointer(centres.coefficient), len(centres.colours) - 1,
        pointer(centres.colours), 1.0 if inflation is None else inflation, int(inflation is None),
        pointer_or_null(None if rotation is None else np.ascontiguousarray(rotation.T)),
    )  # fmt: skip
