"""Recognise the variables and dimensions of a user's file.

`normalise` renames and reorders without reading values. CF attributes take precedence over names;
where neither identifies a variable or dimension, the error asks the user to choose.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import cf_xarray  # noqa: F401  (registers the accessor Dataset.cf)
import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasMultiIndex

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import grids, layout, matching, orientation, references, times, unsuitable
from pyvda.io.cf.dimensions import (
    STATE_NAMES,
    find_time,
    instance_of,
    is_window,
    with_times_of_windows,
)
from pyvda.io.cf.matching import Match
from pyvda.io.quality.bad_data import screened
from pyvda.io.quality.error_variables import with_errors
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import expect_numbers
from pyvda.io.tables import frames, sampling_geometry
from pyvda.notices import notice
from pyvda.state.space import StateSpace


def normalise(
    ds: xr.Dataset,
    variable: str | Sequence[str] | None = None,
    space: StateSpace | None = None,
    good_flags: GoodFlags | None = None,
) -> xr.Dataset:
    """Return the observations of `ds` under pyvda's names, values unread.

    Parameters
    ----------
    ds : Dataset
        Any Dataset with one observed variable over time and state, and perhaps window, in any order
        and under any names; or with the variables of a model's state, each over time and its own
        dimensions.
    variable : str or sequence of str, optional
        The observed variable or variables ("x,y,z"), by name or by CF `standard_name`. By default
        `observation`, else the variables of the model's state, else the only floating-point
        variable with a time and a state dimension.
    space : StateSpace, optional
        State space of the model. Without it, variables are recognised only when they are listed.
    good_flags : int, str or tuple of them, optional
        Quality flags of data to use, see `quality_flags.rules`. Default: what the file calls good.

    Returns
    -------
    Dataset
        `observation`, and where `ds` has them `observation_error` (standard deviation) and `truth`,
        with dimensions `(time, state)` or `(window, time, state)`, with the attributes of `ds`, and
        all coordinates along its dimensions. Time increases. Values that the file calls bad are
        NaN, and int8 `rejected` says why (see `quality.screened`). Named variables are stacked into
        state vectors, as described by the attribute `pyvda_state` (see `layout`).

    Raises
    ------
    InputError
        When the variables or the meaning of their dimensions cannot be found.
    """
    _expect_plain_dimensions(ds)
    ds = with_times_of_windows(times.recognised(ds))
    listed = matching.wanted(variable, ds)
    given = [*(listed or ()), names.OBSERVATION, names.OBSERVATION_ERROR, names.TRUTH]
    ds = ds.reset_coords([name for name in dict.fromkeys(given) if _is_set_as_coordinate(ds, name)])
    chosen: str | Match
    if listed is not None and len(listed) > 1:
        chosen = matching.several(ds, listed, space)
    else:
        chosen = _choose(ds, None if listed is None else listed[0], space)
    if isinstance(chosen, Match):
        return times.in_order(_several(ds, chosen, good_flags))
    return times.in_order(_one(ds, chosen, good_flags))


def _several(ds: xr.Dataset, match: Match, good_flags: GoodFlags | None) -> xr.Dataset:
    """Return the variables of a match as state vectors."""
    roles: dict[Hashable, str] = {match.time: names.TIME}
    if match.window is not None:
        roles[match.window] = names.WINDOW
    for file in match.files.values():
        expect_numbers(ds.variables[file], file)
    only = len(match.files) == 1
    dims = {dim: to for found in match.dims.values() for dim, to in found.items()}
    ds = orientation.in_model_order(ds, dims, match.space)
    ds, codes = screened(ds, list(match.files.values()), good_flags)
    errors = {}
    for name, file in match.files.items():
        ds, error = with_errors(ds, file, shared=only)
        if error is not None:
            errors[name] = error
    data, description = layout.stacked(ds, match, errors, roles, codes)
    for name in (names.TRUTH, *names.POINTS, *names.CHANNELS):
        # Variables given for whole state vectors are recognised only under pyvda's own names.
        if name in ds.variables and name not in data:
            whole = _renamed(ds.variables[name], roles)
            if whole.sizes.get(names.STATE, match.space.size) == match.space.size:
                data[name] = whole
    time = find_time(ds, (match.time,))[1]
    kept: dict[Hashable, str] = {
        dim: str(dim)
        for found_dims in match.dims.values()
        for dim in found_dims
        if str(dim) != names.STATE
    }
    coords = _coordinates(ds, {**kept, **roles}, time, match.files.values())
    if names.POINT_TIME in data:
        coords[names.POINT_TIME] = data.pop(names.POINT_TIME)
    described = layout.with_time(description, time)
    attrs = {**ds.attrs, layout.STATE_ATTRIBUTE: described}
    return _of_file(xr.Dataset(data, coords, attrs), ds, roles)


def _one(ds: xr.Dataset, name: str, good_flags: GoodFlags | None) -> xr.Dataset:
    """Return one variable over time and state, and perhaps window."""
    roles, time = _roles(ds, name)
    dims = tuple(role for role in names.DIMENSIONS if role in roles.values())

    expect_numbers(ds.variables[name], name)
    chosen = {names.OBSERVATION: name}
    if good_flags is not None or not _has_codes(ds, name):
        ds, codes = screened(ds, [name], good_flags)
        if name in codes:
            ds = ds.assign({names.REJECTED: codes[name]})
    if _has_codes(ds, name):
        chosen[names.REJECTED] = names.REJECTED
    ds, error = with_errors(ds, name)
    if error is not None:
        chosen[names.OBSERVATION_ERROR] = error
    if names.TRUTH in ds and name != names.TRUTH and set(ds[names.TRUTH].dims) == set(roles):
        chosen[names.TRUTH] = names.TRUTH

    data = {new: _renamed(ds.variables[old], roles) for new, old in chosen.items()}
    for new, values in data.items():
        expect_numbers(values, chosen[new])
        missing = set(dims) - set(values.dims)
        sizes = {role: ds.sizes[dim] for dim, role in roles.items()}
        if missing:
            values = values.set_dims({d: sizes[d] for d in dims})
        data[new] = values.transpose(*dims)

    # These attributes refer to variables of the original file.
    data[names.OBSERVATION].attrs.pop("ancillary_variables", None)
    if error is not None:
        data[names.OBSERVATION].attrs["ancillary_variables"] = names.OBSERVATION_ERROR
    for kept in (*names.POINTS, *names.CHANNELS):
        if kept in ds.variables:
            data[kept] = _renamed(ds.variables[kept], roles)
    # State vectors that were stacked before keep the coordinates of their variables.
    own = layout.own_dims(ds)
    attrs = dict(ds.attrs)
    if own is None:
        attrs.pop(layout.STATE_ATTRIBUTE, None)
    coords = _coordinates(ds, {**{dim: dim for dim in own or ()}, **roles}, time, [name])
    if names.POINT_TIME in data:
        coords[names.POINT_TIME] = data.pop(names.POINT_TIME)
    return _of_file(xr.Dataset(data, coords, attrs), ds, roles)


def as_float64(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with its data variables in float64; lazy where they are dask-backed."""
    return ds.assign(
        {
            name: array.astype(np.float64, copy=False)
            for name, array in ds.data_vars.items()
            if name not in (names.REJECTED, names.POINT_COMPONENT, names.POINT_REJECTED)
        }
    )


