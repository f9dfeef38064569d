"""Windows of a twin experiment, such as `pyvda simulate` makes, as one series of times.

A network learns from a series. Windows are concatenated, so far apart that none sees
the data of another.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError

_APART = 1000  # steps


def has_windows(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset has several windows: a dimension, or a number of each datum."""
    if names.WINDOW in ds.dims:
        return ds.sizes[names.WINDOW] > 1
    return names.WINDOW in ds.variables and ds[names.WINDOW].size > 1


def span_of(truth: xr.Dataset) -> float:
    """Return the time from the start of a window to that of the next one in the series."""
    time = truth[names.TIME].values.astype(float)
    step = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    return float(np.ptp(time)) + _APART * step


def in_series(ds: xr.Dataset, span: float) -> xr.Dataset:
    """Return a Dataset whose times count on from window to window.

    Parameters
    ----------
    ds : Dataset
        Complete fields (window, time, ...), or data at points with the variable `window`, whose
        times are numbers.
    span : float
        See `span_of`.

    Raises
    ------
    InputError
        The times are dates.
    """
    time = ds[names.TIME]
    if time.dtype.kind not in "iuf":
        raise InputError(
            f"the times of the windows are of type {time.dtype}, expected numbers; give the time "
            "since the start of each window"
        )
    if names.WINDOW not in ds.dims:
        later = (time + span * ds[names.WINDOW]).assign_attrs(time.attrs)
        return ds.drop_vars(names.WINDOW).assign_coords({names.TIME: later})
    count = np.arange(ds.sizes[names.WINDOW])
    later = (span * count[:, None] + np.asarray(time.values, float)).ravel()
    order = (names.WINDOW, names.TIME)
    data = {
        name: ((names.TIME, *rest), v.transpose(*order, *rest).values.reshape(len(later), *shape),
               v.attrs)
        for name, v in ds.data_vars.items() if set(order) <= set(v.dims)
        for rest in [[d for d in v.dims if d not in order]]
        for shape in [[ds.sizes[d] for d in rest]]
    }  # fmt: skip
    others = {name: v for name, v in ds.data_vars.items() if not set(order) & set(v.dims)}
    coords = {name: v for name, v in ds.coords.items() if not set(order) & set(v.dims)}
    coords[names.TIME] = xr.Variable(names.TIME, later, time.attrs)
    return xr.Dataset({**data, **others}, coords, ds.attrs)
