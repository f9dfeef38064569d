"""What a figure of a field needs: analysis, truth, observations and spread as plain arrays."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.io.cf.dimensions import axis, find_time, is_window
from pyvda.io.cf.spacing import SPACINGS, spacing_of
from pyvda.io.pairs import aligned
from pyvda.plotting import window_axes

Array = np.ndarray
_LEADING = (names.WINDOW, names.TIME)


@dataclass(frozen=True)
class Axis:
    """One dimension of the grid: its coordinate and how it is written under an axis."""

    values: Array
    label: str


@dataclass(frozen=True)
class PlottedPoints:
    """Observations at arbitrary times and places: values, times and coordinates, (N,) each."""

    values: Array
    time: Array
    places: tuple[Array, ...]

    def near(self, times: Array, step: int) -> PlottedPoints:
        """Return those that are nearer to a time than to all others, as `times` has them."""
        before, after = times[max(step - 1, 0)], times[min(step + 1, len(times) - 1)]
        first = times[step] - (times[step] - before) / 2
        last = times[step] + (after - times[step]) / 2
        here = (self.time >= first) & (self.time <= last)
        return PlottedPoints(
            self.values[here], self.time[here], tuple(p[here] for p in self.places)
        )


@dataclass(frozen=True)
class PlottedField:
    """A variable of an analysis over T times of one window.

    Attributes
    ----------
    name, units : str
        `units` is "" where there are none.
    time : (T,)
        Dates, or numbers.
    time_label : str
    axes : tuple of Axis
        Axes of the grid, slowest first.
    analysis : (T, *grid)
        NaN on land.
    observation, truth, stdev : (T, *grid), optional
        NaN where nothing was observed.
    points : PlottedPoints, optional
        Observations that are not on the grid.
    land : (*grid) of bool
    spacing : tuple of float
        Mean distance of neighbours along each axis.
    spacing_unit : str
    aspect : float
        Length of one unit of the first coordinate in units of the second, for maps.
    called : {"analysis", "forecast"}
        What `analysis` is.
    """

    name: str
    units: str
    time: Array
    time_label: str
    axes: tuple[Axis, ...]
    analysis: Array
    observation: Array | None
    truth: Array | None
    stdev: Array | None
    land: Array
    spacing: tuple[float, ...]
    spacing_unit: str
    aspect: float = 1.0
    points: PlottedPoints | None = None
    called: str = names.ANALYSIS

    @property
    def error(self) -> Array | None:
        """Analysis minus truth, None without a truth."""
        return None if self.truth is None else self.analysis - self.truth

    def labelled(self, what: str = "") -> str:
        """Return the name and unit of the field, or of `what` in the field's unit."""
        name = what or self.name
        return f"{name} ({self.units})" if self.units else name

    def at(self, step: int) -> str:
        """Return the time of a step as it is written in a title."""
        time = self.time[step]
        if self.time.dtype.kind == "M":
            return str(np.datetime_as_string(time, "m")).replace("T", " ")
        return f"{self.time_label.split(' (')[0] or 'time'} {time:g}"


