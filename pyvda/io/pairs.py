"""Do two arrays describe the same windows, steps and components? Decided by their labels.

Shape alone does not tell: windows that are shifted or in another order have the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.state.space import StateSpace

_LABELS = (*names.DIMENSIONS, names.WINDOW_START)


def paired(
    truth: xr.DataArray, other: xr.DataArray, *, called: str = "truth", beside: str = "analysis"
) -> xr.DataArray:
    """Return the truth in the order of dimensions of the array that it belongs to.

    Parameters
    ----------
    truth, other : DataArray
        (window, time, state) or (time, state) in any order. Labels (the coordinates window, time,
        state and window_start) count where both have them.
    called, beside : str, optional
        What the two are, for messages.

    Raises
    ------
    InputError
        When sizes, labels or units differ.
    """
    if truth.sizes.get(names.WINDOW) == 1 and names.WINDOW not in other.dims:
        truth = truth.isel({names.WINDOW: 0}, drop=True)  # the analysis is that of a series
    if dict(truth.sizes) != dict(other.sizes):
        raise InputError(
            f"the {called} is {_shape(truth)}, the {beside} {_shape(other)}; give the truth of the "
            "same windows"
        )
    truth = truth.transpose(*other.dims)
    for name in _LABELS:
        if name not in truth.coords or name not in other.coords:
            continue
        here, there = (np.atleast_1d(array[name].values) for array in (truth, other))
        if here.shape != there.shape:
            continue  # along other dimensions: not labels of the same thing
        different = _different(here, there)
        if different.any():
            at = int(np.argmax(different))
            raise InputError(
                f"{name} is {here[at]} in the {called} and {there[at]} in the {beside}; give the "
                f"truth of the same windows, or put it into their order by {name}"
            )
    units = truth.attrs.get("units"), other.attrs.get("units")
    if None not in units and units[0] != units[1]:
        raise InputError(
            f"the {called} is in units of {units[0]}, the {beside} in {units[1]}; convert one of "
            "them"
        )
    return truth


def aligned(truth: xr.Dataset, other: xr.Dataset, dims: Iterable[str]) -> xr.Dataset:
    """Return the truth with its coordinates along some dimensions in the order of another Dataset.

    Parameters
    ----------
    truth, other : Dataset
    dims : iterable of str
        Those along which coordinates count where both have them.

    Raises
    ------
    InputError
        The coordinates along a dimension are not the same set.
    """
    for dim in sorted(dims):
        if dim not in truth.indexes or dim not in other.indexes:
            continue
        here, there = truth[dim].values, other[dim].values
        if here.shape != there.shape:
            continue  # of other sizes: refused when the variables are stacked
        to_here, to_there = np.argsort(here, kind="stable"), np.argsort(there, kind="stable")
        different = _different(here[to_here], there[to_there])
        if different.any():
            at = int(np.argmax(different))
            raise InputError(
                f"along {dim} the truth has the coordinate {here[to_here][at]} where the analysis "
                f"has {there[to_there][at]}; give the truth on the grid of the analysis"
            )
        if (to_here != to_there).any():
            order = np.empty_like(to_here)
            order[to_there] = to_here
            truth = truth.isel({dim: order})
    return truth


def true_states(truth: xr.Dataset, other: xr.Dataset, space: StateSpace | None) -> xr.Dataset:
    """Return a truth with the variable `truth` of state vectors.

    Parameters
    ----------
    truth : Dataset
        `truth`, or the variables that `other` is of, or those of the model.
    other : Dataset
        An analysis or observations.
    space : StateSpace, optional
        Of the model.

    Raises
    ------
    InputError
        There is no truth.
    """
    from pyvda.io.cf import conventions, matching
    from pyvda.io.cf.layout import restacked

    true = restacked(truth, other)
    if names.TRUTH not in true and space is not None and matching.of_model(truth, space):
        true = conventions.normalise(truth, ",".join(space.names), space)
        true = true.rename({names.OBSERVATION: names.TRUTH})
    if names.TRUTH not in true:
        raise InputError("the file has no variable 'truth'; give one made by `pyvda simulate`")
    return true


def with_truth(
    observed: xr.Dataset, truth: xr.Dataset, space: StateSpace | None = None
) -> xr.Dataset:
    """Return observations with the truth of the same windows added.

    Parameters
    ----------
    observed : Dataset
        As `open_observations` returns it.
    truth : Dataset
        `truth`, or the variables that the observations are of, or those of the model.
    space : StateSpace, optional
        Of the model.

    Raises
    ------
    InputError
        When there is no truth, or it is not that of these observations.
    """
    true = true_states(truth, observed, space)
    found = paired(true[names.TRUTH], observed[names.OBSERVATION], beside="observations")
    return observed.assign({names.TRUTH: (found.dims, found.data, found.attrs)})


def _different(labels: Any, others: Any) -> np.ndarray:
    """Tell which labels differ; of numbers, by more than the rounding of a stored time."""
    if labels.dtype.kind in "fiu" and others.dtype.kind in "fiu":
        step = np.abs(np.diff(others.astype(float))).min(initial=np.inf)
        tolerance = 1e-2 * step if np.isfinite(step) else 0.0
        return np.asarray(np.abs(labels.astype(float) - others.astype(float)) > tolerance)
    return np.broadcast_to(labels != others, labels.shape)


def _shape(array: xr.DataArray) -> str:
    return " x ".join(f"{size} {name}" for name, size in array.sizes.items())
