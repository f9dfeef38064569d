"""Samples for a covariance: the states of a file, their differences in time, or their errors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.dimensions import find_time, is_window
from pyvda.io.cf.orientation import in_model_order
from pyvda.io.cf.spacing import Spacing, spacing_of
from pyvda.io.cf.times import is_cftime
from pyvda.io.cf.units import same
from pyvda.io.pairs import aligned
from pyvda.io.quality.validation import expect_none_infinite
from pyvda.io.writing import model_attributes
from pyvda.notices import notice
from pyvda.operators.covariance import Array
from pyvda.state.space import StateSpace, Variable

_UNEVEN = 0.25  # of the usual time between two states: months are of 28 to 31 days
_ROUNDING = 1e-2  # of a step: times closer than this are the same
_OUTPUTS = ("_innovation", "_flag", "_stdev", "_minimum", "_error")


@dataclass(frozen=True)
class StateSamples:
    """N samples of a state of D components.

    Attributes
    ----------
    space : StateSpace
        The variables with their dimensions; land is where no sample has a value.
    values : (N, D)
        In the state's units; 0 on land.
    spacing : dict
        For each variable with two dimensions the distances between neighbours.
    what : str
        What the samples are, such as "47 states".
    """

    space: StateSpace
    values: Array
    spacing: dict[str, Spacing]
    what: str


def samples_of(
    ds: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    differences: int | None = None,
    truth: xr.Dataset | None = None,
) -> StateSamples:
    """Return the samples that a Dataset consists of.

    Parameters
    ----------
    ds : Dataset
        Variables over samples (windows, times, members) and a grid. Points that are NaN in all
        samples are land.
    variables : sequence of str, optional
        Default: those of the model that made the file, else all fields with samples.
    differences : int, optional
        Take x(t + `differences`) − x(t) along time, divided by √2: if both states have independent
        errors of the same covariance, it is that of the samples.
    truth : Dataset, optional
        Take the errors, `ds` minus the truth at the same times.

    Raises
    ------
    InputError
        There are no such variables, fewer than two samples, or gaps that are no land; or a truth
        on another grid, in other units or without a common time.
    """
    if differences is not None and truth is not None:
        raise InputError("samples are differences in time or errors; leave out one of them")
    chosen = _chosen(ds, variables)
    ds = _in_order_of_model(ds)
    arrays, spaces, spacing = [], [], {}
    time, _ = find_time(ds, ds.dims)
    pairs = None if differences is None else _evenly_apart(ds, time, differences)
    if pairs is not None:
        ds = ds.isel({time: pairs.order})
    for name in chosen:
        of_samples = _sample_dimensions(ds, name, time)
        array = ds[name]
        if truth is not None:
            array = _errors(ds, array, truth, of_samples, time)
        dims = tuple(d for d in array.dims if d not in of_samples)
        ordered = array.transpose(*of_samples, *dims)
        leading = [array.sizes[d] for d in of_samples]
        steps = leading[-1] if differences is not None else 1
        shape = tuple(array.sizes[d] for d in dims)
        arrays.append(np.asarray(ordered.values, float).reshape(-1, steps, int(np.prod(shape))))
        units = str(array.attrs.get("units", ""))
        spaces.append(Variable(name, tuple(map(str, dims)), shape, units=units))
        if len(dims) == 2:
            spacing[name] = spacing_of(ds, dims)
    if len({a.shape[:2] for a in arrays}) > 1:
        raise InputError(
            f"the variables {', '.join(chosen)} have different numbers of samples; choose variables"
        )
    values = np.concatenate(arrays, -1)
    if differences is not None:
        steps = values.shape[1]
        if not 1 <= differences < steps:
            raise InputError(
                f"differences is {differences}, expected from 1 to {steps - 1} steps of the "
                f"{steps} that the file has"
            )
        values = (values[:, differences:] - values[:, :-differences]) / np.sqrt(2)
        if pairs is not None:
            values = values[:, pairs.kept]
    values = values.reshape(-1, values.shape[-1])
    if len(values) < 2:
        raise InputError(
            f"the file has {len(values)} samples, expected at least two states along {names.TIME} "
            f"or {names.WINDOW}"
        )
    kind = "errors" if truth is not None else "states"
    what = f"{len(values)} " + ("differences" if differences is not None else kind)
    space, values = _with_land(chosen, spaces, values)
    return StateSamples(_flattened(ds, space), values, spacing, what)


def _with_land(
    chosen: list[str], spaces: list[Variable], values: Array
) -> tuple[StateSpace, Array]:
    expect_none_infinite(", ".join(chosen), np.isinf(values))
    missing = np.isnan(values)
    land = missing.all(0)
    gaps = int((missing & ~land).any(1).sum())
    if gaps:
        raise InputError(
            f"{gaps} of {len(values)} samples have gaps at points where others have values; give "
            "complete fields, such as an analysis, or leave these samples out"
        )
    if land.all():
        raise InputError(f"the variables {', '.join(chosen)} are missing everywhere")
    space = StateSpace(tuple(spaces), land.astype(np.uint8).tobytes() if land.any() else None)
    return space, np.where(land, 0.0, values)


def _flattened(ds: xr.Dataset, space: StateSpace) -> StateSpace:
    """Return the space of the model where the file has its state as one vector."""
    one = space.variables[0]
    if len(space.variables) > 1 or one.dims != (names.STATE,):
        return space
    model = model_attributes.find(ds)
    own = None if model is None else model.state_space
    if own is None or own.size != space.size:
        return StateSpace((Variable("x", ("site",), one.shape),), space.land)
    return StateSpace(own.variables, space.land)


def _chosen(ds: xr.Dataset, variables: Sequence[str] | None) -> list[str]:
    if variables is not None:
        missing = [name for name in variables if name not in ds.data_vars]
        if missing or not variables:
            raise InputError(
                f"the file has no variable {', '.join(missing) or 'chosen'}, but "
                f"{', '.join(map(str, ds.data_vars))}; choose among these"
            )
        return list(variables)
    for name in (names.TRUTH, names.ANALYSIS, names.FORECAST):
        if name in ds.data_vars and names.STATE in ds[name].dims:
            return [name]
    model = model_attributes.find(ds)
    own = None if model is None else model.state_space
    if own is not None and all(name in ds.data_vars for name in own.names):
        return list(own.names)
    time, _ = find_time(ds, ds.dims)
    found = [
        str(name)
        for name, array in ds.data_vars.items()
        if array.dtype.kind == "f"
        and not str(name).endswith(_OUTPUTS)
        and any(d == time or is_window(ds, d) for d in array.dims)
        and any(d != time and not is_window(ds, d) for d in array.dims)
    ]
    if not found:
        raise InputError(
            "the file has no field with samples, a variable over time or windows and a grid; give "
            "its names as variables (--variables)"
        )
    return found


def _sample_dimensions(ds: xr.Dataset, name: str, time: Hashable | None) -> tuple[Hashable, ...]:
    """Return the dimensions that count samples, time last."""
    dims = ds[name].dims
    found = [d for d in dims if is_window(ds, d) and d != time]
    if time in dims:
        found.append(time)
    if not found:
        raise InputError(
            f"the variable {name!r} has the dimensions {', '.join(map(str, dims))}, of which none "
            f"counts samples; name one {names.TIME}, {names.WINDOW} or {names.MEMBER}"
        )
    return tuple(found)


def _in_order_of_model(ds: xr.Dataset) -> xr.Dataset:
    """Return the states in the order of the points of the model that made the file, if it is known.

    A covariance is used for states in that order.
    """
    model = model_attributes.find(ds)
    space = None if model is None else model.state_space
    if space is None:
        return ds
    dims: dict[Hashable, str] = {
        dim: dim for dim, n in space.sizes.items() if ds.sizes.get(dim) == n
    }
    return in_model_order(ds, dims, space)


class _Pairs(NamedTuple):
    """The order of the times of a file, and which differences are over the usual time."""

    order: Array
    kept: Array


def _evenly_apart(ds: xr.Dataset, time: Hashable | None, steps: int) -> _Pairs | None:
    """Return the times in order, and the pairs `steps` apart as usual; None: no times are known.

    Raises
    ------
    InputError
        A time is missing.
    """
    if time is None or time not in ds.coords or ds[time].dims != (time,):
        return None
    numbers = _numbers_of(ds[time])
    if numbers is None or len(numbers) <= steps or steps < 1:
        return None
    order = np.argsort(numbers, kind="stable")
    apart = numbers[order][steps:] - numbers[order][:-steps]
    kept = np.abs(apart - np.median(apart)) <= _UNEVEN * np.abs(np.median(apart))
    if not kept.all():
        notice(
            f"{int((~kept).sum())} of {len(kept)} differences are over another time than the usual "
            f"one, such as across a gap, and are left out"
        )
    return _Pairs(order, kept)


def _numbers_of(times: xr.DataArray) -> Array | None:
    """Return times as numbers in the order of time, dates in seconds; None: they are neither."""
    values = times.values
    if values.dtype.kind in "mM":
        missing = np.isnat(values)
        found = values.astype(f"{values.dtype.kind}8[us]").astype(np.int64).astype(float) / 1e6
        values = np.where(missing, np.nan, found)
    elif is_cftime(times.variable):
        values = np.array([(one - values[0]).total_seconds() for one in values])
    if values.dtype.kind not in "fiu":
        return None
    if not np.isfinite(values).all():
        raise InputError(
            f"{times.name} is missing at {int((~np.isfinite(values.astype(float))).sum())} steps; "
            "leave these out"
        )
    return np.asarray(values, float)


def _errors(
    ds: xr.Dataset,
    array: xr.DataArray,
    truth: xr.Dataset,
    of_samples: Sequence[Hashable],
    time: Hashable | None,
) -> xr.DataArray:
    if array.name not in truth.data_vars:
        raise InputError(
            f"the truth has no variable {array.name!r}, but "
            f"{', '.join(map(str, truth.data_vars))}; give the truth of the same variables"
        )
    space = [d for d in array.dims if d not in of_samples]
    truth = aligned(truth, ds, map(str, space))
    true = truth[array.name]
    for dim in true.dims:
        if is_window(truth, dim) and dim not in array.dims and true.sizes[dim] == 1:
            true = true.isel({dim: 0}, drop=True)  # of a series, which has no windows
    units = array.attrs.get("units"), true.attrs.get("units")
    if None not in units and not same(str(units[0]), str(units[1])):
        raise InputError(
            f"{array.name!r} is in {units[0]}, and its truth in {units[1]}; convert one of them"
        )
    if time in array.coords and time in true.coords and time in true.dims:
        array, true = _at_same_times(array, true, str(time))
    array, true = xr.align(array, true, join="inner", exclude=[*space, time])
    if set(array.dims) != set(true.dims) or dict(array.sizes) != dict(true.sizes):
        raise InputError(
            f"{array.name!r} has {dict(array.sizes)} and its truth {dict(true.sizes)}, expected "
            "the same dimensions and lengths; give the truth of the same grid and windows"
        )
    return array.copy(data=array.values - true.transpose(*array.dims).values)


def _at_same_times(
    array: xr.DataArray, true: xr.DataArray, time: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both at the times that both have, to the rounding of stored times."""
    ours, theirs = array[time], true[time]
    if "O" in (ours.dtype.kind, theirs.dtype.kind) and ours.dtype.kind == theirs.dtype.kind:
        both = np.unique(ours.values[np.isin(ours.values, theirs.values)])
        return array.sel({time: both}), true.sel({time: both})
    of_samples, of_truth = _numbers_of(ours), _numbers_of(theirs)
    if (
        of_samples is None
        or of_truth is None
        or (ours.dtype.kind == "M") != (theirs.dtype.kind == "M")
    ):
        raise InputError(
            f"{array.name!r} has times of type {ours.dtype} and its truth of type {theirs.dtype}; "
            "give both as dates of one type, or both as numbers"
        )
    for what, one in (("samples", of_samples), ("truth", of_truth)):
        if len(np.unique(one)) < len(one):
            raise InputError(f"a time repeats in the {what}; leave out all but one of each")
    step = np.diff(np.sort(of_samples)).min(initial=np.inf)
    order = np.argsort(of_truth)
    nearest = pd.Index(of_truth[order]).get_indexer(
        of_samples, method="nearest", tolerance=_ROUNDING * step if step < np.inf else 0.0
    )
    here = np.flatnonzero(nearest >= 0)
    there = order[nearest[here]]
    if not len(here):
        raise InputError(
            f"the samples and their truth have no time in common (they begin at {ours.values[0]} "
            f"and {theirs.values[0]}); give the truth of the same times"
        )
    return array.isel({time: here}), true.isel({time: there})