def renamed(ds: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with pyvda's names of the dimensions of times and windows.

    Longitudes that jump by 360 degrees go on without the jump, so that maps have no seam.
    """
    if names.TIME not in ds.dims and names.TIME not in ds.variables:
        dim, times = find_time(ds, ds.dims)
        if times not in (dim, None):
            ds = ds.set_coords(str(times)).swap_dims({dim: times})
        if dim is not None:
            ds = ds.rename({times if times is not None else dim: names.TIME})
    windows = [dim for dim in ds.dims if is_window(ds, dim)]
    if len(windows) == 1 and names.WINDOW not in ds.variables:
        ds = ds.rename({windows[0]: names.WINDOW})
    return ds.assign_coords(
        {dim: (dim, without_jump(ds[dim].values), ds[dim].attrs) for dim in _longitudes(ds)}
    )


def without_jump(longitude: Array) -> Array:
    """Return longitudes that go on over 0 or 180 degrees, those of a regular axis unchanged.

    >>> without_jump(np.array([358.0, 359.0, 0.0, 1.0]))
    array([-2., -1.,  0.,  1.])
    """
    steps = np.diff(longitude)
    if (steps > 0).all() or (steps < 0).all():
        return longitude
    found = np.unwrap(longitude.astype(float), period=360.0)
    return np.asarray(found - 360.0 * np.floor((found.mean() + 180.0) / 360.0))


def _longitudes(ds: xr.Dataset) -> list[Hashable]:
    """Return the dimensions whose coordinates are longitudes in degrees."""
    return [
        dim for dim in ds.dims
        if dim in ds.coords and ds[dim].dtype.kind in "fiu" and axis(ds, dim) == "X"
        and str(ds[dim].attrs.get("units", "")).startswith("degree")
    ]  # fmt: skip


def as_analysis(ds: xr.Dataset) -> xr.Dataset:
    """Return a forecast as an analysis without observations; anything else as it is."""
    if names.FORECAST in ds and names.ANALYSIS not in ds:
        return ds.rename({names.FORECAST: names.ANALYSIS})
    return ds


def called(ds: xr.Dataset) -> str:
    """Return what the states of a file are: an analysis or a forecast."""
    titled = str(ds.attrs.get("title", "")).startswith("forecast of")  # with variables of its own
    return names.FORECAST if titled or names.FORECAST in ds else names.ANALYSIS


def field_names(analysis: xr.Dataset, least: int = 1) -> list[str]:
    """Return the variables of an analysis that have a grid of `least` to two dimensions."""
    analysis = renamed(analysis)
    found = [
        str(n) for n, v in analysis.data_vars.items()
        if f"{n}_{names.INNOVATION}" in analysis and names.DATUM not in v.dims
    ]  # fmt: skip
    space = None if found else layout.state_space(analysis)  # forecasts have no innovations
    if space is not None:
        found = [n for n in space.names if n in analysis]
    if names.ANALYSIS in analysis and names.STATE in analysis[names.ANALYSIS].dims:
        found = [names.ANALYSIS]
    return [n for n in found if least <= len(grid_of(analysis[n])) <= 2]


def has_maps(analysis: xr.Dataset) -> bool:
    """Tell whether an analysis has a variable that can be drawn as a map."""
    analysis = renamed(analysis)
    return any(len(grid_of(analysis[name])) == 2 for name in field_names(analysis))


def fields_of(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    window: int = 0,
    observations: xr.Dataset | None = None,
    least: int = 1,
) -> list[PlottedField]:
    """Return the fields of an analysis.

    Parameters
    ----------
    analysis : Dataset
    truth : Dataset, optional
        The same variables, or `truth`, at the times of the analysis and perhaps others.
    variables : sequence of str, optional
        Default: all that have a grid.
    window : int
        Which window, where the analysis has several.
    observations : Dataset, optional
        Observations that are not on the grid: a row a datum, with time and position.
    least : int
        The fewest dimensions of a grid; 0 for variables over time alone, too.

    Raises
    ------
    InputError
        There is no such variable or window, or the truth is not that of the analysis.
    """
    what = called(analysis)
    analysis, truth = renamed(as_analysis(analysis)), None if truth is None else renamed(truth)
    able = field_names(analysis, least)
    variables = variables.split(",") if isinstance(variables, str) else variables
    chosen = able if variables is None else list(variables)
    if not chosen or not set(chosen) <= set(able):
        wanted = ", ".join(n for n in chosen if n not in able) or "field"
        others = f", but {', '.join(able)}; choose one of these" if able else ""
        remedy = others or "; choose the kind windows (--kind windows)"
        raise InputError(
            f"the analysis has no {wanted} on a grid of one or two dimensions{remedy}, or select a "
            "level first"
        )
    found = [replace(_field(analysis, truth, name, window), called=what) for name in chosen]
    if observations is None:
        return found
    return [
        replace(
            field,
            points=_points(
                observations, field, grid_of(analysis[field.name]), window, _longitudes(analysis)
            ),
        )
        for field in found
    ]


def _points(
    ds: xr.Dataset,
    field: PlottedField,
    grid: Sequence[Hashable],
    window: int,
    turning: Sequence[Hashable],
) -> PlottedPoints | None:
    """Return the data of a variable; None where the file has none of it.

    `turning` are the dimensions of the grid that are longitudes.
    """
    if field.name not in ds:
        return None
    needed = (names.TIME, *grid)
    along = ds[field.name].dims
    if len(along) != 1 or any(n not in ds.variables or ds[n].dims != along for n in needed):
        raise InputError(
            f"the observations of {field.name} have no {', '.join(map(str, needed))} for each "
            "datum; give a file with a row a datum, or leave the observations out"
        )
    here = np.ones(ds.sizes[along[0]], bool)
    if names.WINDOW in ds.variables and ds[names.WINDOW].dims == along:
        here = ds[names.WINDOW].values == window
    values, time, *places = (ds[n].values[here] for n in (field.name, *needed))
    kinds = {time.dtype.kind, field.time.dtype.kind}
    if not (kinds <= set("fiu") or kinds == {"M"}):
        raise InputError(
            f"the observations have times of type {time.dtype} and the analysis "
            f"{field.time.dtype}; give the observations that were assimilated"
        )
    placed = [np.asarray(place, float) for place in places]
    for number, (dim, along_grid) in enumerate(zip(grid, field.axes, strict=True)):
        if dim in turning:  # the same longitude, where the map has it
            middle = along_grid.values.mean()
            placed[number] = middle + (placed[number] - middle + 180.0) % 360.0 - 180.0
    return PlottedPoints(values.astype(float), time, tuple(placed))


def _field(analysis: xr.Dataset, truth: xr.Dataset | None, name: str, window: int) -> PlottedField:
    array = analysis[name]
    grid = grid_of(array)
    innovation, stdev, true = f"{name}_innovation", f"{name}_stdev", name
    if name == names.ANALYSIS:
        innovation, stdev, true = names.INNOVATION, names.STATE_STDEV, names.TRUTH
    x = _window(array, window, grid)
    values = _values(x, grid)
    of_truth = None if truth is None else _truth(truth, true, x, window, grid)
    gaps = np.isnan(values) if of_truth is None else np.isnan(values) | np.isnan(of_truth)
    time, label = window_axes.times(analysis, x.to_dataset(name=name))
    spacing, unit = _spacing(analysis, grid)
    spread = _values(_window(analysis[stdev], window, grid), grid) if stdev in analysis else None
    seen = None
    if innovation in analysis:
        seen = values + _values(_window(analysis[innovation], window, grid), grid)
    units = str(array.attrs.get("units", ""))
    return PlottedField(
        str(name), "" if units == "1" else units, time, label,
        tuple(_axis(analysis, dim) for dim in grid), values, seen, of_truth, spread,
        gaps.all(0) & ~np.isinf(values).any(0), spacing, unit,
        _aspect(analysis, grid, spacing) if len(grid) == 2 else 1.0,
    )  # fmt: skip


def grid_of(array: xr.DataArray) -> tuple[Hashable, ...]:
    """Return the dimensions of space, (y, x) where the coordinates tell them apart."""
    found = tuple(d for d in array.dims if d not in _LEADING)
    if len(found) == 2:
        coords = array.coords.to_dataset()
        y, x = (axis(coords, dim) for dim in found)
        if (y == "X" and x != "X") or (x == "Y" and y != "Y"):
            return found[::-1]
    return found


def _window(array: xr.DataArray, window: int, grid: Sequence[Hashable]) -> xr.DataArray:
    """Return one window, (time, *grid)."""
    if names.WINDOW in array.dims:
        window, count = index("window", window), array.sizes[names.WINDOW]
        if not 0 <= window < count:
            raise InputError(f"there is no window {window} among the {count} of the file")
        array = array.isel({names.WINDOW: window})
    if names.TIME not in array.dims:
        array = array.expand_dims(names.TIME)
    return array.transpose(names.TIME, *grid)


def _values(array: xr.DataArray, grid: Sequence[Hashable]) -> Array:
    return np.asarray(array.transpose(names.TIME, *grid).values, dtype=np.float64)


def _truth(
    truth: xr.Dataset, name: str, x: xr.DataArray, window: int, grid: Sequence[Hashable]
) -> Array:
    if name not in truth:
        raise InputError(
            f"the file of the truth has no variable {name!r}, but "
            f"{', '.join(map(str, truth.data_vars))}"
        )
    true = aligned(truth, x.to_dataset(name=name), [str(d) for d in grid])[name]
    if set(grid_of(true)) != set(grid):
        raise InputError(
            f"the truth has the dimensions {', '.join(map(str, true.dims))}, expected those of "
            f"the analysis, {', '.join(map(str, x.dims))}"
        )
    count = true.sizes.get(names.WINDOW, 1)
    true = _window(true, window if count > 1 else 0, grid)
    if true.sizes[names.TIME] != x.sizes[names.TIME]:
        true = _at_times_of(true, x)
    if dict(true.sizes) != dict(x.sizes):
        raise InputError(
            f"the truth has {dict(true.sizes)} and the analysis {dict(x.sizes)}; give the truth on "
            "the grid of the analysis"
        )
    return _values(true, grid)


def _at_times_of(true: xr.DataArray, x: xr.DataArray) -> xr.DataArray:
    """Return the truth at the times of the analysis, where it has others, too."""
    try:
        if x[names.TIME].dtype.kind in "fiu":
            step = float(np.diff(true[names.TIME].values).min(initial=np.inf))
            return true.sel({names.TIME: x[names.TIME]}, method="nearest", tolerance=1e-3 * step)
        return true.sel({names.TIME: x[names.TIME]})
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"the truth has {true.sizes[names.TIME]} times, and not all of the "
            f"{x.sizes[names.TIME]} of the analysis; give the truth at the times of the analysis"
        ) from None


def _axis(ds: xr.Dataset, dim: Hashable) -> Axis:
    attrs = ds[dim].attrs if dim in ds.coords else {}
    name = "component" if dim == names.STATE else str(attrs.get("long_name", dim))
    if dim not in ds.coords or ds[dim].dtype.kind not in "fiu":
        return Axis(np.arange(ds.sizes[dim], dtype=float), name)
    units = str(attrs.get("units", ""))
    units = {"degrees_north": "°N", "degrees_east": "°E"}.get(units, units)
    label = f"{name} ({units})" if units not in ("", "1") else name
    return Axis(np.asarray(ds[dim].values, dtype=float), label)


def _spacing(ds: xr.Dataset, grid: Sequence[Hashable]) -> tuple[tuple[float, ...], str]:
    if len(grid) == 2:
        found = spacing_of(ds, grid)
        return found.mean, found.unit
    return (1.0,), SPACINGS


def _aspect(ds: xr.Dataset, grid: Sequence[Hashable], spacing: tuple[float, ...]) -> float:
    if any(ds.sizes[dim] < 2 for dim in grid):
        return 1.0
    steps = [np.abs(np.diff(_axis(ds, dim).values)).mean() for dim in grid]
    found = (spacing[0] / steps[0]) / (spacing[1] / steps[1]) if all(steps) else 1.0
    return float(found) if np.isfinite(found) and 0.05 < found < 20 else 1.0


def index(name: str, value: Any) -> int:
    """Return a value as an int; raise InputError for anything but a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}, expected a whole number such as 0") from None


def edges(values: Array) -> Array:
    """Return the borders of the cells around the points of an axis, (N + 1,).

    >>> edges(np.array([0.0, 1.0, 3.0])), edges(np.array([5.0]))
    (array([-0.5,  0.5,  2. ,  4. ]), array([4.5, 5.5]))
    """
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def last_observed(field: PlottedField) -> int:
    """Return the last step at which something was observed, else the last step."""
    if field.points is not None:
        count = len(field.time)
        known = [k for k in range(count) if len(field.points.near(field.time, k).values)]
        return known[-1] if known else count - 1
    seen: Any = (
        ()
        if field.observation is None
        else np.flatnonzero(np.isfinite(field.observation).reshape(len(field.time), -1).any(1))
    )
    return int(seen[-1]) if len(seen) else len(field.time) - 1