def _has_codes(ds: xr.Dataset, name: str) -> bool:
    """Tell whether the Dataset says what was rejected of a variable, which was screened before."""
    found = ds.variables.get(names.REJECTED)
    return found is not None and found.dtype.kind in "iu" and found.dims == ds[name].dims


def _choose(ds: xr.Dataset, variable: str | None, space: StateSpace | None) -> str | Match:
    """Return the one variable over time and state, or the variables of the model's state."""
    if variable is None and names.OBSERVATION in ds.variables:
        variable = names.OBSERVATION
    if variable is not None:
        name = matching.by_name(ds, variable)
        match = None if space is None else matching.of_model(ds, space, only=name)
        if match is not None and (not _is_flat(ds, name) or _as_the_model_has_it(ds, match)):
            return match
        _refuse_grid(ds, name, space)
        return name
    match = None if space is None or unsuitable.is_long_table(ds) else matching.of_model(ds, space)
    candidates = [str(name) for name in ds.data_vars if _may_be_observed(ds, name)]
    if match is not None:
        others = [name for name in candidates if name not in match.files.values()]
        whole = len(match.files) > 1 or not _is_flat(ds, next(iter(match.files.values())))
        if not others and (whole or _as_the_model_has_it(ds, match)):
            return match
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise unsuitable.several(ds, candidates, space)
    raise _nothing_found(ds, space)


