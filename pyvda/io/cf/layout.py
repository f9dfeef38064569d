"""Named variables to state vectors and back, with nothing of the file lost on the way.

`stacked` turns the variables of a match into `observation` (window, time, state) and writes down in
the attribute `pyvda_state` how they looked; `restored` gives an analysis these names, dimensions
and attributes again; `restacked` reads such an analysis.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import references
from pyvda.io.cf.matching import Match
from pyvda.io.pairs import aligned
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.state.space import StateSpace, Variable

STATE_ATTRIBUTE = "pyvda_state"
_NUMBERS = "fiu"  # kinds of arrays that an attribute may be
# Attributes that describe the observations' file: how they are stored, which of them are valid.
_OF_THE_FILE = frozenset(
    ("ancillary_variables", "coordinates", "_FillValue", "missing_value", "scale_factor",
     "add_offset", "_Unsigned")
)  # fmt: skip
_SUFFIXES = {
    names.ANALYSIS: "",
    names.INNOVATION: "_innovation",
    names.FLAG: "_flag",
    names.BACKGROUND: "_background",
    names.STATE_STDEV: "_stdev",
    names.MINIMUM_STATE: "_minimum",
}


def stacked(
    ds: xr.Dataset,
    match: Match,
    errors: Mapping[str, str],
    roles: Mapping[Hashable, str],
    rejected: Mapping[str, xr.Variable] | None = None,
) -> tuple[dict[str, xr.Variable], str]:
    """Return `observation`, and where the file has them its errors and truth, as state vectors.

    Parameters
    ----------
    ds : Dataset
        The file's.
    match : Match
    errors : mapping
        For each of the match's variables the variable with its standard deviations, or nothing.
    roles : mapping
        {dimension in the file: window or time}.
    rejected : mapping of variables, optional
        What was rejected of each variable of the file, see `quality.screened`.

    Returns
    -------
    dict of (window, time, state) or (time, state) variables
    str
        The value of the attribute `pyvda_state`.

    Raises
    ------
    InputError
        When only some of the observed variables have errors.
    """
    data = {names.OBSERVATION: _stack(ds, match, match.files, roles, observed=True)}
    if errors:
        without = [
            file for name, file in match.files.items()
            if name not in errors and bool(ds[file].notnull().any())
        ]  # fmt: skip
        if without:
            raise InputError(
                f"the variables {', '.join(errors.values())} give the errors of some observations, "
                f"but {', '.join(without)} has none; give all observed variables errors, or none"
            )
        data[names.OBSERVATION_ERROR] = _stack(ds, match, errors, roles)
    if rejected:
        codes = {name: file for name, file in match.files.items() if file in rejected}
        whole = _stack(ds.assign(rejected), match, codes, roles)
        data[names.REJECTED] = whole.fillna(0).astype(np.int8)
        comments = dict.fromkeys(str(one.attrs.get("comment", "")) for one in rejected.values())
        data[names.REJECTED].attrs = {"comment": "; ".join(comments)}
    truth = {name: f"{file}_{names.TRUTH}" for name, file in match.files.items()}
    if all(name in ds.variables for name in truth.values()):
        data[names.TRUTH] = _stack(ds, match, truth, roles)
    return data, json.dumps(_description(ds, match, roles), default=_as_json)


def restored(ds: xr.Dataset) -> xr.Dataset:
    """Return an analysis with the variables and dimensions of the file that was assimilated.

    `analysis` becomes the variables themselves, and `innovation`, `flag` and `state_stdev` become
    `<name>_innovation`, `<name>_flag` and `<name>_stdev`. A Dataset without the attribute
    `pyvda_state` is returned as it is.
    """
    layout = _layout(ds)
    if layout is None or ds.sizes.get(names.STATE) != _space(layout).size:
        return ds
    space = _space(layout)
    data: dict[Hashable, xr.Variable] = {}
    for name, array in ds.data_vars.items():
        if names.STATE not in array.dims:
            data[name] = array.variable
            continue
        for one, part in _parts(array.variable, space).items():
            full = _name_in(layout, one, str(name))
            data[full] = _finished(part, str(name), layout, one, set(ds.data_vars))
    coords = {n: c.variable for n, c in ds.coords.items() if names.STATE not in c.dims}
    dims = dict(layout["leading"])
    labels = {**dims, **({names.TIME: layout["time"]} if layout["time"] else {})}
    found = _relabelled(data, coords, ds.attrs, dims, labels)
    found.encoding = dict(ds.encoding)
    if "unlimited_dims" in ds.encoding:
        found.encoding["unlimited_dims"] = {
            dims.get(dim, dim) for dim in ds.encoding["unlimited_dims"]
        }
    return found


def of_model(ds: xr.Dataset, model: Model, *, named: bool = False) -> xr.Dataset:
    """Return state vectors that came from no variables of a file, to be restored to the model's.

    A state without structure (scalars, or one variable along one dimension) stays a vector, unless
    the data were `named` by the model's variables or dimensions.
    """
    space = model.state_space
    if space is None:
        return ds
    structured = any(len(v.dims) > 1 for v in space.variables)
    several = len(space.variables) > 1 and any(v.dims for v in space.variables)
    if not (structured or several or named):
        return ds
    leading = [dim for dim in (names.WINDOW, names.TIME) if dim in ds[names.OBSERVATION].dims]
    roles: dict[Hashable, str] = {dim: dim for dim in leading}
    window = names.WINDOW if names.WINDOW in leading else None
    description = _description(ds, Match(space, {}, {}, names.TIME, window), roles)
    for variable in space.variables:
        description["variables"][variable.name]["inverse"] = {d: d for d in variable.dims}
        description["dims"][variable.name] = {d: d for d in variable.dims}
    return ds.assign_attrs({STATE_ATTRIBUTE: with_time(json.dumps(description), names.TIME)})


def sea(ds: xr.Dataset, state_size: int) -> np.ndarray:
    """Return which components of the state of an analysis are not on land, (D,) bool."""
    layout = _layout(ds)
    if layout is None or _space(layout).size != state_size:
        return np.ones(state_size, bool)
    return _space(layout).sea


def variables(ds: xr.Dataset, state_size: int) -> list[tuple[str, slice]]:
    """Return the fields that make the state of an analysis, names and components, if it has any."""
    layout = _layout(ds)
    if layout is None or _space(layout).size != state_size:
        return []
    space = _space(layout)
    return [(one.name, space.slices()[one.name]) for one in space.variables if one.dims]


def of_file(ds: xr.Dataset) -> list[tuple[str, slice, dict[str, Any]]]:
    """Return name, components and attributes of the file's variables that make the state vectors.

    None where the file has state vectors.
    """
    layout = _layout(ds)
    if layout is None or _space(layout).size != ds.sizes.get(names.STATE):
        return []
    place = _space(layout).slices()
    return [(str(v["name"]), place[name], v["attrs"]) for name, v in layout["variables"].items()]


def component_labels(ds: xr.Dataset) -> list[str]:
    """Return name and unit of each component of an analysis that has the variables of a file.

    Such as "sst (K)" and "u[2] (m s-1)"; no labels where the analysis has state vectors.
    """
    layout = _layout(ds)
    if layout is None or names.ANALYSIS in ds:
        return []
    labels = []
    for one in _space(layout).variables:
        name = _name_in(layout, one.name, names.ANALYSIS)
        units = str(ds[name].attrs.get("units", "")) if name in ds else ""
        unit = "" if units in ("", "1") else f" ({units})"
        labels += [f"{name}{list(index) or ''}{unit}" for index in np.ndindex(*one.shape)]
    return labels


def with_time(description: str, time: Hashable | None) -> str:
    """Return the value of `pyvda_state` with the name of the coordinate of times added."""
    return json.dumps({**json.loads(description), "time": None if time is None else str(time)})


def output_names(ds: xr.Dataset) -> frozenset[str]:
    """Return the names that variables of the analysis of these observations may have.

    Raises
    ------
    InputError
        An observed variable is called like one of the others.
    """
    layout = _layout(ds)
    if layout is None or ds.sizes.get(names.STATE) != _space(layout).size:
        return names.OUTPUTS
    files = [str(one["name"]) for one in layout["variables"].values()]
    own = [_name_in(layout, one, output) for one in _space(layout).names for output in _SUFFIXES]
    reserved = names.OUTPUTS | {names.OBSERVATION, names.TRUTH, names.WINDOW_NUMBER}
    taken = [one for one in files if one in reserved or own.count(one) > 1]
    if taken:
        of_model = taken[0] in _space(layout).names
        raise InputError(
            f"the observed variable {taken[0]!r} has the name of another variable of the analysis; "
            f"rename it (ds.rename({taken[0]}={taken[0] + '_observed'!r}))"
            f"{', and the variable of the model, too' if of_model else ''}"
        )
    return names.OUTPUTS - set(_SUFFIXES) | set(own)


def state_space(ds: xr.Dataset) -> StateSpace | None:
    """Return the state space whose variables an analysis has; None where it has state vectors."""
    layout = _layout(ds)
    return None if layout is None else _space(layout)


def own_dims(ds: xr.Dataset) -> set[str] | None:
    """Return the dimensions of the variables that were stacked; None where none were."""
    layout = _layout(ds)
    if layout is None or ds.sizes.get(names.STATE) != _space(layout).size:
        return None
    return _own_dims(layout)


def restacked(ds: xr.Dataset, like: xr.Dataset | None = None) -> xr.Dataset:
    """Return an analysis or a truth with state vectors: the reverse of `restored`.

    Parameters
    ----------
    ds : Dataset
        Its dimensions in any order.
    like : Dataset, optional
        The analysis whose variables these are. Default: `ds` itself says it.

    Raises
    ------
    InputError
        When a variable is missing or has other dimensions, or a dimension of the state has other
        coordinates than in `like`.
    """
    layout = _layout(ds if like is None else like)
    if layout is None or names.ANALYSIS in ds or names.TRUTH in ds:
        return _in_order(ds)
    space = _space(layout)
    if like is not None:
        ds = aligned(ds, like, _own_dims(layout))
    back = _own_names(ds, layout)
    data = {n: v.variable for n, v in back.data_vars.items()}
    target = names.ANALYSIS if like is None else names.TRUTH
    for output in _SUFFIXES if like is None else (names.ANALYSIS,):
        parts = [_name_in(layout, one, output) for one in space.names]
        if output == names.MINIMUM_STATE:
            continue
        if output != names.ANALYSIS and not all(name in data for name in parts):
            continue
        values = _stacked_parts(back, layout, output)
        for full in parts:
            del data[full]
        data[target if output == names.ANALYSIS else output] = values
    return xr.Dataset(data, back.coords, ds.attrs)


def _in_order(ds: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose state vectors have the order (window, time, state)."""
    found = {}
    for name, array in ds.data_vars.items():
        order = [dim for dim in names.DIMENSIONS if dim in array.dims]
        if names.STATE in order and len(order) == array.ndim and list(array.dims) != order:
            found[name] = array.transpose(*order)
    return ds.assign(found) if found else ds


