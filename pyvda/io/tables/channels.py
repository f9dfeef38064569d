"""Observations that are a function of the state, in Datasets and as arrays.

Beside `observation`, all NaN, a Dataset may hold values of a function of the state at its steps:

    channel_observation  (window, time, channel)   the value; NaN: no observation
    channel_error        (window, time, channel)   standard deviation of its error; may be missing

The function itself is the keyword `operator` of `pyvda.assimilate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.io.cf.dimensions import find_time
from pyvda.io.quality.validation import expect_none_infinite
from pyvda.io.tables.rows import values_of
from pyvda.io.tables.tables import over_steps
from pyvda.models.model import Model
from pyvda.operators.correlated_errors import CorrelatedErrors, coordinate_numbers
from pyvda.operators.function import Channels, FunctionOperator


def observations(
    ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
) -> xr.Dataset:
    """Return observations (time, channel) or (window, time, channel) beside an unobserved state.

    Raises
    ------
    InputError
        When there is no such variable, its values are infinite, or an error is not positive.
    """
    name = values_of(ds, variable)
    values, error, (time, window, _) = over_steps(ds, name)
    there = np.isfinite(values)
    expect_none_infinite(name, np.isinf(values))
    if not there.any():
        raise InputError(f"{name!r} has no value at all, expected at least one; check the variable")
    if error is not None and not (np.isfinite(error[there]) & (error[there] > 0)).all():
        raise InputError(f"the errors of {name!r} are not positive numbers at some data")
    leading = (names.TIME,) if window is None else (names.WINDOW, names.TIME)
    pick = values.shape[:2] if window is not None else values.shape[1:2]
    attrs = {k: v for k, v in ds[name].attrs.items() if k != "ancillary_variables"}
    data: dict[str, Any] = {
        names.OBSERVATION: (
            (*leading, names.STATE), np.full((*pick, model.state_size), np.nan), {},
        ),
        names.CHANNEL_OBSERVATION: (
            (*leading, names.CHANNEL), values if window is not None else values[0], attrs,
        ),
    }  # fmt: skip
    if error is not None:
        data[names.CHANNEL_ERROR] = (
            (*leading, names.CHANNEL), error if window is not None else error[0], {},
        )  # fmt: skip
    coords: dict[str, Any] = {}
    times = find_time(ds, (time,))[1]
    if times is not None:
        coords[names.TIME] = (names.TIME, ds[times].values, ds[times].attrs)
    if window in ds.coords:
        coords[names.WINDOW] = (names.WINDOW, ds[window].values, ds[window].attrs)
    return layout.of_model(xr.Dataset(data, coords, ds.attrs), model)


def independent(
    ds: xr.Dataset, errors: CorrelatedErrors, variable: str | Sequence[str] | None = None
) -> np.ndarray:
    """Return the combinations of channels whose errors are independent and of one size, (K, K).

    With the covariance R = L Lᵀ of the channels' errors and their root mean square s they are
    s L⁻¹.

    Raises
    ------
    InputError
        The channels have no such coordinates, errors that change with time, or gaps of some.
    """
    name = values_of(ds, variable)
    values, error, (_, _, channel) = over_steps(ds, name)
    there = np.isfinite(values)
    some = there.any(-1)
    if (some != there.all(-1)).any():
        raise InputError(
            f"{name!r} has times with some channels and without others, but correlated errors of a "
            "function need all channels at a time, or none; leave such times out"
        )
    count = values.shape[-1]
    sigma = np.ones(count) if error is None or not some.any() else error[some][0]
    if error is not None and not np.allclose(error[some], sigma, rtol=1e-6):
        raise InputError(
            f"the errors of {name!r} change with time, but correlated errors of a function need "
            "those of each channel to be the same at all times; give errors of the channels"
        )
    along = []
    for one in errors.coordinates:
        if one not in ds.variables or ds[one].dims != (channel,):
            raise InputError(
                f"the errors are correlated along {one!r}, but the file has no such coordinate "
                f"over {channel!r}; add it"
            )
        along.append(coordinate_numbers(one, ds[one]).values.astype(float))
    _, rows, _ = errors.whitened(
        np.zeros(count), np.eye(count), sigma, np.stack(along, -1), np.zeros(count, int)
    )
    return np.asarray(rows)


def combined(ds: xr.Dataset, combination: np.ndarray) -> xr.Dataset:
    """Return observations by channels with combinations of them, see `independent`."""
    values = ds[names.CHANNEL_OBSERVATION]
    made = {names.CHANNEL_OBSERVATION: values.copy(data=values.values @ combination.T)}
    if names.CHANNEL_ERROR in ds:
        size = (ds[names.CHANNEL_ERROR] ** 2).mean(names.CHANNEL) ** 0.5
        made[names.CHANNEL_ERROR] = size.broadcast_like(values).transpose(*values.dims)
    return ds.assign(made)


def to_channels(
    block: xr.Dataset, operator: FunctionOperator, reference_variance: float | None
) -> Channels:
    """Return the channels of a block of windows as arrays."""
    along = (names.WINDOW, names.TIME, names.CHANNEL)
    values = np.asarray(block[names.CHANNEL_OBSERVATION].transpose(*along).values, float)
    there = np.isfinite(values)
    weight = there.astype(float)
    if reference_variance is not None and names.CHANNEL_ERROR in block:
        error = block[names.CHANNEL_ERROR].transpose(*along).values
        weight[there] = reference_variance / error[there] ** 2
    return Channels(np.where(there, values, 0.0), weight, operator)
