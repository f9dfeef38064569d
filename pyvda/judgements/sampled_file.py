"""What the report on a file looks at: its windows' judgements, and a sample of its innovations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.names import Flag

_MOST = 1 << 21  # innovations that are looked at
_PIECES, _FEWEST_PIECES = 64, 4  # of a series that is longer: its 64ths, and at least so many


class SampledFile(NamedTuple):
    """The data of a report.

    Attributes
    ----------
    status, doubts, fit : (W,)
        Values of all windows.
    rejected : int
        Observations with the flag `rejected`.
    innovation : (S, T, D)
        Innovations of the windows `chosen`, or of pieces of a series.
    chosen : (S,) of int, optional
        None for a series, whose windows overlap.
    share : float
        Share of the series that the pieces make up.
    fields : sequence of (str, slice)
        Variables of the state, see `layout.variables`.
    starts : (W,) of int, optional
        First step of each window of a series, increasing.
    steps : int
        Number of steps of the series, or of a window.
    stdev : (S, T, D), optional
        Stated standard deviation of the analysis.
    of_members : bool
        Whether the method is one of members, see `methods.statistics.EnsembleOptions`.
    own_fit : bool
        Whether the fit is that of the method; else, with `spread`, that of the posterior, from
        which the innovations of the analysis may differ, however right model and errors are.
    """

    status: Any
    doubts: Any
    fit: Any
    rejected: Any
    innovation: Any
    chosen: Any
    share: float
    fields: Any
    starts: Any = None
    steps: int = 0
    stdev: Any = None
    of_members: bool = False
    own_fit: bool = True


def sampled(analysis: xr.Dataset) -> SampledFile:
    """Return the data of the report on an analysis, lazy where the analysis is.

    If there are more than `_MOST` innovations, a sample is taken, spread evenly over the windows
    or the series, so that a file of any size is judged within little memory.

    Raises
    ------
    InputError
        The analysis has no innovations.
    """
    per_window = [analysis[name].data for name in (names.STATUS, names.DOUBTS, names.FIT)]
    status, doubts, fit = (a if a.ndim else a.reshape(1) for a in per_window)
    flags = [layout.output_vectors(analysis, name) for name in (names.FLAG, names.POINT_FLAG)]
    rejected = sum((f.data == Flag.REJECTED).sum() for f in flags if f is not None)
    innovation = layout.output_vectors(analysis, names.INNOVATION)
    if innovation is None:
        raise InputError(
            "the file has no innovations, expected an analysis made by `pyvda assimilate`; "
            "assimilate the observations again"
        )
    fields = tuple(layout.variables(analysis, innovation.sizes[names.STATE]))
    stdev = layout.output_vectors(analysis, names.STATE_STDEV)
    both = [one for one in (innovation, stdev) if one is not None]
    members = names.MISFIT in analysis
    own = members or names.OBJECTIVE in analysis or names.EFFECTIVE_SAMPLE_SIZE in analysis
    if names.WINDOW in innovation.dims:
        chosen = _spread(innovation.sizes[names.WINDOW], innovation.size, 1)
        if len(chosen) < innovation.sizes[names.WINDOW]:
            both = [one.isel({names.WINDOW: chosen}) for one in both]
        d, *spread = [one.data for one in both]
        return SampledFile(
            status, doubts, fit, rejected, d, chosen, 1.0, fields, stdev=_only(spread),
            of_members=members, own_fit=own,
        )  # fmt: skip
    steps = innovation.sizes[names.TIME]
    length = steps if innovation.size <= _MOST else max(1, steps // _PIECES)
    first = _spread(steps // length, innovation.size, _FEWEST_PIECES) * length
    d, *spread = [
        _concatenated([one.isel({names.TIME: slice(k, k + length)}).data[None] for k in first])
        for one in both
    ]
    only = np.zeros(1, int) if len(status) == len(first) == 1 else None
    starts = analysis[names.WINDOW_START].data if names.WINDOW_START in analysis.coords else None
    return SampledFile(
        status, doubts, fit, rejected, d, only, len(first) * length / steps, fields, starts, steps,
        _only(spread), members, own,
    )  # fmt: skip


def _only(spread: list[Any]) -> Any:
    return spread[0] if spread else None


def _spread(count: int, size: int, least: int) -> Array:
    """Return numbers of windows or pieces, evenly spread, of at most `_MOST` values together."""
    number = count if size <= _MOST else max(least, count * _MOST // size)
    return np.unique(np.linspace(0, count - 1, min(number, count)).round().astype(int))


def _concatenated(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import dask.array

    return dask.array.concatenate(parts)