def output_vectors(ds: xr.Dataset, output: str) -> xr.DataArray | None:
    """Return one output of an analysis, such as `innovation`, as state vectors; lazy where it is.

    Its dimensions are pyvda's, such as (window, time, state). None: the analysis does not have it.
    """
    layout = _layout(ds)
    if output in ds:
        return ds[output].transpose(..., names.TIME, names.STATE, missing_dims="ignore")
    parts = [] if layout is None else [_name_in(layout, n, output) for n in _space(layout).names]
    if layout is None or not all(name in ds for name in parts):
        return None
    return xr.DataArray(_stacked_parts(_own_names(ds[parts], layout), layout, output))


def _own_names(ds: xr.Dataset, layout: Mapping[str, Any]) -> xr.Dataset:
    """Return an analysis with pyvda's names of windows and times."""
    dims = {old: new for new, old in layout["leading"].items()}
    labels = {**dims, **({layout["time"]: names.TIME} if layout["time"] else {})}
    return _relabelled(
        {n: v.variable for n, v in ds.data_vars.items()},
        {n: v.variable for n, v in ds.coords.items()},
        ds.attrs, dims, labels,
    )  # fmt: skip


def _stacked_parts(back: xr.Dataset, layout: Mapping[str, Any], output: str) -> xr.Variable:
    """Return the parts of an output, which are variables of the file, as state vectors."""
    space = _space(layout)
    parts = {one: _name_in(layout, one, output) for one in space.names}
    whole = xr.Dataset({one: back[full] for one, full in parts.items() if full in back})
    for one, dims in layout["dims"].items():
        here = {d: to for d, to in dims.items() if d in whole[one].dims}
        whole[one] = whole[one].rename(here)
    leading = [dim for dim in (names.WINDOW, names.TIME) if dim in whole.dims]
    values = space.stack(whole)
    return xr.Variable((*leading, names.STATE), values if names.WINDOW in leading else values[0])