def _nothing_found(ds: xr.Dataset, space: StateSpace | None) -> InputError:
    fields = [name for name in unsuitable.over_time(ds) if ds[name].ndim > 1]
    if len(fields) == 1 and not unsuitable.grid_of(ds, fields[0]):
        _roles(ds, fields[0])  # raises the reason
    return unsuitable.no_observations(ds, space)


def _is_flat(ds: xr.Dataset, name: Hashable) -> bool:
    try:
        _roles(ds, name)
    except InputError:
        return False
    return True


def _as_the_model_has_it(ds: xr.Dataset, match: Match) -> bool:
    """Tell whether a variable over time and one dimension has the model's name and dimension.

    Otherwise, or if the dimension is `state`, it is an unnamed state vector.
    """
    return all(
        name in (file, ds[file].attrs.get("standard_name"))
        and all(str(dim) == to != names.STATE for dim, to in match.dims[name].items())
        for name, file in match.files.items()
    )


def _refuse_grid(ds: xr.Dataset, name: str, space: StateSpace | None) -> None:
    if not _is_flat(ds, name) and unsuitable.grid_of(ds, name):
        raise unsuitable.refused_grid(ds, [name], space)


def _may_be_observed(ds: xr.Dataset, name: Hashable) -> bool:
    if name == names.TRUTH or ds[name].dtype.kind != "f":
        return False
    return grids.is_measured(ds, name) and _is_flat(ds, name)


def _is_set_as_coordinate(ds: xr.Dataset, name: str) -> bool:
    """Tell whether observed values are among the coordinates, where they index nothing."""
    return name in ds.coords and name not in ds.dims and ds[name].ndim > 0


def _expect_plain_dimensions(ds: xr.Dataset) -> None:
    """Refuse windows and times that are stacked into one dimension, and sizes not yet known."""
    for dim, index in ds.xindexes.items():
        if not isinstance(index, PandasMultiIndex) or dim not in ds.dims:
            continue
        levels = [str(level) for level in index.index.names]
        if str(dim).lower() in ("time", "t"):
            raise InputError(
                f"the times along {dim!r} are a MultiIndex of {', '.join(levels)}, expected dates "
                f"or numbers; give these (ds.drop_vars({[str(dim), *levels]}).assign_coords({dim}="
                "times))"
            )
        if any(level.lower() in ("time", "t", "window") for level in levels):
            raise InputError(
                f"the dimension {dim!r} is stacked of {', '.join(levels)}, expected these as "
                f"dimensions of their own; unstack it (ds.unstack({dim!r}))"
            )
    for name, variable in ds.variables.items():
        if any(np.isnan(size) for size in variable.shape):
            raise InputError(
                f"variable {name!r} is a dask array whose chunks have an unknown size; have it "
                f"computed (ds[{name!r}].data.compute_chunk_sizes())"
            )


