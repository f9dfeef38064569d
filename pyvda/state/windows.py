"""Conversion between labelled windows (xarray) and the plain arrays that solvers work on.

`open_observations` → `cut` → `blocks` → `to_batch` → a solver → `analysis_dataset` → `merge` →
`save_analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.quality import bad_data
from pyvda.io.quality.validation import Statistics
from pyvda.io.tables.channels import to_channels
from pyvda.io.tables.point_observations import to_points
from pyvda.operators.function import FunctionOperator
from pyvda.operators.observation import ObservationOperator
from pyvda.operators.points import nearest_steps
from pyvda.state.batch import Batch
from pyvda.state.cutting import (
    consecutive,
    cut,
    cut_out,
    in_windows,
    joined,
    merge,
    window_numbers,
)

# Attributes of the observations that hold for their analysis, too.
_INHERITED = ("units", "standard_name", "cell_methods", "grid_mapping", "cell_measures")

_DTYPES = {names.STATUS: np.int8, names.DOUBTS: np.int16}

__all__ = [
    "analysis_dataset",
    "check_state_size",
    "consecutive",
    "cut",
    "cut_out",
    "first_guess",
    "flags",
    "in_windows",
    "joined",
    "merge",
    "reference_variance",
    "to_batch",
    "window_numbers",
]


def to_batch(
    ds: xr.Dataset,
    climatological_mean: np.ndarray,
    reference_variance: float | None = None,
    operator: ObservationOperator | None = None,
) -> Batch:
    """Turn one in-memory block of windows into the arrays of an assimilation problem.

    Parameters
    ----------
    ds : Dataset
        `observation` (window, time, state), optionally `observation_error` and `truth`.
    climatological_mean : (D,) or (W, D)
        The model's mean state, in the observations' units.
    reference_variance : float, optional
        The weight of a datum is this divided by its squared `observation_error`. Default: all
        weights are 1.
    operator : ObservationOperator, optional
        The function of the state that channels observe.

    Raises
    ------
    InputError
        When the size of the state differs from the model's.
    """
    observation = _array(ds, names.OBSERVATION)
    mean = np.asarray(climatological_mean, dtype=np.float64)
    check_state_size(ds, mean.shape[-1], "the model")
    observed = ~np.isnan(observation)
    mask = observed.astype(np.float64)
    if reference_variance is not None and names.OBSERVATION_ERROR in ds:
        error = _array(ds, names.OBSERVATION_ERROR)
        mask[observed] = reference_variance / error[observed] ** 2
    observation = np.where(observed, observation, 0.0)
    truth = _array(ds, names.TRUTH) if names.TRUTH in ds else None
    points = to_points(ds, reference_variance)
    near, seen = observation, mask
    if points is not None:
        values, there = nearest_steps(points, *observation.shape[1:])
        near, seen = np.where(mask > 0, observation, values), np.maximum(mask, there)
    channels = None
    if names.CHANNEL_OBSERVATION in ds and isinstance(operator, FunctionOperator):
        channels = to_channels(ds, operator, reference_variance)
    return Batch(observation, mask, first_guess(near, seen, mean), truth, points, channels)


def check_state_size(ds: xr.Dataset, expected: int, model: str) -> None:
    """Raise InputError unless the state of the observations has the size that `model` expects."""
    size = ds.sizes[names.STATE]
    if size != expected:
        raise InputError(
            f"the observations have a state of {size} components, {model} has {expected}; "
            "choose the model that was observed or, where its size can be set, give that "
            f"(--parameter state_size={size}, get_model(name, state_size={size}))"
        )


def first_guess(
    observation: np.ndarray, mask: np.ndarray, climatological_mean: np.ndarray
) -> np.ndarray:
    """Return where solvers start: the observations, interpolated linearly in time.

    Parameters
    ----------
    observation, mask : (W, T, D)
        As in `Batch`.
    climatological_mean : (D,) or (W, D)
        Used before the first and after the last observation of a component in a window. (Persisting
        the nearest observation has a larger error after a few steps: on the paper's Lorenz-96
        windows the descent of (4) then ends at R 1.13 instead of 0.98.)

    Returns
    -------
    (W, T, D)
    """
    observed, there = _series(mask)
    steps = np.arange(mask.shape[1], dtype=np.int32)
    before = np.maximum.accumulate(np.where(observed, steps, np.int32(-1)), axis=1)
    after = np.where(observed, steps, np.int32(len(steps)))
    after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    outside = (before < 0) | (after >= len(steps))
    left = np.where(outside, 0, before)
    right = np.where(outside, 0, after)
    data = np.swapaxes(observation, 1, 2)[there]
    values = np.take_along_axis(data, left.astype(np.intp), axis=1)
    slope = np.take_along_axis(data, right.astype(np.intp), axis=1) - values
    slope /= np.maximum(right - left, 1)
    values += slope * (steps - left)
    mean = np.asarray(climatological_mean, dtype=np.float64)
    found = np.broadcast_to(mean[..., None, :], mask.shape).copy()
    outside_values = np.broadcast_to(mean, there.shape)[there][:, None]
    np.swapaxes(found, 1, 2)[there] = np.where(outside, outside_values, values)
    return found


def windows_across(ds: xr.Dataset, most: int) -> xr.Dataset:
    """Return windows in memory, at most so many, evenly spread over the file.

    From a long file they are taken in a few runs of consecutive windows, so that only the blocks of
    these are read. The choice does not depend on how the file is chunked.
    """
    count = ds.sizes[names.WINDOW]
    if count > _LONG * most:
        each = max(1, most // _RUNS)
        first = np.linspace(0, count - each, _RUNS).astype(int)
        chosen = (first[:, None] + np.arange(each)).ravel()
    else:
        chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
    return ds.isel({names.WINDOW: chosen}).load()


_LONG = 8  # times as many windows as are wanted
_RUNS = 8


def flags(mask: np.ndarray, rejected: np.ndarray | None = None) -> np.ndarray:
    """Return the origin of the analysis, int8 (W, T, D): values of `names.Flag`.

    OBSERVED where `mask` > 0; REJECTED where `rejected`, bool (W, T, D), says that an observation
    was not used; EDGE before the first and after the last observation of a component in a window;
    GAP elsewhere, including components that are never observed.
    """
    observed, there = _series(mask)
    steps = np.arange(mask.shape[1])
    first = observed.argmax(1)[:, None]
    last = (len(steps) - 1 - observed[:, ::-1].argmax(1))[:, None]
    kinds = np.full(observed.shape, names.Flag.GAP, dtype=np.int8)
    kinds[(steps < first) | (steps > last)] = names.Flag.EDGE
    kinds[observed] = names.Flag.OBSERVED
    found = np.full((*there.shape, len(steps)), names.Flag.GAP, dtype=np.int8)
    found[there] = kinds
    found = np.ascontiguousarray(np.swapaxes(found, 1, 2))
    if rejected is not None:
        found[rejected] = names.Flag.REJECTED
    return found


def reference_variance(ds: xr.Dataset, of_series: Statistics | None = None) -> float | None:
    """Return the mean error variance of all observations, None if no errors are given.

    Dividing by it keeps the weights around 1, so that λ₁ means the same with errors and without.

    Parameters
    ----------
    ds : Dataset
        Windows. A step that lies in several windows counts once for each.
    of_series : Statistics, optional
        Statistics of the dask-backed series that was cut, or of the windows if they were not cut,
        so that the values are not read again.
    """
    pairs = (
        (names.OBSERVATION, names.OBSERVATION_ERROR), (names.POINT_OBSERVATION, names.POINT_ERROR),
        (names.CHANNEL_OBSERVATION, names.CHANNEL_ERROR),
    )  # fmt: skip
    total = count = 0.0
    for observed, error in pairs:
        if error not in ds:
            continue
        if (
            of_series is not None
            and ds[error].chunks is not None
            and error == names.OBSERVATION_ERROR
        ):
            often = _windows_at_step(ds, len(of_series.square))
            total += float(often @ of_series.square)
            count += float(often @ of_series.count)
            continue
        there = (ds[error] ** 2).where(ds[observed].notnull())
        found = xr.Dataset({"sum": there.sum(), "count": there.count()}).compute()
        total, count = total + float(found["sum"]), count + float(found["count"])
    return total / count if count else None


def _windows_at_step(ds: xr.Dataset, steps: int) -> np.ndarray:
    """Return the number of windows that contain each step of the series, (T,); 1 if not cut."""
    length = ds.sizes[names.TIME]
    if steps == length or names.WINDOW_START not in ds.coords:
        return np.ones(steps)
    change = np.zeros(steps + 1)
    starts = ds[names.WINDOW_START].values
    np.add.at(change, starts, 1)
    np.add.at(change, starts + length, -1)
    return np.cumsum(change)[:-1]


def analysis_dataset(
    windows: xr.Dataset,
    analysis: np.ndarray,
    per_window: Mapping[str, np.ndarray] | None = None,
    *,
    stdev: np.ndarray | None = None,
    point_innovation: np.ndarray | None = None,
    channel_innovation: np.ndarray | None = None,
) -> xr.Dataset:
    """Label the analysis of a block of windows.

    Parameters
    ----------
    windows : Dataset
        The observations that were assimilated, with their coordinates and attributes.
    analysis : (W, T, D)
        In the observations' units.
    per_window : mapping of (W,) arrays, optional
        Cost terms, status and so on, under the names of `names`.
    stdev : (W, T, D), optional
        Standard deviation of the analysis.
    point_innovation : (W, K), optional
        Observation minus analysis of the data at arbitrary times.
    channel_innovation : (W, T, K), optional
        Observation minus function of the analysis.

    Returns
    -------
    Dataset
        `analysis`, `innovation` (observation minus analysis, NaN where nothing was observed),
        `flag`, `state_stdev` if given, and the variables of `per_window`.
    """
    observation = _array(windows, names.OBSERVATION)
    dims = names.DIMENSIONS
    if analysis.shape != observation.shape:
        raise ValueError(f"analysis has shape {analysis.shape}, expected {observation.shape}")
    rejected = None
    if names.REJECTED in windows:
        codes = windows[names.REJECTED].transpose(*names.DIMENSIONS).values
        rejected = codes == bad_data.REJECTED
    inherited = {
        key: value for key, value in windows[names.OBSERVATION].attrs.items() if key in _INHERITED
    }
    units = {key: value for key, value in inherited.items() if key == "units"}
    data: dict[str, Any] = {
        names.ANALYSIS: (
            dims,
            np.asarray(analysis, dtype=np.float64),
            {**names.attributes(names.ANALYSIS), **inherited, "ancillary_variables": names.FLAG},
        ),
        names.INNOVATION: (
            dims,
            observation - analysis,
            {**names.attributes(names.INNOVATION), **units},
        ),
        names.FLAG: (dims, flags(~np.isnan(observation), rejected), names.attributes(names.FLAG)),
    }
    if stdev is not None:
        attributes = {**names.attributes(names.STATE_STDEV), **units}
        standard_name = str(inherited.get("standard_name", ""))
        if standard_name and " " not in standard_name:  # CF's appendix C allows one modifier
            attributes["standard_name"] = f"{standard_name} standard_error"
        data[names.STATE_STDEV] = (dims, np.asarray(stdev, dtype=np.float64), attributes)
        ancillary = f"{names.FLAG} {names.STATE_STDEV}"
        data[names.ANALYSIS][2]["ancillary_variables"] = ancillary
    if point_innovation is not None:
        attributes = {**names.attributes(names.POINT_INNOVATION), **units}
        along = (names.WINDOW, names.DATUM)
        data[names.POINT_INNOVATION] = (along, point_innovation, attributes)
        data[names.POINT_FLAG] = (
            along, _point_flags(windows), names.attributes(names.POINT_FLAG),
        )  # fmt: skip
    if channel_innovation is not None:
        attributes = dict(names.attributes(names.CHANNEL_INNOVATION))
        if "units" in windows[names.CHANNEL_OBSERVATION].attrs:
            attributes["units"] = windows[names.CHANNEL_OBSERVATION].attrs["units"]
        along_channels = (names.WINDOW, names.TIME, names.CHANNEL)
        data[names.CHANNEL_INNOVATION] = (along_channels, channel_innovation, attributes)
    for name, values in (per_window or {}).items():
        values = np.asarray(values, dtype=_DTYPES.get(name))
        data[name] = (names.WINDOW, values, names.attributes(name, units.get("units")))
    return xr.Dataset(data, windows.coords, windows.attrs)


def _point_flags(windows: xr.Dataset) -> np.ndarray:
    """Return the use of each datum at an arbitrary time, (W, K): gap stands for none."""
    along = (names.WINDOW, names.DATUM)
    there = windows[names.POINT_OBSERVATION].transpose(*along).notnull().values
    found = np.where(there, names.Flag.OBSERVED, names.Flag.GAP).astype(np.int8)
    if names.POINT_REJECTED in windows:
        found[windows[names.POINT_REJECTED].transpose(*along).values == 1] = names.Flag.REJECTED
    return found


def _array(ds: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(ds[name].transpose(*names.DIMENSIONS).values, dtype=np.float64)


def _series(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return when each observed component of a window was observed, and which components these are.

    Often few components are observed, and storing only these contiguously is faster.

    Returns
    -------
    (N, T) of bool
        Whether the component was observed at each step.
    (W, D) of bool
        The observed components, N in total.
    """
    observed = np.ascontiguousarray(np.swapaxes(mask > 0, 1, 2))
    there = np.asarray(observed.any(2))
    return observed[there], there