def _stack(
    ds: xr.Dataset,
    match: Match,
    files: Mapping[str, str],
    roles: Mapping[Hashable, str],
    *,
    observed: bool = False,
) -> xr.Variable:
    """Return the variables as state vectors; NaN where the file lacks a variable of the state.

    Values on land become NaN, too, which is said of what was `observed`, unless it is lazy.
    """
    leading = [role for role in (names.WINDOW, names.TIME) if role in roles.values()]
    sizes = {role: ds.sizes[dim] for dim, role in roles.items()}
    columns = []
    for variable in match.space.variables:
        whole = (*leading, *variable.dims)
        if variable.name not in files:
            shape = [sizes[role] for role in leading]
            missing = np.broadcast_to(np.nan, (*shape, variable.size))
            columns.append(xr.Variable((*leading, names.STATE), missing))
            continue
        to = {**roles, **match.dims[variable.name]}
        one = _with_dims(ds.variables[files[variable.name]], to)
        absent = {dim: {**sizes, **variable.sizes}[dim] for dim in whole if dim not in one.dims}
        one = one.set_dims({**absent, **one.sizes}) if absent else one
        one = one.transpose(*whole).astype(np.float64, copy=False)
        if variable.dims:
            one = one.stack({names.STATE: variable.dims})
        else:
            one = one.set_dims({**one.sizes, names.STATE: 1})
        columns.append(xr.Variable(one.dims, one.data))
    found = xr.Variable.concat(columns, names.STATE)
    if match.space.land is not None:
        if observed:
            _say_what_lies_on_land(found, match.space.sea)
        found = found.where(xr.Variable(names.STATE, match.space.sea))
    return found.transpose(*leading, names.STATE)


