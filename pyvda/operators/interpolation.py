"""Observations at points: linear interpolation between the model's coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.models.model import number
from pyvda.operators.correlated_errors import CorrelatedErrors, correlated_or_none
from pyvda.operators.observation import ObservationOperator, check_variables
from pyvda.state.space import StateSpace, Variable
from pyvda.validation_errors import brief

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.models.model import Model


class Interpolation(ObservationOperator):
    r"""Each datum is the value of a variable of the state at a point.

    The observations are a table, one value a row: along its one dimension lie the values, `time`,
    for each dimension of the model's variables a coordinate of that name and, where the model has
    several variables, `variable` with the name of the observed one. In space the operator is linear
    interpolation of the model's values, with the weights H; between two analysis times the model
    itself interpolates.

    .. math:: y_n = \sum_d H_{nd} x_d(t_n) + ε_n

    Parameters
    ----------
    coordinates : mapping, optional
        For each dimension of the model the coordinates of its points, increasing or decreasing.
        Default: those of the model, else 0, 1, 2, ...
    periodic : mapping, optional
        For each dimension that is a circle its circumference, such as {"lon": 360.0}.
    step, start, stop : optional
        The analysis times: spacing, first and last; see `pyvda.on_grid`. Default: the model's time
        step, the first and the last datum. Data outside are not used, which a notice says.
    errors : CorrelatedErrors, optional
        How the errors of data of the same time are correlated. Default: not at all.
    """

    def __init__(
        self,
        coordinates: Mapping[str, Any] | None = None,
        *,
        periodic: Mapping[str, float] | None = None,
        step: float | str | None = None,
        start: Any = None,
        stop: Any = None,
        errors: CorrelatedErrors | None = None,
    ) -> None:
        self.coordinates = {
            dim: _numbers(dim, values)
            for dim, values in _by_name("coordinates", coordinates, "{'x': [0, 1, 2]}").items()
        }
        self.periodic = {
            dim: number(f"the circumference of {dim!r}", length)
            for dim, length in _by_name("periodic", periodic, "{'lon': 360.0}").items()
        }
        self.step, self.start, self.stop = step, start, stop
        self.errors = correlated_or_none(errors)

    def matrix(self, model: Model, columns: Mapping[str, np.ndarray]) -> tuple[Any, np.ndarray]:
        """Return the operator for data at points, and which of them lie on land.

        Land around a point does not count; a point amid land alone has a row of zeros.

        Parameters
        ----------
        columns : mapping
            For each dimension the positions (N,), and perhaps `variable` (N,).

        Returns
        -------
        H : SciPy sparse matrix (N, D)
        on_land : (N,) of bool

        Raises
        ------
        InputError
            When a point lies outside the model's coordinates, or a column is missing.
        """
        from scipy import sparse

        space = model.state_space
        if space is None:
            raise InputError(
                f"{model.name} has no named variables to interpolate; give rows by SparseLinear"
            )
        self._check(space, model)
        count = len(next(iter(columns.values()))) if columns else 0
        named = _variables(space, columns, count, model)
        datum, component, weight = [], [], []
        for variable in space.variables:
            own = np.flatnonzero(named == variable.name)
            if len(own):
                index, share = self._of_variable(
                    space, variable, {d: v[own] for d, v in columns.items()}
                )
                datum.append(np.repeat(own, index.shape[1]))
                component.append(index.ravel() + space.slices()[variable.name].start)
                weight.append(share.ravel())
        entries = [np.concatenate(parts) for parts in (weight, datum, component)]
        entries[0] = np.where(space.sea[entries[2]], entries[0], 0.0)
        H = sparse.csr_matrix((entries[0], tuple(entries[1:])), (count, space.size))
        H.eliminate_zeros()
        at_sea = np.asarray(H.sum(1)).ravel()
        on_land = at_sea == 0
        scale = sparse.diags(1 / np.where(on_land | (space.land is None), 1.0, at_sea))
        return (scale @ H).tocsr(), on_land

    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return the data as point observations; see `ObservationOperator.observations`."""
        from pyvda.io.tables import rows, sampling_geometry, tables

        ds = sampling_geometry.table(ds)
        dims = rows.model_dims(model)
        ds, name = rows.of_fields(sampling_geometry.with_positions(ds, dims), model, variable)
        along = ds[name].dims[0]
        columns = {
            dim: rows.column(ds, dim, along) for dim in (*dims, "variable") if dim in ds.variables
        } or {"": np.zeros(ds[name].size)}
        H, on_land = self.matrix(model, columns)
        made = tables.from_rows(
            rows.without_land(ds, name, on_land), name, H, model,
            step=self.step, start=self.start, stop=self.stop, errors=self.errors,
        )  # fmt: skip
        own = dict(model.state_space.coordinates) if model.state_space is not None else {}
        return tables.with_coordinates(made, own | self.coordinates)

    def _check(self, space: StateSpace, model: Model) -> None:
        for dim, values in self.coordinates.items():
            size = space.sizes.get(dim)
            if size is None:
                raise InputError(
                    f"{model.name} has no dimension {dim!r}, it has "
                    f"{', '.join(space.sizes) or 'none'}; give coordinates of these"
                )
            steps = np.diff(values)
            if values.shape != (size,) or not (np.all(steps > 0) or np.all(steps < 0)):
                raise InputError(
                    f"the coordinate {dim!r} must have {size} increasing or decreasing numbers, "
                    f"found {brief(values)}"
                )
        for dim, length in self.periodic.items():
            values = self._coordinate(space, dim) if dim in space.sizes else np.zeros(1)
            if dim not in space.sizes or not length > np.ptp(values):
                raise InputError(
                    f"the circumference of {dim!r} is {length}, expected that of a dimension of "
                    f"{model.name}, larger than the extent of its coordinate, {np.ptp(values):g}"
                )

    def _coordinate(self, space: StateSpace, dim: str) -> np.ndarray:
        return self.coordinates[dim] if dim in self.coordinates else space.coordinate(dim)

    def _of_variable(
        self, space: StateSpace, variable: Variable, columns: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the components of the variable around each point and their weights, (N, J)."""
        corners = []
        for dim in variable.dims:
            if dim not in columns:
                raise InputError(
                    f"the variable {variable.name!r} has the dimension {dim!r}, but the table has "
                    f"no column {dim!r}; add the position of each datum"
                )
            coordinate = self._coordinate(space, dim)
            corners.append(self._neighbours(dim, coordinate, columns[dim].astype(float)))
        count = len(next(iter(columns.values())))
        indices, weights_of = [], []
        for chosen in product((0, 1), repeat=len(corners)):
            weight, index = np.ones(count), []
            for side, (places, weights) in zip(chosen, corners, strict=True):
                weight = weight * weights[side]
                index.append(places[side])
            flat = np.zeros(count, np.intp)
            if index:
                flat = np.ravel_multi_index(tuple(index), variable.shape)
            indices.append(flat)
            weights_of.append(weight)
        return np.stack(indices, 1), np.stack(weights_of, 1)

    def _neighbours(
        self, dim: str, coordinate: np.ndarray, position: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return the two neighbours of each point along a dimension, and their weights."""
        order = np.argsort(coordinate)
        points = coordinate[order]
        if dim in self.periodic:
            position = points[0] + np.mod(position - points[0], self.periodic[dim])
            points, order = (
                np.append(points, points[0] + self.periodic[dim]),
                np.append(order, order[0]),
            )
        outside = ~((position >= points[0]) & (position <= points[-1]))
        if outside.any():
            raise InputError(
                f"{int(outside.sum())} data lie outside the model's coordinate {dim!r} from "
                f"{points[0]:g} to {points[-1]:g}, one at {position[outside][0]:g}; leave them "
                "out, or give the model's coordinates"
            )
        if len(points) == 1:
            nowhere = np.zeros(len(position), int)
            return (nowhere, nowhere), (np.ones(len(position)), np.zeros(len(position)))
        left = np.clip(np.searchsorted(points, position, side="right") - 1, 0, len(points) - 2)
        share = (position - points[left]) / (points[left + 1] - points[left])
        return (order[left], order[left + 1]), (1 - share, share)


def _by_name(what: str, given: Any, example: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"{what} is {given!r}, expected values by dimension, such as {example}")
    return {str(dim): value for dim, value in given.items()}


def _numbers(dim: str, values: Any) -> np.ndarray:
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "fiu":
            raise TypeError(f"values of type {found.dtype}")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the coordinate {dim!r} is not a vector of real numbers ({error}); give one number "
            "for each point"
        ) from None
    return found.astype(float)


def _variables(
    space: StateSpace, columns: Mapping[str, np.ndarray], count: int, model: Model
) -> np.ndarray:
    if "variable" not in columns:
        if len(space.variables) > 1:
            raise InputError(
                f"the state of {model.name} has the variables {', '.join(space.names)}; name the "
                "one of each datum in a column 'variable'"
            )
        return np.full(count, space.names[0])
    named = columns["variable"].astype(str)
    check_variables(named, space, model.name)
    return np.asarray(named)
