"""Optional outputs of a window that are arrays: parameters, distinct minima, final covariance."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.models.model import Model


def separated(
    per_window: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what has one value for each window, (W,), and what has the dimensions it needs."""
    arrays = {n: v for n, v in per_window.items() if n in names.OUTPUT_DIMENSIONS}
    return {n: v for n, v in per_window.items() if n not in arrays}, arrays


def without_dimensions(ds: xr.Dataset, outputs: Collection[str]) -> xr.Dataset:
    """Return observations without coordinates called like dimensions of these outputs.

    Such as the number of the member that somebody selected.
    """
    dims = {dim for name in outputs for dim in names.OUTPUT_DIMENSIONS.get(name, ())}
    dims |= {names.STATE_ROW, names.STATE_COLUMN}  # of the covariance of the end of each window
    taken = [dim for dim in dims if dim in ds.coords and ds[dim].dims != (dim,)]
    return ds.drop_vars(taken)


def labelled(analysis: xr.Dataset, model: Model, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Add arrays (W, ...) that `names.OUTPUT_DIMENSIONS` knows, and the coordinate they need."""
    units = analysis[names.ANALYSIS].attrs.get("units")
    for name, values in arrays.items():
        dims = (names.WINDOW, *names.OUTPUT_DIMENSIONS[name])
        analysis[name] = (dims, np.asarray(values, float), names.attributes(name, units))
    if names.PARAMETER not in analysis.dims:
        return analysis
    known = np.array(model.parameter_names, dtype=object)
    attributes = names.attributes(names.PARAMETER)
    return analysis.assign_coords({names.PARAMETER: (names.PARAMETER, known, attributes)})
