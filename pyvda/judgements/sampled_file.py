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
    points : (S, K), optional
        Innovations of the data at arbitrary times; of a series those of windows that share no data.
    channels : (S, T, C), optional
        Innovations of functions of the state.
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
    points: Any = None
    channels: Any = None
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
    channels = analysis.get(names.CHANNEL_INNOVATION)
    points = analysis.get(names.POINT_INNOVATION)
    if points is not None and names.WINDOW not in points.dims:
        points = points.expand_dims(names.WINDOW)
    members = names.MISFIT in analysis
    own = members or names.OBJECTIVE in analysis or names.EFFECTIVE_SAMPLE_SIZE in analysis
    if names.WINDOW in innovation.dims:
        chosen = _spread(innovation.sizes[names.WINDOW], innovation.size, 1)
        d, spread, at_points, of_channels = (
            _of_windows(one, chosen) for one in (innovation, stdev, points, channels)
        )
        return SampledFile(
            status, doubts, fit, rejected, d, chosen, 1.0, fields, stdev=spread,
            points=at_points, channels=of_channels, of_members=members, own_fit=own,
        )  # fmt: skip
    steps = innovation.sizes[names.TIME]
    length = steps if innovation.size <= _MOST else max(1, steps // _PIECES)
    first = _spread(steps // length, innovation.size, _FEWEST_PIECES) * length
    d, spread, of_channels = (
        _of_pieces(one, first, length) for one in (innovation, stdev, channels)
    )
    only = np.zeros(1, int) if len(status) == len(first) == 1 else None
    starts = analysis[names.WINDOW_START].data if names.WINDOW_START in analysis.coords else None
    if points is not None:
        apart = _apart(points.sizes[names.WINDOW], starts, steps)
        apart = apart[_spread(len(apart), points.size, _FEWEST_PIECES)]
        points = _of_windows(points, apart)
    return SampledFile(
        status, doubts, fit, rejected, d, only, len(first) * length / steps, fields, starts, steps,
        spread, points, of_channels, members, own,
    )  # fmt: skip


def _apart(count: int, starts: Any, steps: int) -> Array:
    """Return numbers of windows of a series that do not overlap."""
    if starts is None:
        return np.arange(count)
    length, end, found = steps - int(starts[-1]), 0, []
    for number, start in enumerate(np.asarray(starts)):
        if start >= end:
            found.append(number)
            end = start + length
    return np.array(found)


def _of_windows(array: xr.DataArray | None, chosen: Array) -> Any:
    if array is None:
        return None
    if len(chosen) < array.sizes[names.WINDOW]:
        array = array.isel({names.WINDOW: chosen})
    return array.data


def _of_pieces(array: xr.DataArray | None, first: Array, length: int) -> Any:
    if array is None:
        return None
    return _concatenated([array.isel({names.TIME: slice(k, k + length)}).data[None] for k in first])


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
