"""Match the variables of a file with those of a model's state.

By the model's names, by CF `standard_name`, or in the order in which the user lists them; the
dimensions of each by name, by CF axis, or, where one is left on both sides, by elimination.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf.dimensions import axis, find_time, is_window
from pyvda.io.cf.unsuitable import described, leading_of, written
from pyvda.state.space import StateSpace, Variable

_Known = TypeVar("_Known")


@dataclass(frozen=True)
class Match:
    """Variables of a file that make a state.

    Attributes
    ----------
    space : StateSpace
        The state, in the model's order.
    files : dict
        {variable of the state: its name in the file}, without those that the file lacks.
    dims : dict
        {variable of the state: {dimension in the file: dimension of the model}}.
    time, window : hashable
        Dimensions in the file; `window` is None for a series.
    """

    space: StateSpace
    files: dict[str, str]
    dims: dict[str, dict[Hashable, str]]
    time: Hashable
    window: Hashable | None


def wanted(variable: str | Sequence[str] | None, ds: xr.Dataset) -> list[str] | None:
    """Return the variables that the user lists: "x,y,z", or a sequence of names."""
    if variable is None:
        return None
    if isinstance(variable, str):
        listed = [variable] if variable in ds.variables else variable.split(",")
    else:
        listed = list(variable)
    listed = [str(one).strip() for one in listed]
    if not listed or not all(listed) or len(set(listed)) != len(listed):
        raise InputError(
            f"variable is {variable!r}, expected different names separated by commas, such as x,y,z"
        )
    return listed


def by_name(ds: xr.Dataset, name: str) -> str:
    """Return the variable of this name or CF `standard_name`.

    Raises
    ------
    InputError
        When there is none, or several have the standard_name.
    """
    if name in ds.variables:
        return name
    found = [str(n) for n in ds.cf.standard_names.get(name, []) if n in ds.variables]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"standard_name {name!r} belongs to {', '.join(found)}; choose one of these names"
        )
    known = ", ".join(sorted(str(name) for name in ds.data_vars)) or "none"
    raise InputError(
        f"no variable has the name or standard_name {name!r}; the variables are {known}"
    )


def several(ds: xr.Dataset, listed: Sequence[str], space: StateSpace | None) -> Match:
    """Return the listed variables as a state.

    Parameters
    ----------
    listed : sequence of str
        Names or standard names. Where none of them is the model's they are taken in the model's
        order.
    space : StateSpace, optional
        The model's. Default: what the variables themselves make.

    Raises
    ------
    InputError
        When one is missing, only some of them are the model's, or they do not make its state.
    """
    files = [by_name(ds, name) for name in listed]
    time, window = _leading(ds, files)
    own = [[dim for dim in ds[name].dims if dim not in (time, window)] for name in files]
    columns = not any(own)
    if space is None or (columns and len(files) == space.size != len(space.variables)):
        space = StateSpace(
            tuple(
                Variable(name, tuple(map(str, dims)), tuple(ds.sizes[dim] for dim in dims))
                for name, dims in zip(files, own, strict=True)
            )
        )
    paired = _paired(ds, files, space)
    dims = {}
    for name, file in paired.items():
        variable = space.variables[space.names.index(name)]
        found = matched_dims(ds, file, variable, (time, window))
        if found is None:
            raise InputError(f"{described(ds, file)}, but the model has {written(space)}{_HINT}")
        dims[name] = found
    return Match(space, paired, dims, time, window)


def of_model(ds: xr.Dataset, space: StateSpace, only: str | None = None) -> Match | None:
    """Return the variables that have the names and dimensions of the model's, None without any.

    Parameters
    ----------
    only : str, optional
        The one variable that the user chose; it may have another name where the model has one
        variable.

    Raises
    ------
    InputError
        They differ in their dimensions of time or window, or one of them is text.
    """
    files, dims = {}, {}
    text: list[str] = []
    leading: set[tuple[Hashable, Hashable | None]] = set()
    for variable in space.variables:
        for file in _candidates(ds, variable, space, only):
            time = find_time(ds, ds[file].dims)[0]
            windows = [dim for dim in ds[file].dims if dim != time and is_window(ds, dim)]
            window = windows[0] if windows else None
            if time is not None and ds[file].dtype.kind in "OSUT":
                text.append(file)
            if time is None or len(windows) > 1 or ds[file].dtype.kind not in "fiub":
                continue
            found = matched_dims(ds, file, variable, (time, window))
            if found is not None:
                files[variable.name], dims[variable.name] = file, found
                leading.add((time, window))
                break
    if not files:
        return None
    if text:
        raise InputError(
            f"variable {text[0]!r} is one of the model's, but holds {ds[text[0]].dtype} and no "
            "numbers; convert it (astype(float)), or rename it if it is another one"
        )
    if len(leading) > 1:
        raise InputError(
            f"the variables {', '.join(files.values())} differ in their dimensions of time or "
            "window; give all of them the same"
        )
    ((time, window),) = leading
    return Match(space, files, dims, time, window)


def matched_dims(
    ds: xr.Dataset, file: str, variable: Variable, leading: Sequence[Hashable | None]
) -> dict[Hashable, str] | None:
    """Return {dimension in the file: dimension of the model}; None where they do not fit."""
    own = [dim for dim in ds[file].dims if dim not in leading]
    if len(own) != len(variable.dims):
        return None
    found: dict[Hashable, str] = {dim: str(dim) for dim in own if str(dim) in variable.dims}
    left = [dim for dim in own if dim not in found]
    free = [dim for dim in variable.dims if dim not in found.values()]
    if len(left) > 1:
        free_axes = {_axis_of_name(dim): dim for dim in free}
        by_axis = {dim: free_axes.get(axis(ds, dim)) for dim in left}
        if None in by_axis.values() or len(set(by_axis.values())) != len(left):
            return None
        found |= {dim: str(to) for dim, to in by_axis.items()}
    elif left:
        found[left[0]] = free[0]
    fits = all(ds.sizes[dim] == variable.sizes[to] for dim, to in found.items())
    return found if fits else None


def _candidates(
    ds: xr.Dataset, variable: Variable, space: StateSpace, only: str | None
) -> list[str]:
    if only is not None:
        alone = len(space.variables) == 1
        names_of = (variable.name, variable.standard_name)
        its_own = only in names_of or ds[only].attrs.get("standard_name") in names_of
        return [only] if alone or its_own else []
    found = [variable.name] if variable.name in ds.variables else []
    for name, array in ds.data_vars.items():
        standard_name = array.attrs.get("standard_name")
        if (
            standard_name
            and standard_name in (variable.standard_name, variable.name)
            and name not in found
        ):
            found.append(str(name))
    if not found:
        there = {str(name): str(name) for name in ds.data_vars if ds[name].dtype.kind == "f"}
        other = without_case(variable.name, there)
        if other is not None and other not in space.names:
            found.append(other)
    return found


def without_case(name: str, known: Mapping[str, _Known]) -> _Known | None:
    """Return what belongs to a name in capitals or not, where only one does.

    >>> without_case("SST", {"sst": 1, "u": 2}), without_case("t", {"T": 1, "t": 2})
    (1, None)
    """
    alike = [one for one in known if one.lower() == name.lower()]
    return known[alike[0]] if len(alike) == 1 else None


def _paired(ds: xr.Dataset, files: list[str], space: StateSpace) -> dict[str, str]:
    """Return {variable of the state: variable of the file}."""
    known = {v.name: v.name for v in space.variables}
    known |= {v.standard_name: v.name for v in space.variables if v.standard_name}
    named: dict[str, str] = {}
    for file in files:
        own = known.get(file) or known.get(str(ds[file].attrs.get("standard_name")))
        own = own or without_case(file, known)
        if own is not None:
            named.setdefault(own, file)
    if len(named) == len(files):
        return {name: named[name] for name in space.names if name in named}
    if len(files) != len(space.variables):
        raise InputError(
            f"{len(files)} variables are chosen ({', '.join(files)}), but the model has "
            f"{written(space)}; choose one for each, in this order"
        )
    if named:
        other = [file for file in files if file not in named.values()]
        raise InputError(
            f"of the chosen variables {', '.join(named.values())} have the model's names, but "
            f"{', '.join(other)} do not, so the assignment is ambiguous; rename them to the "
            f"model's names ({', '.join(space.names)})"
        )
    return dict(zip(space.names, files, strict=True))


def _leading(ds: xr.Dataset, files: Sequence[str]) -> tuple[Hashable, Hashable | None]:
    found = {leading_of(ds, file) for file in files}
    if len(found) != 1:
        raise InputError(
            f"the variables {', '.join(files)} differ in their dimensions of time or window; give "
            "all of them the same"
        )
    ((time, window),) = found
    if time is None:
        raise InputError(
            f"{described(ds, files[0])} and none is recognised as time; call that of time 'time', "
            "or give its coordinate the attribute axis='T'"
        )
    return time, window


def _axis_of_name(dim: str) -> str | None:
    return axis(xr.Dataset(), dim)


_HINT = "; select or rename its dimensions (the variables are matched by name, then in order)"
