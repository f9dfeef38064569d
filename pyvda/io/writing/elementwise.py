"""Functions of variables that are not read yet, computed block by block when they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

_BLOCK_BYTES = 2 << 20


def elementwise(
    function: Callable[..., np.ndarray], dtype: Any, first: xr.Variable, *others: xr.Variable
) -> xr.Variable:
    """Return a function of variables, with the dimensions of the first.

    In memory where all of them are, else in dask chunks.

    Parameters
    ----------
    function : callable
        A function of arrays that broadcast against each other.
    dtype : dtype
        Type of its result.
    first, others : Variable
        The dimensions of the others are among those of the first.
    """
    found = xr.apply_ufunc(
        function, *map(lazy, (first, *others)), dask="parallelized", output_dtypes=[dtype]
    )
    return found.transpose(*first.dims)


def lazy(variable: xr.Variable) -> xr.Variable:
    """Return a variable in dask chunks along its first dimension if it is not in memory yet."""
    if variable._in_memory or variable.chunks is not None or not variable.ndim:
        return variable
    row = variable.dtype.itemsize * max(1, variable.size) // max(1, variable.shape[0])
    return variable.chunk({variable.dims[0]: max(1, _BLOCK_BYTES // max(1, row))})
