"""Analyses of the windows of a cycle on their way to one of the whole series.

In a folder only that of one window is in memory: its arrays wait in a file, `analysis-00002.npz`,
until they are wanted, such as when the analysis of the series is written.
"""

from __future__ import annotations

import uuid
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing


def in_file(analysis: xr.Dataset, path: Path) -> xr.Dataset:
    """Return the analysis of a window with its arrays in a file, those of one number in memory.

    Parameters
    ----------
    analysis : Dataset
        Of one window, (1, time, ...), in memory.
    path : Path
        Replaced if it exists. Its folder is there.

    Returns
    -------
    Dataset
        Lazy, in one chunk a variable.
    """
    large = [
        name
        for name, variable in analysis.variables.items()
        if names.WINDOW in variable.dims and variable.ndim > 1 and variable.dtype.kind != "O"
    ]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, *(analysis.variables[name].values for name in large))
    lazy = {
        name: analysis.variables[name].copy(data=_waiting(path, row, analysis.variables[name]))
        for row, name in enumerate(large)
    }
    return analysis.assign(lazy).set_coords([name for name in large if name in analysis.coords])


def _waiting(path: Path, row: int, like: xr.Variable) -> Any:
    """Return a lazy array in one chunk, which is read from the file."""
    key = f"pyvda-cycle-{uuid.uuid4().hex}"
    task: Any = (partial(_read, path.resolve(), row),)
    graph = HighLevelGraph.from_collections(key, {(key, *(0,) * like.ndim): task})
    meta = np.empty((0,) * like.ndim, like.dtype)
    return dask.array.Array(graph, key, tuple((n,) for n in like.shape), meta=meta)


def _read(path: Path, row: int) -> Array:
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file[f"arr_{row}"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} no longer has the analysis of a window ({error}); assimilate again with the "
            "same state, and keep its folder until the analysis is loaded or saved"
        ) from error