def _say_what_lies_on_land(values: xr.Variable, sea: np.ndarray) -> None:
    if values.chunks is not None:
        return
    there = values.transpose(..., names.STATE).notnull().values
    count = int(there[..., ~sea].sum())
    if count:
        notice(f"{count} of {int(there.sum())} observations lie on land and are not used")


def _description(ds: xr.Dataset, match: Match, roles: Mapping[Hashable, str]) -> dict[str, Any]:
    variables = {}
    for variable in match.space.variables:
        file = match.files.get(variable.name)
        inverse = {to: d for d, to in match.dims.get(variable.name, {}).items()}
        attrs = dict(references.with_attributes(ds[file].variable).attrs) if file is not None else {
            k: v for k, v in asdict(variable).items() if k in ("standard_name", "units") and v
        }  # fmt: skip
        attrs = {k: v for k, v in attrs.items() if k not in _OF_THE_FILE}
        leading = [dim for dim, role in sorted(roles.items(), key=lambda item: item[1] != "window")]
        variables[variable.name] = {
            "name": file or variable.name,
            "dims": [str(d) for d in (ds[file].dims if file else (*leading, *variable.dims))],
            "attrs": attrs,
            "inverse": {to: str(d) for to, d in inverse.items()},
        }
    return {
        "space": [asdict(variable) for variable in match.space.variables],
        "land": None if match.space.land is None else match.space.land.hex(),
        "leading": {role: str(dim) for dim, role in roles.items()},
        "variables": variables,
        "dims": {n: {str(d): to for d, to in found.items()} for n, found in match.dims.items()},
    }


def _layout(ds: xr.Dataset) -> dict[str, Any] | None:
    text = ds.attrs.get(STATE_ATTRIBUTE)
    if text is None:
        return None
    try:
        layout = json.loads(text, object_hook=_from_json)
        _space(layout)
        return {
            key: layout[key] for key in ("space", "land", "leading", "variables", "dims", "time")
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the attribute {STATE_ATTRIBUTE} is not what pyvda wrote; give the file as pyvda "
            "made it, or remove the attribute"
        ) from error


def _own_dims(layout: Mapping[str, Any]) -> set[str]:
    return {dim for one in layout["variables"].values() for dim in one["inverse"].values()}


def _space(layout: Mapping[str, Any]) -> StateSpace:
    land = layout["land"]
    return StateSpace(
        tuple(Variable(**one) for one in layout["space"]),
        None if land is None else bytes.fromhex(land),
    )


