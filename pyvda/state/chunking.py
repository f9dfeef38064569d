"""Blocks of windows: how many are assimilated together, and Datasets in chunks of as many.

The arrays of a block, from its observations to its analysis, take some ten times the memory of its
states, so that a block is small beside the memory, but gives every thread something to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.choice import thread_count

ONE_BLOCK_BYTES = 16 << 20  # smaller observations are not divided
_BLOCK_BYTES = 8 << 20
_WINDOWS_PER_THREAD = 16
_PART_OF_FILE, _PART_OF_MEMORY = 12, 64
# On a cluster, whose workers hold the arrays of two or three blocks each.
_LEAST_BLOCKS, _TASK_BYTES = 64, 2 << 20
_UNKNOWN = 8 << 30
_LEADING = (names.WINDOW, names.TIME)


def block_of(ds: xr.Dataset, length: int | None = None, overlap: int = 0) -> int | None:
    """Return the windows of a block, None where observations are one window or small.

    Parameters
    ----------
    ds : Dataset
        Windows, or a series that is to be cut.
    length, overlap : int, optional
        See `cutting.cut`.
    """
    size, count = _windows(ds, length, overlap)
    return None if count == 1 or count * size <= ONE_BLOCK_BYTES else block_size(size, count)


def for_workers(ds: xr.Dataset, length: int | None = None, overlap: int = 0) -> int:
    """Return the windows of a block for a cluster, whose size does not matter: see `block_of`.

    Small observations are divided, too, so that as many as 64 workers have something to do.
    """
    return shared_size(*_windows(ds, length, overlap))


def shared_size(window_bytes: int, windows: int) -> int:
    """Return the number of windows of a block that many processes share; see `block_size`."""
    most = max(1, min(_TASK_BYTES // max(1, window_bytes), -(-windows // _LEAST_BLOCKS)))
    return min(block_size(window_bytes, windows), most)


def _windows(ds: xr.Dataset, length: int | None, overlap: int) -> tuple[int, int]:
    """Return the bytes of a window and about how many there are."""
    steps = ds.sizes.get(names.TIME, 1)
    length = length or steps
    count = ds.sizes.get(names.WINDOW) or max(1, (steps - overlap) // max(1, length - overlap))
    return window_bytes(ds, length), count


def block_size(window_bytes: int, windows: int) -> int:
    """Return the number of windows of a block.

    It is the same in each run on a machine, so that a later run completes an interrupted store.

    Parameters
    ----------
    window_bytes : int
        Bytes of the observations of a window, in float64.
    windows : int
        Number of windows in the file.

    Examples
    --------
    >>> block_size(window_bytes=200 * 3 * 8, windows=2_000_000) >= 1747
    True
    """
    window_bytes = max(1, window_bytes)
    for_threads = _WINDOWS_PER_THREAD * thread_count() * window_bytes
    wanted = max(_BLOCK_BYTES, min(for_threads, windows * window_bytes // _PART_OF_FILE))
    allowed = total_memory() // _PART_OF_MEMORY
    return max(1, min(wanted, allowed) // window_bytes)


def window_bytes(ds: xr.Dataset, length: int | None = None) -> int:
    """Return the bytes, in float64, of one window of all variables with time.

    Parameters
    ----------
    ds : Dataset
        Windows, or a series that is to be cut.
    length : int, optional
        Steps of a window. Default: all of the Dataset.
    """
    steps = length or ds.sizes.get(names.TIME, 1)
    numbers = sum(
        int(np.prod([size for dim, size in v.sizes.items() if dim not in _LEADING]))
        for v in ds.data_vars.values()
        if names.TIME in v.dims
    )
    return numbers * steps * np.dtype(float).itemsize


def chunked(ds: xr.Dataset, chunks: Mapping[str, Any]) -> xr.Dataset:
    """Return `ds` with its variables in these chunks, those that have the first dimension."""
    first = next(iter(chunks))
    return ds.assign(
        {
            name: v.chunk({dim: n for dim, n in chunks.items() if dim in v.dims})
            for name, v in ds.data_vars.items()
            if first in v.dims
        }
    )


def kept(ds: xr.Dataset) -> xr.Dataset:
    """Return observations with their chunks read, if all of them take little of the memory.

    For observations of which a sample is needed before each block is: they are read once for both.
    The chunks stay as they are.
    """
    size = window_bytes(ds) * ds.sizes.get(names.WINDOW, 1)
    little = max(ONE_BLOCK_BYTES, total_memory() // _PART_OF_MEMORY)
    return ds.persist() if size <= little else ds


def total_memory() -> int:
    """Return the bytes that this process and others may take, as far as the system tells."""
    found = [_UNKNOWN]
    with contextlib.suppress(OSError, KeyError, ValueError):
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        found = [int(lines["MemTotal"].split()[0]) * 1024]
    with contextlib.suppress(OSError, ValueError):  # of a container or a batch job
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)