def _roles(ds: xr.Dataset, name: Hashable) -> tuple[dict[Hashable, str], Hashable | None]:
    """Return {dimension: window, time or state} of a variable, and its time coordinate's name."""
    dims = ds[name].dims
    found = f"variable {name!r} has dimensions ({', '.join(map(str, dims))})"
    expected = "expected (time, state) or (window, time, state)"
    if len(dims) == 1:
        raise InputError(
            f"{found}, {expected}; rename it to the component of the state that it is, or add a "
            "dimension 'state' (expand_dims)"
        )
    if len(dims) not in (2, 3):
        raise InputError(f"{found}, {expected}; select or stack the others")
    time_dim, time = find_time(ds, dims)
    if time_dim is None:
        raise InputError(
            f"{found} and none is recognised as time, {expected}; "
            "call that of time 'time', or give its coordinate the attribute axis='T'"
        )
    roles: dict[Hashable, str] = {time_dim: names.TIME}
    others = [dim for dim in dims if dim != time_dim]
    windows = [dim for dim in others if is_window(ds, dim)]
    if len(others) == 2 and not windows:
        states = [dim for dim in others if str(dim).lower() in STATE_NAMES]
        windows = [dim for dim in others if dim not in states] if len(states) == 1 else []
        if windows:
            notice(
                f"the dimension {windows[0]!r} of {name} is taken for independent windows; select "
                f"one (ds.isel({windows[0]}=0)), or combine them, if it is something else"
            )
    if len(windows) != len(others) - 1:
        raise InputError(
            f"{found} and which are window and state is not clear, {expected}; "
            "rename them to 'window' and 'state'"
        )
    for dim in others:
        roles[dim] = names.WINDOW if dim in windows else names.STATE
        feature = None
        if roles[dim] == names.STATE:
            feature = instance_of(ds, dim) or sampling_geometry.kind_of(ds)
        if feature is not None and str(dim).lower() not in STATE_NAMES:
            raise InputError(
                f"{found}, and {dim!r} counts features of CF's kind {feature}, not the components "
                f"of a model's state; rename {dim!r} to 'state' if that is what they are"
            )
    return roles, time


def _renamed(variable: xr.Variable, roles: Mapping[Hashable, str]) -> xr.Variable:
    # `dims` is set on a shallow copy because other ways of renaming would read lazy values.
    renamed = references.with_attributes(variable.to_base_variable().copy(deep=False))
    if not isinstance(variable.dtype, np.dtype):  # one of pandas, which no file can hold
        plain = frames.array_of(pd.Series(variable.to_index()))
        renamed = xr.Variable(variable.dims, plain, renamed.attrs)
    if variable.dtype.kind == "T":  # zarr's strings, which not every writer supports
        renamed = renamed.astype(object)
    renamed.dims = tuple(roles.get(dim, dim) for dim in variable.dims)
    # Packing, chunk sizes and compression apply to the old file only; calendar and units are kept.
    renamed.encoding = times.encoding_of(variable)
    return renamed


def _coordinates(
    ds: xr.Dataset,
    roles: Mapping[Hashable, str],
    time: Hashable | None,
    observed: Iterable[Hashable],
) -> dict[Hashable, xr.Variable]:
    kept: dict[Hashable, xr.Variable] = {}
    sources = list(observed)
    if time is not None:
        kept[names.TIME] = _renamed(ds.variables[time], roles)
        sources.append(time)
    for name in ds.coords:
        variable = ds.variables[name]
        # netCDF has no MultiIndex; its levels are coordinates themselves and are kept.
        stacked = isinstance(ds.xindexes.get(name), PandasMultiIndex)
        if name == time or not set(variable.dims) <= set(roles):
            continue
        if stacked and name in variable.dims:
            continue
        new: Hashable = roles.get(name, name) if name in variable.dims else name
        clash = new in names.DIMENSIONS and _renamed(variable, roles).dims != (new,)
        if new not in kept and not clash:
            kept[new] = _renamed(variable, roles)
            sources.append(name)
    for name, variable in references.belonging(ds, sources).items():
        # Bounds have a dimension of their own, which must not be taken for one of pyvda's.
        own = [dim for dim in variable.dims if dim not in roles]
        taken = {*names.DIMENSIONS, *roles.values()}.intersection(map(str, own))
        if name not in kept and name not in sources and len(own) <= 1 and not taken:
            kept[name] = _renamed(variable, roles)
    return kept


def _of_file(found: xr.Dataset, ds: xr.Dataset, roles: Mapping[Hashable, str]) -> xr.Dataset:
    """Return the observations with what is known of their file.

    That is its path, its unlimited dimensions, and what it calls the dimension of the state.
    """
    unlimited = {roles.get(dim, dim) for dim in ds.encoding.get("unlimited_dims", ())}
    found.encoding = {"unlimited_dims": {dim for dim in unlimited if dim in found.dims}}
    if "source" in ds.encoding:
        found.encoding["source"] = ds.encoding["source"]
    for dim, role in roles.items():
        if role == names.STATE and "state_dimension" not in ds.encoding:
            found.encoding["state_dimension"] = str(dim)
    return found
