"""The state space: named variables with dimensions, and the vector of D numbers that they make.

A state vector holds the variables one after another, each flattened with its last dimension
fastest. Engines and methods see vectors only; files hold the variables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda import names
from pyvda.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

_LEADING = (names.WINDOW, names.TIME)
_NAME = re.compile(r"\w[\w.+@-]*")  # what netCDF takes, without spaces


@dataclass(frozen=True)
class Variable:
    """One variable of a state.

    Attributes
    ----------
    name : str
    dims : tuple of str
        Its dimensions besides window and time, in the order of the model's array; () for a scalar.
    shape : tuple of int
        Their lengths.
    standard_name, units : str
        As in CF; "" where the model does not say.
    """

    name: str
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    standard_name: str = ""
    units: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(str(dim) for dim in self.dims))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if not self.name:
            raise InputError("a variable of the state has no name; give it one")
        if self.name in _LEADING or not _NAME.fullmatch(self.name):
            raise InputError(
                f"a variable of the state is called {self.name!r}; give it a name of letters, "
                f"digits and underscores other than {_LEADING[0]!r} and {_LEADING[1]!r}, which "
                "are added by pyvda"
            )
        if len(self.dims) != len(self.shape):
            raise InputError(
                f"variable {self.name!r} has {len(self.dims)} dimensions {self.dims} and a shape "
                f"of {len(self.shape)} lengths {self.shape}; give one length for each dimension"
            )
        if len(set(self.dims)) != len(self.dims) or set(self.dims) & set(_LEADING):
            raise InputError(
                f"variable {self.name!r} has dimensions {self.dims}; they must differ, and "
                f"{_LEADING[0]!r} and {_LEADING[1]!r} are added by pyvda"
            )
        if any(n < 1 for n in self.shape):
            raise InputError(
                f"variable {self.name!r} has shape {self.shape}; every length must be at least 1"
            )

    @property
    def size(self) -> int:
        """Number of components of the state that this variable has."""
        return prod(self.shape)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        return dict(zip(self.dims, self.shape, strict=True))


@dataclass(frozen=True)
class StateSpace:
    """The variables of a model's state, in their order in the state vector.

    Attributes
    ----------
    variables : tuple of Variable
    land : bytes, optional
        One byte for each component of the state vector, 1 where it lies on land. Given as booleans
        of shape (size,), or of the shape of a variable: then it holds for every variable of that
        shape. Land stays in the state vector; it is NaN in files.
    periodic : tuple of str
        Dimensions that are circles, whose last point has the first one as a neighbour.
    coordinates : tuple of (str, tuple of float)
        The points along dimensions, increasing. Default: 0, 1, 2, ...
    """

    variables: tuple[Variable, ...]
    land: Any = None
    periodic: tuple[str, ...] = field(default=(), compare=False)
    coordinates: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "periodic", tuple(str(dim) for dim in self.periodic))
        if not self.variables:
            raise InputError("a state space needs at least one variable")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"the variables {self.names} of a state need different names")
        lengths: dict[str, int] = {}
        for variable in self.variables:
            for dim, n in variable.sizes.items():
                if lengths.setdefault(dim, n) != n:
                    raise InputError(
                        f"dimension {dim!r} has length {lengths[dim]} and, in variable "
                        f"{variable.name!r}, {n}; give different dimensions different names"
                    )
        for name in self.names:
            if name in lengths:
                raise InputError(
                    f"a variable of the state and a dimension are both called {name!r}; give one "
                    "of them another name"
                )
        for dim, points in self.coordinates:
            if len(points) != lengths.get(dim):
                raise InputError(
                    f"{len(points)} coordinates along {dim!r}, expected {lengths.get(dim, 'none')}"
                )
        if self.land is not None and not isinstance(self.land, bytes):
            object.__setattr__(self, "land", self._land_of(np.asarray(self.land)))
        if self.land is not None and len(self.land) != self.size:
            raise InputError(
                f"the land mask has {len(self.land)} values, expected one for each of the "
                f"{self.size} components of the state"
            )

        unknown = set(self.periodic) - set(lengths)
        if unknown:
            raise InputError(
                f"the periodic dimension {min(unknown)!r} is not one of "
                f"{', '.join(lengths) or 'none'}; name a dimension of a variable"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The variables' names."""
        return tuple(variable.name for variable in self.variables)

    @property
    def size(self) -> int:
        """Number of components D of the state vector."""
        return sum(variable.size for variable in self.variables)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension of any variable."""
        return {dim: n for variable in self.variables for dim, n in variable.sizes.items()}

    @property
    def sea(self) -> np.ndarray:
        """True for each component of the state vector that is not on land, (D,)."""
        if self.land is None:
            return np.ones(self.size, bool)
        return np.frombuffer(self.land, np.uint8) == 0

    def coordinate(self, dim: str) -> np.ndarray:
        """Return the points along a dimension, 0, 1, 2, ... where the space gives none."""
        given = dict(self.coordinates).get(dim)
        return np.arange(float(self.sizes[dim])) if given is None else np.array(given)

    def slices(self) -> dict[str, slice]:
        """Return the position of each variable in the state vector."""
        ends = np.cumsum([0, *(variable.size for variable in self.variables)]).tolist()
        return {n: slice(a, b) for n, a, b in zip(self.names, ends, ends[1:], strict=False)}

    def component_names(self) -> list[str]:
        """Return a name for each component of the state vector: `x`, or `x[3]`, `u[0, 2]`."""
        found = []
        for variable in self.variables:
            for index in np.ndindex(*variable.shape):
                place = f"[{', '.join(map(str, index))}]" if index else ""
                found.append(variable.name + place)
        return found

    def stack(self, ds: xr.Dataset) -> Any:
        """Return the variables of `ds` as state vectors.

        Parameters
        ----------
        ds : Dataset
            Has every variable of the space with its dimensions and, besides, `window` and `time`
            or one of them or none, in any order.

        Returns
        -------
        array (window, time, state)
            NaN on land; a dask array where variables are dask-backed. A dimension `window` or
            `time` that `ds` lacks has length 1.

        Raises
        ------
        InputError
            When a variable is missing, or has other dimensions or lengths.
        """
        from xarray import Variable as Labelled

        columns = []
        for variable in self.variables:
            found = _expected(ds, variable)
            leading = [dim for dim in _LEADING if dim not in found.dims]
            whole = found.expand_dims(leading).transpose(*_LEADING, *variable.dims)
            if variable.dims:
                whole = whole.stack({names.STATE: variable.dims})
            else:
                whole = whole.expand_dims({names.STATE: 1}, axis=-1)
            columns.append(whole.variable.to_base_variable())
        longest = {d: max(c.sizes[d] for c in columns) for d in _LEADING}
        for name, column in zip(self.names, columns, strict=True):
            if any(column.sizes[d] != n for d, n in longest.items()):
                raise InputError(
                    f"variable {name!r} has {column.sizes[names.WINDOW]} windows of "
                    f"{column.sizes[names.TIME]} steps, another one "
                    f"{longest[names.WINDOW]} of {longest[names.TIME]}; give all of them the same "
                    "dimensions window and time"
                )
        stacked = Labelled.concat(columns, names.STATE)
        if self.land is not None:
            stacked = stacked.where(Labelled(names.STATE, self.sea))
        return stacked.transpose(*_LEADING, names.STATE).data

    def unstack(self, array: Any, like: xr.Dataset | None = None) -> dict[str, xr.DataArray]:
        """Return state vectors as named variables; the reverse of `stack`.

        Parameters
        ----------
        array : (window, time, state), (time, state) or (state,)
            NaN is put on land.
        like : Dataset, optional
            Where variables have the order of their dimensions, coordinates and attributes from.

        Raises
        ------
        InputError
            When the last axis is not the state, or does not fit `like`.
        """
        import xarray as xr

        leading = _LEADING[len(_LEADING) - (array.ndim - 1) :] if 1 <= array.ndim <= 3 else None
        if leading is None or array.shape[-1] != self.size:
            raise InputError(
                f"states of shape {tuple(array.shape)} do not fit {', '.join(self.names)}; "
                f"expected (window, time, state) with {self.size} components"
            )
        found = {}
        for variable in self.variables:
            values = array[..., self.slices()[variable.name]]
            values = values.reshape(*array.shape[:-1], *variable.shape)
            one = xr.DataArray(values, dims=(*leading, *variable.dims), name=variable.name)
            if self.land is not None:
                sea = self.sea[self.slices()[variable.name]].reshape(variable.shape)
                one = one.where(xr.DataArray(sea, dims=variable.dims))
            found[variable.name] = one if like is None else _labelled_as(one, like)
        return found

    def _land_of(self, mask: np.ndarray) -> bytes:
        if mask.shape == (self.size,):
            return mask.astype(bool).tobytes()
        if not any(variable.shape == mask.shape for variable in self.variables):
            raise InputError(
                f"the land mask has shape {mask.shape}, expected ({self.size},) or that of a "
                f"variable: {', '.join(f'{v.name} {v.shape}' for v in self.variables)}"
            )
        parts = [
            mask.astype(bool).ravel() if v.shape == mask.shape else np.zeros(v.size, bool)
            for v in self.variables
        ]
        return np.concatenate(parts).tobytes()


def flat(
    size: int,
    variables: Sequence[str] | None = None,
    dimension: str = "site",
    *,
    periodic: bool = False,
) -> StateSpace:
    """Return the space of a state without structure.

    Parameters
    ----------
    size : int
        Components of the state.
    variables : sequence of str, optional
        A name for each component. Default: one variable `x` along `dimension`.
    periodic : bool
        Whether that dimension is a circle.

    Examples
    --------
    >>> flat(3, ("x", "y", "z")).names
    ('x', 'y', 'z')
    >>> flat(40).sizes
    {'site': 40}
    """
    if variables is None:
        circles = (dimension,) if periodic else ()
        return StateSpace((Variable("x", (dimension,), (size,)),), periodic=circles)
    if len(variables) != size:
        raise InputError(f"{len(variables)} names for {size} components; give one for each")
    return StateSpace(tuple(Variable(name) for name in variables))


def _expected(ds: xr.Dataset, variable: Variable) -> xr.DataArray:
    """Return the variable from `ds`, with dimensions and lengths as the space has them."""
    if variable.name not in ds.variables:
        raise InputError(
            f"the variable {variable.name!r} of the state is missing, found "
            f"{', '.join(map(str, ds.data_vars)) or 'none'}; rename a variable, or add it"
        )
    found = ds[variable.name]
    own = {str(dim): n for dim, n in found.sizes.items() if dim not in _LEADING}
    if own != variable.sizes:
        raise InputError(
            f"variable {variable.name!r} has {_written(own)} besides window and time, but the "
            f"model has {_written(variable.sizes)}; rename or select its dimensions"
        )
    return found


def _written(sizes: dict[str, int]) -> str:
    return f"({', '.join(f'{dim}={n}' for dim, n in sizes.items())})" if sizes else "no dimension"


def _labelled_as(one: xr.DataArray, like: xr.Dataset) -> xr.DataArray:
    """Return `one` with the order of dimensions, coordinates and attributes of its namesake."""
    if one.name not in like.variables:
        return one
    model = like[one.name]
    if dict(one.sizes) != {dim: n for dim, n in model.sizes.items() if dim in one.dims}:
        raise InputError(
            f"states with {_written({str(d): n for d, n in one.sizes.items()})} do not fit "
            f"variable {one.name!r} with {_written({str(d): n for d, n in model.sizes.items()})}"
        )
    coords = {n: c for n, c in model.coords.items() if set(c.dims) <= set(one.dims)}
    ordered = one.transpose(*(dim for dim in model.dims if dim in one.dims))
    return ordered.assign_coords(coords).assign_attrs(model.attrs)
