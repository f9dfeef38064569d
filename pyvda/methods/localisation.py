"""Where an ensemble's local analyses are made, and how far data reach.

Distances are counted in grid points along the dimensions of the model's variables, or in kilometres
between points of latitude and longitude. A dimension that is not named, or that a variable does not
have, does not count: a scalar sees all data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np

from pyvda.engine.data import LocalCentres
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.localisation import REACH
from pyvda.operators.sparse_rows import SparseRows
from pyvda.operators.sphere import position
from pyvda.state.space import StateSpace, Variable

Unit = Literal["points", "km"]
Place = Callable[[tuple[str, ...], Array], Array]
"""Dimensions and numbers of points along each, (dims, n), to places (n, d) in half the reach."""

_LATITUDES, _LONGITUDES = ("lat", "latitude"), ("lon", "longitude")
_HALF_REACH = REACH / 2
_COPIES = 64  # of the one analysis without localisation, which share the components
_BLOCK = (2, 4)  # centres that are solved together lie close to each other


@dataclass(frozen=True)
class Localisation:
    """The centres of the local analyses, and where the components of the state lie.

    Attributes
    ----------
    place : (D, d)
        In half the distance at which data cease to count; NaN where a dimension does not count.
    centres : LocalCentres
    """

    place: Array
    centres: LocalCentres

    def of_rows(self, rows: SparseRows) -> Array:
        """Return where data lie that are combinations of components, (p, d).

        Parameters
        ----------
        rows : SparseRows
            (p, D); a datum lies at the mean of its components with the sizes of their coefficients.
        """
        near = self.place[rows.largest()[0]]
        offset = self.place[rows.index] - near[:, None]
        period = self.centres.period
        around = np.where(period > 0, period, 1.0)
        wrapped = offset - around * np.round(offset / around)
        offset = np.nan_to_num(np.where(period > 0, wrapped, offset))
        share = np.abs(rows.coefficient)
        share = share / share.sum(-1, keepdims=True)
        return np.asarray(near + (share[..., None] * offset).sum(1))


def localised(
    model: Model,
    radius: float | Mapping[str, float] | None,
    stride: int | Mapping[str, int] = 1,
    periodic: tuple[str, ...] | None = None,
    unit: Unit = "points",
) -> Localisation:
    """Return the localisation of a model's state.

    Parameters
    ----------
    model : Model
    radius : float, mapping or None
        L of exp(-r²/2L²), in grid points: one for all dimensions, or by their names; None: all data
        count everywhere.
    stride : int or mapping
        Grid points from one analysis to the next; those between are interpolated.
    periodic : tuple of str, optional
        Dimensions that are circles. Default: those that the model states.
    unit : {"points", "km"}
        Unit of the radius. In km the distance is the chord through the Earth, and the model has
        coordinates of latitude and longitude; other dimensions do not count.

    Raises
    ------
    InputError
        The model has no dimensions, or not those that are named, or no latitude and longitude.
    """
    space = model.state_space
    if radius is None:
        return _everywhere(model.sea)
    if space is None or not space.sizes:
        raise InputError(
            f"the variables of {model.name} have no dimensions along which data could be far away; "
            "leave radius out"
        )
    circles = space.periodic if periodic is None else periodic
    for what, named in (("radius", radius), ("stride", stride), ("periodic", circles)):
        _expect_dimensions(model.name, space, what, named)
    dims: tuple[str, ...]
    if unit == "km":
        dims = _geographic(model.name, space)
        if isinstance(radius, Mapping):
            raise InputError(
                f"radius is given by dimension, {dict(radius)}, and in km (radius_unit) it is one "
                "distance for all; give one number, or leave radius_unit out"
            )
        place = _on_earth(space, dims, _HALF_REACH * radius)
        period = np.zeros(3)
    else:
        dims = tuple(_by_dimension(radius, tuple(space.sizes)))
        reach = np.array(list(_by_dimension(radius, dims).values()), float) * _HALF_REACH
        place = _on_axes(dims, reach)
        round_trip = [float(space.sizes[dim]) if dim in circles else 0.0 for dim in dims]
        period = np.array(round_trip) / reach
    strides = dict.fromkeys(dims, 1) | _by_dimension(stride, dims)
    places = []
    for variable in space.variables:
        at = np.indices(variable.shape).reshape(len(variable.shape), variable.size)
        places.append(place(variable.dims, at))
    axes = {dim: _Axis.cut(space.sizes[dim], strides[dim], dim in circles) for dim in dims}
    return Localisation(np.concatenate(places), _centres(space, axes, place, period))


def _on_axes(dims: tuple[str, ...], reach: Array) -> Place:
    """Return how points lie along dimensions, NaN where a variable does not have one."""

    def place(own: tuple[str, ...], at: Array) -> Array:
        found = np.full((at.shape[1], len(dims)), np.nan)
        for column, dim in enumerate(dims):
            if dim in own:
                found[:, column] = at[own.index(dim)] / reach[column]
        return found

    return place


def _on_earth(space: StateSpace, dims: tuple[str, ...], reach: float) -> Place:
    """Return how points of latitude and longitude lie in space, NaN for others."""
    latitude, longitude = (space.coordinate(dim) for dim in dims)

    def place(own: tuple[str, ...], at: Array) -> Array:
        if not set(dims) <= set(own):
            return np.full((at.shape[1], 3), np.nan)
        row, column = (at[own.index(dim)] for dim in dims)
        return position(latitude[row], longitude[column]) / reach

    return place


def _geographic(name: str, space: StateSpace) -> tuple[str, str]:
    """Return the dimensions of latitude and longitude."""
    known = [dim for dim, _ in space.coordinates]
    found = [
        next((dim for dim in known if dim.lower() in names), None)
        for names in (_LATITUDES, _LONGITUDES)
    ]
    y, x = found
    if y is None or x is None:
        raise InputError(
            f"radius_unit is km, and {name} has no coordinates along dimensions lat and lon; make "
            "the model with these (dimensions={'lat': [...], 'lon': [...]}, in a file in Julia "
            "coordinates(m) = (lat = ..., lon = ...)), or give a radius in grid points without "
            "radius_unit"
        )
    north = space.coordinate(y)
    if np.abs(north).max() > 90:
        raise InputError(
            f"a {y} of {name} is {north[np.abs(north).argmax()]:g}, expected -90 to 90 degrees; "
            "correct the coordinates of the model"
        )
    return y, x


def _everywhere(sea: Array) -> Localisation:
    """Return the same analysis for all components."""
    component = np.flatnonzero(sea)
    count = min(_COPIES, len(component))
    first = np.arange(count + 1) * len(component) // max(count, 1)
    none = np.zeros((len(sea), 0))
    centres = LocalCentres(
        none[:count], np.zeros(0), first, component, np.ones(len(component)), np.array([0, count])
    )
    return Localisation(none, centres)


def _expect_dimensions(name: str, space: StateSpace, what: str, given: Any) -> None:
    named = tuple(given) if isinstance(given, Mapping | tuple) else ()
    unknown = [dim for dim in named if dim not in space.sizes]
    if unknown:
        raise InputError(
            f"{what} names the dimension {unknown[0]!r}, and {name} has "
            f"{', '.join(space.sizes)}; give one of these"
        )


def _by_dimension(given: Any, dims: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {dim: given[dim] for dim in dims if dim in given}
    return dict.fromkeys(dims, given)


@dataclass(frozen=True)
class _Axis:
    """The centres along a dimension, and what each point takes from two of them.

    Attributes
    ----------
    at : (m,) of int
        The centres' points.
    left, right : (n,) of int
        Numbers of centres.
    share : (n,)
        Share of the right one.
    colour : (m,) of int
        Centres of one colour are not neighbours.
    """

    at: Array
    left: Array
    right: Array
    share: Array
    colour: Array

    @classmethod
    def cut(cls, size: int, stride: int, circle: bool) -> _Axis:
        """Put a centre at every `stride`-th of `size` points, and one at the end of a line."""
        at = np.arange(0, size, stride)
        if not circle and at[-1] != size - 1:
            at = np.append(at, size - 1)
        point = np.arange(size)
        left = np.searchsorted(at, point, side="right") - 1
        right = (left + 1) % len(at)
        gap = np.where(left + 1 < len(at), at[right], size) - at[left]
        colour = np.zeros(len(at), int)
        if stride > 1:
            colour = np.arange(len(at)) % 2
            if circle and len(at) % 2 and len(at) > 1:
                colour[-1] = 2
        return cls(at, left, right, (point - at[left]) / gap, colour)


def _centres(
    space: StateSpace, axes: Mapping[str, _Axis], place: Place, period: Array
) -> LocalCentres:
    """Return the centres of all variables; those with the same dimensions share theirs."""
    groups: dict[tuple[str, ...], list[Variable]] = {}
    for variable in space.variables:
        dims = tuple(dim for dim in axes if dim in variable.dims)
        groups.setdefault(dims, []).append(variable)
    places, colour, order = [], [], []
    centre, component, share = [], [], []
    count = 0
    for dims, variables in groups.items():
        shape = tuple(len(axes[dim].at) for dim in dims)
        at = np.indices(shape).reshape(len(shape), prod(shape))
        size = at.shape[1]
        number = np.zeros(size, int)
        for row, dim in enumerate(dims):
            number = 3 * number + axes[dim].colour[at[row]]
        points = [axes[dim].at[at[row]] for row, dim in enumerate(dims)]
        places.append(place(dims, np.reshape(points, at.shape)))
        colour.append(number)
        order.append(_block_of(at, size))
        for variable in variables:
            c, i, s = _shares(space, variable, dims, axes, shape)
            centre.append(count + c)
            component.append(i)
            share.append(s)
        count += size
    return _sorted(
        np.concatenate(places), np.concatenate(colour), np.concatenate(order), period,
        np.concatenate(centre), np.concatenate(component), np.concatenate(share),
    )  # fmt: skip


def _block_of(at: Array, size: int) -> Array:
    """Return numbers by which centres that lie together come one after the other, (G,)."""
    if len(at) < 2:
        return np.arange(size)
    tall, wide = (axis // length for axis, length in zip(at[-2:], _BLOCK, strict=True))
    keys = (*at[-2:][::-1], wide, tall, *at[:-2][::-1])
    found = np.empty(size, int)
    found[np.lexsort(keys)] = np.arange(size)
    return found


def _shares(
    space: StateSpace,
    variable: Variable,
    dims: tuple[str, ...],
    axes: Mapping[str, _Axis],
    shape: tuple[int, ...],
) -> tuple[Array, Array, Array]:
    """Return centre, component and share, of all components of a variable that are not land."""
    at = np.indices(variable.shape).reshape(len(variable.shape), variable.size)
    component = np.arange(space.size)[space.slices()[variable.name]]
    sea = space.sea[component]
    found = []
    for sides in product((0, 1), repeat=len(dims)):
        share, index = np.ones(variable.size), []
        for side, dim in zip(sides, dims, strict=True):
            axis, point = axes[dim], at[variable.dims.index(dim)]
            share = share * (axis.share[point] if side else 1 - axis.share[point])
            index.append((axis.right if side else axis.left)[point])
        number = np.ravel_multi_index(index, shape) if dims else np.zeros(variable.size, int)
        kept = sea & (share > 0)
        found.append((number[kept], component[kept], share[kept]))
    centre, component, share = (np.concatenate(part) for part in zip(*found, strict=True))
    return centre, component, share


def _sorted(
    place: Array, colour: Array, order: Array, period: Array, centre: Array, component: Array,
    share: Array,
) -> LocalCentres:  # fmt: skip
    """Return the centres that have components, colour by colour."""
    used = np.unique(centre)
    used = used[np.lexsort((order[used], colour[used]))]
    new = np.empty(len(place), int)
    new[used] = np.arange(len(used))
    by_centre = np.lexsort((component, new[centre]))
    counts = np.bincount(new[centre], minlength=len(used))
    _, sizes = np.unique(colour[used], return_counts=True)
    return LocalCentres(
        place[used], period, np.concatenate([[0], np.cumsum(counts)]), component[by_centre],
        share[by_centre], np.concatenate([[0], np.cumsum(sizes)]),
    )  # fmt: skip
