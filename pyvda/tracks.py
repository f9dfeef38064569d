"""Observations of a truth along tracks, as a CF trajectory file (discrete sampling geometry).

A datum is the truth at a point, interpolated linearly between the model's grid points and, between
two outputs, in time, with independent noise. On land the truth counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.cf.orientation import in_model_order
from pyvda.io.netcdf import append_history
from pyvda.io.tables.analysis_times import ANALYSIS_TIMES
from pyvda.io.tables.sampling_geometry import COUNTS
from pyvda.io.writing import model_attributes
from pyvda.models.model import Model, number
from pyvda.models.presets import Sampling, Tracks
from pyvda.operators.interpolation import Interpolation
from pyvda.operators.points import SNAP
from pyvda.operators.sparse_rows import SparseRows
from pyvda.state.space import StateSpace

_OBS, _TRAJECTORY = "obs", "trajectory"
_EVEN = 1e-6  # of a step


def observe(
    truth: xr.Dataset,
    name: str,
    sampling: Sampling,
    seed: int,
    variance: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Observe a truth along the tracks of a preset.

    Parameters
    ----------
    truth : Dataset
        Made by `pyvda.simulate`, one variable over window, time and the model's dimensions.
    name : str
        Name of the preset.
    sampling : Sampling
    seed : int
    variance : float, optional
        Error variance. Default: that of the preset.
    options : mapping, optional
        Options of the preset.

    Returns
    -------
    Dataset
        A contiguous ragged array of trajectories: the variable, `time` and positions along `obs`;
        with several windows also `window`.

    Raises
    ------
    InputError
        The truth is not of the preset's model, has missing values or uneven times, or an option
        cannot have its value.
    """
    model = model_attributes.find(truth)
    if model is None or model.name != sampling.model or model.state_space is None:
        found = "does not say which model made it" if model is None else f"is of {model.name}"
        raise InputError(
            f"the truth {found}, but the preset {name} is for {sampling.model}; give a truth of "
            f"`pyvda simulate {sampling.model}`"
        )
    settled = sampling.settled(name, options or {})
    variance = sampling.variance if variance is None else number("the error variance", variance)
    if variance < 0:
        raise InputError(f"the error variance is {variance}, expected at least 0")
    space = model.state_space
    truth = in_model_order(truth, {dim: dim for dim in space.sizes}, space)
    states, time = np.asarray(space.stack(truth)), _times(truth)
    missing = int((~np.isfinite(states[..., space.sea])).sum())
    if missing:
        raise InputError(
            f"the truth has {missing} values that are missing or infinite at sea, so that its "
            "tracks are unknown there; fill or select them first"
        )
    states = np.nan_to_num(states)  # of land
    parts = []
    for window, x in enumerate(states):
        random = np.random.default_rng([seed, window, 1])
        tracks = sampling.tracks(model, time, random, **settled)
        if not len(tracks.time):
            raise InputError(
                f"no track of the preset {name} crosses the grid between the times {time[0]:g} and "
                f"{time[-1]:g}; give a longer truth, or more passes"
            )
        value = _seen(model, x, time, tracks)
        noise = np.sqrt(variance) * random.standard_normal(len(value))
        parts.append((tracks, value + noise))
    attrs = {
        **truth.attrs, "title": f"{names.TWIN_TITLE} {name}: observations", "preset": name,
        "observation_seed": seed, names.OBSERVATION_ERROR_VARIANCE: variance,
        "featureType": "trajectory", ANALYSIS_TIMES: [time[0], time[-1], time[1] - time[0]],
        **{f"preset_{option}": value for option, value in settled.items()},
    }  # fmt: skip
    ds = _labelled(truth, model.state_space, parts).assign_attrs(attrs)
    return append_history(ds, f"pyvda {pyvda.__version__} observe {name}, seed {seed}")


def _times(truth: xr.Dataset) -> Array:
    """Return the times (T,) of a truth: numbers, equally far apart."""
    time = np.asarray(truth[names.TIME].values) if names.TIME in truth.coords else np.zeros(0)
    if time.dtype.kind not in "fiu" or time.ndim != 1 or len(time) < 2:
        found = "dates" if time.dtype.kind in "MO" else f"{time.size} of them"
        raise InputError(
            f"tracks need at least two times of the truth, in the model's units, found {found}; "
            "give the truth as `pyvda simulate` wrote it"
        )
    steps = np.diff(time.astype(float))
    if not steps.min() > 0 or np.ptp(steps) > _EVEN * steps.max():
        raise InputError(
            f"the times of the truth are {steps.min():g} to {steps.max():g} apart, and tracks need "
            "equal positive steps; select every n-th time of a truth by `pyvda simulate`"
        )
    return time.astype(float)


def _seen(model: Model, x: Array, time: Array, tracks: Tracks) -> Array:
    """Return the states x (T, D) at points and times, (K,)."""
    rows = SparseRows.of(Interpolation().matrix(model, tracks.positions)[0])
    position = (tracks.time - time[0]) / (time[1] - time[0])
    step = np.clip(np.floor(position + SNAP).astype(int), 0, len(time) - 1)
    fraction = np.clip(position - step, 0.0, 1.0)
    later = np.minimum(step + 1, len(time) - 1)
    here, there = (x[one[:, None], rows.index] for one in (step, later))
    at = here + fraction[:, None] * (there - here)
    return np.asarray((rows.coefficient * at).sum(1))


def _labelled(
    truth: xr.Dataset, space: StateSpace, parts: list[tuple[Tracks, Array]]
) -> xr.Dataset:
    """Return the data of all windows, one track after the other, in time."""
    (variable,) = space.names
    window = np.repeat(np.arange(len(parts)), [len(value) for _, value in parts])
    track, when, value = (
        np.concatenate(columns)
        for columns in ([t.track for t, _ in parts], [t.time for t, _ in parts],
                        [v for _, v in parts])
    )  # fmt: skip
    order = np.lexsort((when, track, window))
    _, counts = np.unique(np.stack([window, track], 1), axis=0, return_counts=True)
    attrs = {"long_name": "number of observations", COUNTS: _OBS}
    data: dict[str, Any] = {
        variable: (_OBS, value[order], truth[variable].attrs),
        "row_size": (_TRAJECTORY, counts.astype(np.int32), attrs),
    }
    if len(parts) > 1:
        data[names.WINDOW] = (_OBS, window[order].astype(np.int32), names.attributes(names.WINDOW))
    coords: dict[str, Any] = {
        names.TIME: (_OBS, when[order], {**truth[names.TIME].attrs, "axis": "T"}),
        f"{_TRAJECTORY}_id": (
            _TRAJECTORY, np.arange(len(counts), dtype=np.int32),
            {"cf_role": "trajectory_id", "long_name": "number of the track"},
        ),
    }  # fmt: skip
    for dim in space.sizes:
        along = np.concatenate([tracks.positions[dim] for tracks, _ in parts])
        coords[dim] = (_OBS, along[order], {"units": "1", "axis": dim.upper()})
    return xr.Dataset(data, coords)