def _relabelled(
    data: Mapping[Hashable, xr.Variable],
    coords: Mapping[Hashable, xr.Variable],
    attrs: Mapping[Any, Any],
    dims: Mapping[str, str],
    labels: Mapping[str, str],
) -> xr.Dataset:
    """Return a Dataset with other names of dimensions and of their coordinates."""
    return xr.Dataset(
        {name: _with_dims(v, dims) for name, v in data.items()},
        {labels.get(str(name), name): _with_dims(v, dims) for name, v in coords.items()},
        attrs,
    )


def _with_dims(variable: xr.Variable, to: Mapping[Any, str]) -> xr.Variable:
    """Return the variable with other names of dimensions."""
    # `dims` is set on a shallow copy because other ways of renaming would read lazy values.
    one = variable.to_base_variable().copy(deep=False)
    one.dims = tuple(to.get(dim, to.get(str(dim), dim)) for dim in variable.dims)
    return one


def _parts(array: xr.Variable, space: StateSpace) -> dict[str, xr.Variable]:
    """Return {variable of the state: (..., its dimensions)}; lazy where `array` is."""
    array = array.transpose(..., names.STATE)
    found = {}
    for variable in space.variables:
        values = array.data[..., space.slices()[variable.name]]
        values = values.reshape(*array.shape[:-1], *variable.shape)
        part = xr.Variable((*array.dims[:-1], *variable.dims), values, array.attrs)
        if space.land is not None:
            sea = space.sea[space.slices()[variable.name]].reshape(variable.shape)
            if part.dtype.kind == "f":
                part = part.where(xr.Variable(variable.dims, sea))
            else:
                part = part.where(xr.Variable(variable.dims, sea), part.dtype.type(names.Flag.LAND))
        found[variable.name] = part
    return found


def _name_in(layout: Mapping[str, Any], variable: str, output: str) -> str:
    """Return the name in the analysis file of one variable's part of an output."""
    name = str(layout["variables"][variable]["name"])
    if name == names.OBSERVATION:
        return output
    return f"{name}{_SUFFIXES.get(output, f'_{output}')}"


def _finished(
    part: xr.Variable, output: str, layout: Mapping[str, Any], one: str, outputs: set[Hashable]
) -> xr.Variable:
    """Return the part with the file's order of dimensions and attributes."""
    described = layout["variables"][one]
    part = part.copy(deep=False)
    leading = {old: new for new, old in layout["leading"].items()}
    own = {str(old): to for to, old in described["inverse"].items()}
    order = [{**leading, **own}.get(dim, dim) for dim in described["dims"]]
    order = [dim for dim in order if dim in part.dims]
    rest = [dim for dim in part.dims if dim not in order]
    part = part.transpose(*rest, *order)
    back = described["inverse"]
    part.dims = tuple(back.get(str(dim), dim) for dim in part.dims)
    attrs = dict(part.attrs)
    units = {k: v for k, v in described["attrs"].items() if k == "units"}
    if output == names.ANALYSIS:
        related = [names.FLAG, names.STATE_STDEV]
        ancillary = [_name_in(layout, one, n) for n in related if n in outputs]
        attrs = {**names.attributes(names.ANALYSIS), **described["attrs"]}
        attrs["ancillary_variables"] = " ".join(ancillary)
    elif output != names.FLAG:
        attrs = {**names.attributes(output), **units}
        standard_name = str(described["attrs"].get("standard_name", ""))
        if output == names.STATE_STDEV and standard_name and " " not in standard_name:
            attrs["standard_name"] = f"{standard_name} standard_error"
    part.attrs = attrs
    return part


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind not in _NUMBERS:
        return np.asarray(value).astype(str).tolist()
    if isinstance(value, np.ndarray | np.generic):
        return {"dtype": np.asarray(value).dtype.str, "value": np.asarray(value).tolist()}
    return str(value)


def _from_json(found: dict[str, Any]) -> Any:
    if set(found) == {"dtype", "value"}:
        dtype = np.dtype(found["dtype"])
        if dtype.kind == "U":  # of files by earlier versions
            return found["value"]
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"an attribute of type {dtype}")
        array = np.array(found["value"], dtype=dtype)
        return array if array.ndim else array[()]
    return found
