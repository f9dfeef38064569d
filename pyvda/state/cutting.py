"""Cut a long series into overlapping windows, and merge their analyses into a series.

Windows start every `length - overlap` steps; the last one ends with the series. Dask-backed series
stay lazy: one task makes a block of contiguous windows, so that neither memory nor the graph grows
with the number of windows in a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.tables.point_observations import cut_points
from pyvda.state.chunking import block_size, window_bytes


def cut(ds: xr.Dataset, length: int, overlap: int = 0, block: int | None = None) -> xr.Dataset:
    """Cut a `(time, state)` series into windows.

    Parameters
    ----------
    ds : Dataset
        Variables with a `time` dimension are cut, others kept.
    length : int
        Steps of a window, at least 2.
    overlap : int, optional
        Steps that a window shares with the next, less than `length`. The last window ends at the
        last step of the series and may share more with its predecessor.
    block : int, optional
        Windows of a chunk where the series is lazy. Default: `chunking.block_size`.

    Returns
    -------
    Dataset
        Variables of shape `(window, time, ...)`; `time` counts from the start of each window, in
        the unit of the series (dates become durations); the new coordinate `window_start` (W,) is
        the index in the series of each window's first step.

    Raises
    ------
    InputError
        When `length` or `overlap` does not fit the series.
    """
    steps = ds.sizes.get(names.TIME, 0)
    if names.WINDOW in ds.dims:
        raise InputError("the observations are windows already; they cannot be cut again")
    if not 2 <= length <= steps:
        raise InputError(
            f"window length {length} does not fit a series of {steps} steps; "
            f"choose between 2 and {steps}"
        )
    if not 0 <= overlap < length:
        raise InputError(
            f"overlap {overlap} does not fit windows of {length} steps; "
            f"choose between 0 and {length - 1}"
        )
    return _cut_at(ds, _starts(steps, length, overlap), length, block)


def consecutive(ds: xr.Dataset, length: int) -> list[slice]:
    """Return the steps of the windows of a series that share none: [0, L), [L, 2L), ...

    The last window has what is left, at least two steps; a single one goes to the window before.

    Raises
    ------
    InputError
        When the observations are windows already, or the series is shorter than a window.
    """
    steps = ds.sizes.get(names.TIME, 0)
    if names.WINDOW in ds.dims:
        raise InputError(
            f"the observations are {ds.sizes[names.WINDOW]} windows already, which do not follow "
            "one another; give a series, or leave out cycle (--cycle)"
        )
    if not 2 <= length <= steps:
        raise InputError(
            f"windows of {length} steps (--cycle) do not fit a series of {steps} steps; choose "
            f"between 2 and {steps}"
        )
    bounds = [*range(0, steps, length), steps]
    if bounds[-1] - bounds[-2] == 1:
        del bounds[-2]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


def cut_out(ds: xr.Dataset, steps: slice) -> xr.Dataset:
    """Return one window of a series, (1, time, ...), as `cut` does."""
    return _cut_at(ds, np.array([steps.start]), steps.stop - steps.start, 1)


def joined(parts: Sequence[xr.Dataset], series_like: xr.Dataset) -> xr.Dataset:
    """Return the results of `consecutive` windows, each (1, time, ...), as a series.

    Variables with `window` alone keep it, as in `merge`; where windows have different numbers of
    data, those of fewer are padded with NaN, flags with 0.
    """
    first = parts[0]
    window = {names.WINDOW}

    def join_one(name: Hashable) -> xr.Variable:
        variables = [part.variables[name].to_base_variable() for part in parts]
        if not window <= set(variables[0].dims):
            return variables[0]
        along = names.WINDOW
        if names.TIME in variables[0].dims:
            along = names.TIME
            variables = [one.isel({names.WINDOW: 0}) for one in variables]
        return xr.Variable.concat(_alike(variables, along), along)

    of_time_alone = [n for n, v in first.variables.items() if v.dims == (names.TIME,)]
    coords = {name: join_one(name) for name in first.coords if name not in of_time_alone}
    coords |= {n: c.variable for n, c in series_like.coords.items() if c.dims == (names.TIME,)}
    data = {name: join_one(name) for name in first.data_vars if name not in of_time_alone}
    return xr.Dataset(data, coords, first.attrs)


def _alike(variables: Sequence[xr.Variable], along: str) -> list[xr.Variable]:
    """Return the variables padded to the same length of each dimension but `along`."""
    longest = {
        dim: max(one.sizes[dim] for one in variables) for dim in variables[0].dims if dim != along
    }
    missing = [{dim: n - one.sizes[dim] for dim, n in longest.items()} for one in variables]
    return [
        _padded(one, {dim: (0, n) for dim, n in short.items() if n}) if any(short.values()) else one
        for one, short in zip(variables, missing, strict=True)
    ]


def _padded(one: xr.Variable, width: Mapping[Any, tuple[int, int]]) -> xr.Variable:
    """Return a variable padded with NaN, flags with 0."""
    return one.pad(width, constant_values=0) if one.dtype.kind in "iu" else one.pad(width)


def _cut_at(ds: xr.Dataset, starts: np.ndarray, length: int, block: int | None) -> xr.Dataset:
    block = block or block_size(window_bytes(ds, length), len(starts))

    def cut_one(name: Hashable) -> xr.Variable:
        variable = ds.variables[name].to_base_variable()
        if names.TIME not in variable.dims:
            return variable
        others = [dim for dim in variable.dims if dim != names.TIME]
        data = _cut_array(variable.transpose(names.TIME, *others).data, starts, length, block)
        return xr.Variable((names.WINDOW, names.TIME, *others), data, variable.attrs)

    coords = {name: cut_one(name) for name in ds.coords if name != names.TIME}
    coords[names.WINDOW_START] = xr.Variable(
        names.WINDOW, starts, names.attributes(names.WINDOW_START)
    )
    if names.TIME in ds.coords:
        coords[names.TIME] = _relative_time(ds[names.TIME], int(starts[0]), length)
    data = {name: cut_one(name) for name in ds.data_vars}
    for name, variable in cut_points(ds, starts, length).items():
        (coords if name in coords else data)[name] = variable
    return xr.Dataset(data, coords, ds.attrs)


def in_windows(
    ds: xr.Dataset, length: int | None = None, overlap: int = 0, block: int | None = None
) -> tuple[xr.Dataset, bool]:
    """Return the windows of observations, and whether these were a series.

    Parameters
    ----------
    ds : Dataset
        Observations `(time, state)`, which are cut, or `(window, time, state)`.
    length, overlap, block : int, optional
        See `cut`. Default: the whole series is one window.

    Raises
    ------
    InputError
        See `cut`; also when the observations are windows and `length` is given.
    """
    if names.WINDOW not in ds.dims:
        return cut(ds, length or ds.sizes[names.TIME], overlap, block), True
    if length is not None:
        raise InputError("the observations have windows already; leave out window (--window)")
    return ds, False


def merge(ds: xr.Dataset, series_like: xr.Dataset) -> xr.Dataset:
    """Merge windows made by `cut`, or results computed from them, into a series.

    Each step is taken from the window in which it lies farthest from an edge. Overlapping windows
    are not averaged: they may have found different minima, whose mean is not a state of the model.

    Parameters
    ----------
    ds : Dataset
        Variables with dimensions `window` and `time` are merged; those with `window` alone (costs,
        status) are kept. Needs the coordinate `window_start`.
    series_like : Dataset
        The series that was cut; its length and time coordinates are restored.

    Raises
    ------
    InputError
        When the windows do not cover the series.
    """
    if names.WINDOW_START not in ds.coords:
        raise InputError(
            "the windows have no coordinate 'window_start'; only windows cut from one series "
            "can be merged"
        )
    ds = ds.sortby(names.WINDOW_START)
    starts = ds[names.WINDOW_START].values
    length, steps = ds.sizes[names.TIME], series_like.sizes[names.TIME]
    bounds = _core_bounds(starts, length, steps)

    def merge_one(name: Hashable) -> xr.Variable:
        variable = ds.variables[name].to_base_variable()
        if not {names.WINDOW, names.TIME} <= set(variable.dims):
            return variable
        others = [dim for dim in variable.dims if dim not in (names.WINDOW, names.TIME)]
        windows = variable.transpose(names.WINDOW, names.TIME, *others).data
        data = _merge_array(windows, starts, bounds)
        return xr.Variable((names.TIME, *others), data, variable.attrs)

    of_time_alone = [n for n, v in ds.variables.items() if v.dims == (names.TIME,)]
    coords = {name: merge_one(name) for name in ds.coords if name not in of_time_alone}
    coords |= {n: c.variable for n, c in series_like.coords.items() if c.dims == (names.TIME,)}
    data = {name: merge_one(name) for name in ds.data_vars if name not in of_time_alone}
    return xr.Dataset(data, coords, ds.attrs)


def window_numbers(starts: np.ndarray, length: int, steps: int) -> xr.Variable:
    """Return the index of the window that `merge` takes each step of a series from, (T,).

    Parameters
    ----------
    starts : (W,)
        First step of each window, increasing.
    length, steps : int
        Steps of a window, and of the series.
    """
    bounds = _core_bounds(starts, length, steps)
    number = np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(bounds))
    return xr.Variable(names.TIME, number, names.attributes(names.WINDOW_NUMBER))


def _starts(steps: int, length: int, overlap: int) -> np.ndarray:
    """Return the first step of every window, (W,): 0, s, 2s, ...; the last ends the series."""
    starts = np.arange(0, steps - length + 1, length - overlap)
    if starts[-1] + length < steps:
        starts = np.append(starts, steps - length)
    return starts


def _core_bounds(starts: np.ndarray, length: int, steps: int) -> np.ndarray:
    """Return the bounds (W + 1,) of the steps taken from each window.

    A step lies farthest from the edges of the window whose centre is nearest, so that the bounds
    lie midway between centres; ties go to the earlier window.
    """
    gaps = np.diff(starts)
    if starts[0] != 0 or starts[-1] + length != steps or np.any((gaps < 1) | (gaps > length)):
        raise InputError(
            f"the {len(starts)} windows of {length} steps do not cover the series of {steps} "
            "steps; merge all the windows that were cut from it"
        )
    middle = (starts[:-1] + starts[1:] + length - 1) // 2 + 1
    return np.concatenate([[0], middle, [steps]])


def _cut_array(series: object, starts: np.ndarray, length: int, block: int) -> object:
    if not isinstance(series, dask.array.Array):
        return _windows_of(np.asarray(series), starts, length)
    blocks = []
    for first in range(0, len(starts), block):
        some = starts[first : first + block]
        segment = series[some[0] : some[-1] + length]
        shape = (len(some), length, *series.shape[1:])
        relative = {"starts": some - some[0], "length": length}
        blocks.append(_one_task(_windows_of, segment, shape, **relative))
    return dask.array.concatenate(blocks)


def _windows_of(segment: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    return segment[starts[:, None] + np.arange(length)]


def _series_of(block: np.ndarray, starts: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    window = np.repeat(np.arange(len(starts)), np.diff(bounds))
    return block[window, np.arange(bounds[0], bounds[-1]) - starts[window]]


def _merge_array(windows: object, starts: np.ndarray, bounds: np.ndarray) -> object:
    if not isinstance(windows, dask.array.Array):
        return _series_of(np.asarray(windows), starts, bounds)
    ends = np.cumsum(windows.chunks[0])
    blocks = []
    for first, last in zip(ends - windows.chunks[0], ends, strict=True):
        own = bounds[first : last + 1]
        shape = (int(own[-1] - own[0]), *windows.shape[2:])
        block = windows[first:last]
        blocks.append(_one_task(_series_of, block, shape, starts=starts[first:last], bounds=own))
    return dask.array.concatenate(blocks)


def _one_task(
    function: Callable[..., np.ndarray],
    array: dask.array.Array,
    shape: tuple[int, ...],
    **arguments: Any,
) -> dask.array.Array:
    """Return function(array, **arguments) as one lazy chunk of the given shape."""
    whole = array.rechunk(-1)
    axes_out, axes_in = range(len(shape)), range(len(shape), len(shape) + whole.ndim)
    return dask.array.blockwise(
        function,
        tuple(axes_out),
        whole,
        tuple(axes_in),
        new_axes=dict(zip(axes_out, shape, strict=True)),
        concatenate=True,
        dtype=whole.dtype,
        meta=np.empty((0,) * len(shape), whole.dtype),
        **arguments,
    )


def _relative_time(time: xr.DataArray, start: int, length: int) -> xr.Variable:
    values = time.values[start : start + length]
    # The bounds remain dates, and an axis or a standard name asks for a reference date.
    attrs = {
        key: value
        for key, value in time.attrs.items()
        if key not in ("standard_name", "axis", "bounds", "climatology")
    }
    if " since " in str(attrs.get("units", "")):
        attrs["units"] = str(attrs["units"]).partition(" since ")[0]
        attrs.pop("calendar", None)
    relative = values - values[0]
    if relative.dtype.kind == "O":  # differences of cftime dates
        relative = relative.astype("timedelta64[us]")
    return xr.Variable(names.TIME, relative, attrs)
