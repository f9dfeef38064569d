"""Files that are no observations of the chosen model, or no field, refused in one sentence.

It says what the file has, what is wanted, and remedies for exactly this file: a field on a grid, a
section, a series, a table, data at points.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import permutations

import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf import grids
from pyvda.io.cf.dimensions import STATE_NAMES, axis, find_time, is_window
from pyvda.io.tables import sampling_geometry
from pyvda.models.registry import families
from pyvda.names import TRUTH
from pyvda.state.space import StateSpace

_MOST = 6  # variables that a message lists


def refused_grid(ds: xr.Dataset, files: Sequence[Hashable], space: StateSpace | None) -> InputError:
    """Return the refusal of fields on a grid, with remedies that work for this state.

    Parameters
    ----------
    ds : Dataset
    files : sequence of str
        The variables that may be meant, the likeliest first.
    space : StateSpace, optional
        State space of the model, where one is known.
    """
    file = likeliest(files)
    time, window = leading_of(ds, file)
    grid = [dim for dim in ds[file].dims if dim not in (time, window)]
    sizes = ", ".join(f"{dim}={ds.sizes[dim]}" for dim in grid)
    if space is not None and len(space.variables) == 1:
        (own,) = space.variables
        if len(grid) > 1 and sorted(own.shape) == sorted(ds.sizes[dim] for dim in grid):
            return InputError(
                f"{_have(ds, files, file)}, of the size of the model's {own.name} but of another "
                f"name; say that it is the variable to assimilate (variable, --variable {file})"
            )
    remedies = []
    if space is not None:
        if len(grid) == 2:
            for one, other in permutations(grid):
                if ds.sizes[other] == space.size:
                    remedies.append(f"take one index of {one!r} (ds.isel({one}=0))")
                    remedies.append(f"rename {one!r} to 'window' if it counts independent windows")
        if _product(ds, grid) == space.size:
            remedies.append(f"stack them to one (ds.stack(state={tuple(map(str, grid))}))")
        if any(len(one.dims) == len(grid) > 1 for one in space.variables):
            remedies.append("give the model the size of this grid (--parameter, get_model)")
    remedies += _filled(ds, file)
    remedies += [
        f"name the model of this grid (--model {name} --variable {file})"
        for name in _models_over(ds, grid)
        if space is None or families()[name].model().state_space != space
    ]
    remedies.append(
        f"choose a model of fields over {sizes}, such as one of your own (model, --model "
        f"models.py:NAME --variable {file})"
    )
    has = "" if space is None else f", but the model has {written(space)}"
    several = len(_alike(ds, files, file)) > 1
    kind = "fields on a grid" if several else "a field on a grid"
    return InputError(f"{_have(ds, files, file)}, {kind}{has}; {', or '.join(remedies)}")


def no_field(ds: xr.Dataset) -> InputError:
    """Return the refusal of a Dataset without a variable over time and two dimensions of space."""
    wanted = "expected time and two dimensions of space, such as (time, lat, lon)"
    found = grids.measured(ds)
    if not found:
        known = ", ".join(map(str, ds.data_vars)) or "none"
        return InputError(
            f"none of the variables ({known}) holds real numbers that may be observations, "
            f"{wanted}; check that it is the right file, or group"
        )
    return InputError(f"{_have(ds, found, found[0])}, {wanted}; {not_a_field(ds, found[0])}")


def not_a_field(ds: xr.Dataset, name: str) -> str:
    """Return how to make a field over time, y and x of a variable, or an alternative."""
    time = find_time(ds, ds[name].dims)[0]
    rest = [dim for dim in ds[name].dims if dim != time]
    if len(rest) > 2 and time is not None:
        more = [dim for dim in rest if str(dim) not in _last_two(ds, name)]
        taken = ", ".join(f"{dim}=0" for dim in more)
        return (
            f"take one index of each other dimension (ds.isel({taken})) and give that Dataset to "
            f"pyvda.assimilate, variable={name!r}"
        )
    if time is None and len(rest) == 2 and grids.has_places(ds, [str(dim) for dim in rest]):
        when = str(ds.attrs.get("time_coverage_start", "2000-01-01"))[:10]
        return (
            f"add the time (ds.expand_dims(time=[numpy.datetime64({when!r}, 'ns')])) and join "
            "several times to one file (xarray.concat), because a covariance is fitted to several"
        )
    if ds[name].ndim == 1 and sampling_geometry.positions(ds):
        return (
            "data at points are mapped by oi (--method oi --grid GRID), or need a model "
            "of the field, with operator=pyvda.operators.Interpolation(coordinates={...})"
        )
    return "without such a variable name a model whose state this is (model, --model)"


def several(ds: xr.Dataset, candidates: Sequence[str], space: StateSpace | None) -> InputError:
    """Return the refusal of several variables over time and one dimension, without a choice."""
    if space is not None and not any(_size(ds, name) == space.size for name in candidates):
        return _no_state_vectors(ds, candidates, space)
    model = "" if space is None else f", and the model has {written(space)}"
    name = likeliest(candidates)
    return InputError(
        f"several variables may be the observations: {', '.join(candidates)}{model}; "
        f"choose one by its name (variable={name!r}, --variable {name})"
    )


def no_observations(ds: xr.Dataset, space: StateSpace | None) -> InputError:
    """Return the refusal of a Dataset in which nothing was recognised as observations."""
    if not ds.data_vars:
        return InputError("there are no variables; check that it is the right file, or group")
    model = "" if space is None else f", and the model has {written(space)}"
    found = over_time(ds)
    if found == [TRUTH]:
        return InputError(
            "the file has a truth and no observations; make them with pyvda observe (pyvda.observe)"
        )
    on_grids = [n for n in (*grids.fields(ds), *found) if grid_of(ds, n)]
    if on_grids:
        return refused_grid(ds, list(dict.fromkeys(on_grids)), space)
    vectors = [name for name in found if ds[name].ndim > 1]
    if vectors:
        return _no_state_vectors(ds, vectors, space)
    where = sampling_geometry.positions(ds)
    known = [name for name in found if name not in where] or sorted(map(str, ds.data_vars))
    the = f"the variable{_s(known)} {', '.join(known)}"
    flat = all(array.ndim <= 1 for array in ds.data_vars.values())
    if len({ds[name].dims for name in where}) == 1 and flat:
        return InputError(
            f"{the} {_are(known)} data at points ({', '.join(where)}){model}; for data of a "
            f"field choose a model of it over {', '.join(where)} and give operator="
            "pyvda.operators.Interpolation(coordinates={...}) with its coordinates, or estimate "
            f"it without a model (--method oi --grid GRID --variable {known[0]}), or add a "
            "variable 'component' that says which component of the state each datum is"
        )
    if all(find_time(ds, array.dims)[0] is None for array in ds.data_vars.values()):
        return _no_time(ds, model)
    text = [n for n, v in ds.data_vars.items() if v.dtype.kind in "OSUT" and v.size]
    if not found and text and not ds[text[0]].chunks:
        first = next((one for one in ds[text[0]].values.ravel() if one is not None), "")
        return InputError(
            f"variable {text[0]!r} holds text, such as {str(first)[:40]!r}, and none holds real "
            f"numbers over time{model}; correct what is no number, or convert it (astype(float))"
        )
    if not found:
        return InputError(
            "no variable holds real numbers over time that may be observations (the variables are "
            f"{', '.join(sorted(map(str, ds.data_vars)))}{model}); check that it is the right "
            "file, or group, or choose one by its name (variable, --variable)"
        )
    if len(found) > 1 and not is_long_table(ds):
        listed = ",".join(found)
        how = (
            f"name the model of which they are the state (--model NAME --variable {listed})"
            if space is None
            else f"list those that make up its state, in its order (variable={listed!r}, "
            f"--variable {listed})"
        )
        return InputError(
            f"{the} have one dimension each{model}; {how}, or stack them into one variable "
            f"(ds[{found!r}].to_array('state').to_dataset(name='observation')), or, if each row is "
            "one datum, add a column 'component' that says which component of the state it observes"
        )
    if len(known) > 1:
        return InputError(
            f"{the} have one dimension each, with one row per datum{model}; put it on a grid of "
            "analysis times by pyvda.on_grid (--grid-step)"
        )
    name = known[0]
    remedy = (
        "name the model of which it is one component (model, --model)"
        if space is None
        else f"rename it to the component that it is (ds.rename({name}={space.names[0]!r}))"
    )
    return InputError(
        f"{the} has one dimension{model}; {remedy}, or, if each row is one datum, add a column "
        "'component' that says which component of the state it observes"
    )


def over_time(ds: xr.Dataset) -> list[str]:
    """Return the variables over time that may hold observed values."""
    return [n for n in grids.measured(ds) if find_time(ds, ds[n].dims)[0] is not None]


def grid_of(ds: xr.Dataset, name: Hashable) -> list[Hashable]:
    """Return the dimensions of a field on a grid; empty for other variables."""
    dims = ds[name].dims
    time = find_time(ds, dims)[0]
    own = [dim for dim in dims if dim != time and not is_window(ds, dim)]
    directions = [dim for dim in own if axis(ds, dim) is not None]
    placed = len(own) == 2 and grids.geographic(ds, list(map(str, own))) is not None
    states = [dim for dim in own if str(dim).lower() in STATE_NAMES]
    is_grid = len(own) >= 2 and (directions or placed) and not states
    return own if time is not None and is_grid else []


def is_long_table(ds: xr.Dataset) -> bool:
    """Tell whether the file has one row per datum, see `tables.on_grid`."""
    return any(name in ds.variables for name in ("component", "operator"))


def _no_time(ds: xr.Dataset, model: str) -> InputError:
    dims = {array.dims for array in ds.data_vars.values()}
    if all(len(one) == 1 for one in dims):
        dim = next(iter(dims))[0]
        known = sorted(map(str, ds.data_vars))
        return InputError(
            f"the variable{_s(known)} {', '.join(known)} lie{'' if len(known) > 1 else 's'} along "
            f"{dim!r}, and none is recognised as its time{model}; add the times as a coordinate "
            f"'time' along {dim!r}"
        )
    has = ", ".join(f"{name}({', '.join(map(str, ds[name].dims))})" for name in ds.data_vars)
    maps = [
        name for name in grids.measured(ds)
        if ds[name].ndim == 2 and grids.has_places(ds, list(map(str, ds[name].dims)))
    ]  # fmt: skip
    remedy = (
        not_a_field(ds, maps[0])
        if maps
        else "if one of its dimensions is time, call it 'time', or give its coordinate the "
        "attribute axis='T'"
    )
    return InputError(f"none of the variables {has} lies along a time{model}; {remedy}")


def _no_state_vectors(ds: xr.Dataset, names: Sequence[str], space: StateSpace | None) -> InputError:
    """Return the refusal of variables over time and more, such as those of moorings."""
    name = likeliest(names)
    time, window = leading_of(ds, name)
    own = [str(dim) for dim in ds[name].dims if dim not in (time, window)]
    sizes = ", ".join(f"{dim}={ds.sizes[dim]}" for dim in own)
    model = ", and no model was named" if space is None else f", but the model has {written(space)}"
    remedies = [
        f"name a model with a variable over {sizes} (--model models.py:NAME --variable {name})"
    ]
    if len(own) == 1:
        remedies.append(
            f"choose it and rename {own[0]!r} if that counts the components of a model's state "
            f"(ds[[{name!r}]].rename({own[0]}='state'))"
        )
    return InputError(f"{_have(ds, names, name)}{model}; {', or '.join(remedies)}")


def _s(known: Sequence[str]) -> str:
    return "s" if len(known) > 1 else ""


def _are(known: Sequence[str]) -> str:
    return "are" if len(known) > 1 else "is"


def likeliest(names: Sequence[Hashable]) -> str:
    """Return the variable that a remedy names: one called after observations, else the first."""
    called = [name for name in names if "obs" in str(name).lower()]
    others = [name for name in names if "truth" not in str(name).lower()]
    return str((called or others or list(names))[0])


def described(ds: xr.Dataset, file: Hashable) -> str:
    """Return what a variable of the file has, for messages."""
    sizes = ", ".join(f"{dim}={n}" for dim, n in ds[file].sizes.items())
    return f"variable {file!r} has dimensions ({sizes})"


def written(space: StateSpace) -> str:
    """Return the variables of a state with their dimensions, for messages."""
    parts = []
    for variable in space.variables:
        sizes = ", ".join(f"{dim}={n}" for dim, n in variable.sizes.items())
        parts.append(f"{variable.name}({sizes})" if sizes else variable.name)
    return f"the variable{'s' if len(parts) > 1 else ''} {', '.join(parts)}"


def leading_of(ds: xr.Dataset, file: Hashable) -> tuple[Hashable | None, Hashable | None]:
    """Return the dimensions of time and of windows of a variable."""
    time = find_time(ds, ds[file].dims)[0]
    windows = [dim for dim in ds[file].dims if dim != time and is_window(ds, dim)]
    return time, windows[0] if windows else None


def _filled(ds: xr.Dataset, name: str) -> list[str]:
    """Return how a field is filled without a model, where that is possible."""
    space = grids.space_of(ds, name)
    if space is not None and grids.has_places(ds, space):
        if _product(ds, space) == 1:  # a station, whose covariance in space nothing shows
            return []
        return [f"fill gaps without a model (--method oi --variable {name})"]
    time = find_time(ds, ds[name].dims)[0]
    if time is None or not grids.has_places(ds, _last_two(ds, name)):
        return []
    more = [str(d) for d in ds[name].dims if d != time and str(d) not in _last_two(ds, name)]
    taken = ", ".join(f"{dim}=0" for dim in more)
    return [
        f"take one index of {', '.join(map(repr, more))} (ds.isel({taken})) and fill gaps "
        f"without a model (method='oi', variable={name!r})"
    ]


def _models_over(ds: xr.Dataset, grid: Sequence[Hashable]) -> list[str]:
    """Return the built-in models with one variable over such a grid."""
    found = []
    for name, family in families().items():
        space = family.model().state_space
        if space is None or len(space.variables) != 1 or len(space.variables[0].dims) < 2:
            continue
        sizes = space.variables[0].sizes
        at = {dim: str(dim) if str(dim) in sizes else (axis(ds, dim) or "").lower() for dim in grid}
        if {to: ds.sizes[dim] for dim, to in at.items()} == sizes:
            found.append(name)
    return found


def _last_two(ds: xr.Dataset, name: str) -> tuple[str, ...]:
    """Return the dimensions of space of a variable with more than those."""
    time = find_time(ds, ds[name].dims)[0]
    rest = [str(dim) for dim in ds[name].dims if dim != time]
    horizontal = [dim for dim in rest if axis(ds, dim) in ("X", "Y")]
    return tuple(horizontal if len(horizontal) == 2 else rest[-2:])


def _alike(ds: xr.Dataset, names: Sequence[Hashable], name: Hashable) -> list[str]:
    return [str(one) for one in names if ds[one].dims == ds[name].dims]


def _have(ds: xr.Dataset, names: Sequence[Hashable], name: Hashable) -> str:
    alike = _alike(ds, names, name)
    if len(alike) < 2:
        return described(ds, name)
    sizes = ", ".join(f"{dim}={n}" for dim, n in ds[name].sizes.items())
    listed = ", ".join(map(repr, alike[:_MOST])) + (", ..." if len(alike) > _MOST else "")
    return f"variables {listed} have dimensions ({sizes})"


def _size(ds: xr.Dataset, name: str) -> int:
    return _product(ds, [dim for dim in ds[name].dims if dim not in leading_of(ds, name)])


def _product(ds: xr.Dataset, dims: Sequence[Hashable]) -> int:
    found = 1
    for dim in dims:
        found *= ds.sizes[dim]
    return found
