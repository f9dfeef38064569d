"""Observations of linear combinations of the state: y = H x, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.operators.correlated_errors import CorrelatedErrors, correlated_or_none
from pyvda.operators.observation import ObservationOperator, check_variables

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.models.model import Model


class SparseLinear(ObservationOperator):
    r"""Each datum is a linear combination of the state's components.

    .. math:: y_k = \sum_d H_{kd} x_d + ε_k

    The observations are a variable over time and one other dimension, whose k-th value at every
    time is row k of H; or a table with one value a row, at times of its own between those of the
    analysis, the n-th value being row n.

    Parameters
    ----------
    rows : sparse matrix, array (K, D) or Dataset
        H. A Dataset lists its entries, one a row along one dimension: `row` (from 0), `weight`, and
        which component it multiplies: `component` (from 0), or `variable`, the name of a variable
        of the model, and for each of its dimensions an index of that name.
    step, start, stop : optional
        The analysis times for a table: spacing, first and last; see `pyvda.on_grid`. Default: the
        model's time step, the first and the last datum.
    errors : CorrelatedErrors, optional
        How the errors of data of the same time are correlated. Default: not at all.
    """

    def __init__(
        self,
        rows: Any,
        *,
        step: float | str | None = None,
        start: Any = None,
        stop: Any = None,
        errors: CorrelatedErrors | None = None,
    ) -> None:
        self.rows, self.step, self.start, self.stop = rows, step, start, stop
        self.errors = correlated_or_none(errors)

    def matrix(self, model: Model) -> Any:
        """Return H as a scipy sparse matrix in rows, (K, D).

        Raises
        ------
        InputError
            When it is not a matrix of the model's state, or has a row of zeros, NaN or infinities.
        """
        from scipy import sparse

        if hasattr(self.rows, "data_vars"):
            found = _from_entries(self.rows, model)
        else:
            try:
                given = _expect_real(self.rows)
                found = sparse.csr_matrix(given, dtype=float)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"rows of type {type(self.rows).__name__} are not a matrix ({error}); give a "
                    "sparse matrix, an array (K, D), or a Dataset of its entries"
                ) from None
        if found.shape[1] != model.state_size:
            raise InputError(
                f"the observation operator has {found.shape[1]} columns, but the state of "
                f"{model.name} has {model.state_size} components; give one column for each"
            )
        if not np.isfinite(found.data).all():
            raise InputError("the observation operator has NaN or infinite entries; correct them")
        empty = np.flatnonzero(np.asarray(abs(found).sum(1)).ravel() == 0)
        if len(empty):
            raise InputError(
                f"row {empty[0]} of the observation operator is zero, so that it observes nothing; "
                "leave out this row and its data"
            )
        return found

    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return the data as point observations; see `ObservationOperator.observations`."""
        from pyvda.io.tables import rows, tables

        H = self.matrix(model)
        name = rows.values_of(ds, variable)
        if ds[name].ndim > 1:
            return tables.at_steps(ds, name, H, model, self.errors)
        if H.shape[0] != ds[name].size:
            raise InputError(
                f"the observation operator has {H.shape[0]} rows, but {name!r} has "
                f"{ds[name].size} values; give one row for each"
            )
        return tables.from_rows(
            ds, name, H, model,
            step=self.step, start=self.start, stop=self.stop, errors=self.errors,
        )  # fmt: skip


def _expect_real(rows: Any) -> Any:
    """Return the rows; raise ValueError for numbers that a real matrix would lose in silence."""
    given = rows if hasattr(rows, "dtype") else np.asarray(rows)
    if np.ma.is_masked(getattr(given, "values", given)):
        raise ValueError("some of its entries are masked")
    if "complex" in str(given.dtype):
        raise ValueError("its entries are complex")
    return rows


def _from_entries(table: xr.Dataset, model: Model) -> Any:
    from scipy import sparse

    def column(name: str) -> np.ndarray:
        if name not in table.variables or table[name].ndim != 1:
            raise InputError(
                f"the table of the operator's entries has no column {name!r}; give row, weight, "
                "and component or variable with an index for each of its dimensions"
            )
        return np.asarray(table[name].values)

    row, weight = column("row"), column("weight")
    if "component" in table.variables:
        component = column("component")
    else:
        along = table["row"].dims
        other = [n for n, v in table.variables.items() if v.dims == along]
        component = components(
            model, {str(n): column(str(n)) for n in other if n not in ("row", "weight")}
        )
    if not row.size or not row.shape == weight.shape == component.shape:
        raise InputError(
            "the columns row, weight and component or variable of the table of the operator's "
            f"entries have {row.size}, {weight.size} and {component.size} values, expected as many "
            "of each, one for each entry"
        )
    if weight.dtype.kind not in "fiu":
        raise InputError("'weight' of the operator's entries must be numbers; correct the table")
    row = _indices("row", row, None)
    component = _indices("component", component, model.state_size)
    absent = np.flatnonzero(np.bincount(row[row < row.size], minlength=row.size) == 0)
    if len(absent) and absent[0] < row.max():  # a huge number, too: no row is made of it
        raise InputError(
            f"row {absent[0]} of the observation operator has no entry, so that it observes "
            "nothing; number the rows 0, 1, 2, ..."
        )
    shape = (int(row.max()) + 1, model.state_size)
    return sparse.csr_matrix((weight.astype(float), (row, component)), shape)


def _indices(what: str, index: np.ndarray, size: int | None) -> np.ndarray:
    """Return a column of indices as integers; a file may hold them as real numbers."""
    whole = index.dtype.kind in "iu"
    if index.dtype.kind == "f":
        whole = bool(np.isfinite(index).all() and (index == np.rint(index)).all())
    most = np.iinfo(np.int64).max // 2 if size is None else size - 1
    if not whole or (index < 0).any() or (index > most).any():
        raise InputError(
            f"{what!r} of the operator's entries must be integers from 0"
            f"{'' if size is None else f' to {most}'}; correct the table"
        )
    return index.astype(np.int64)


def _texts(column: np.ndarray) -> np.ndarray:
    return (
        np.char.decode(column, errors="replace") if column.dtype.kind == "S" else column.astype(str)
    )


def components(model: Model, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the components of the state that names of variables and indices stand for, (N,).

    Parameters
    ----------
    columns : dict
        `variable` (N,), which may be missing where the model has one variable, and for each
        dimension integers (N,).

    Raises
    ------
    InputError
        When a variable is not the model's, or an index is missing or too large.
    """
    space = model.state_space
    if space is None:
        raise InputError(f"{model.name} has no named variables; give the column 'component'")
    count = len(next(iter(columns.values()))) if columns else 0
    if "variable" in columns:
        names = _texts(columns["variable"])
    elif len(space.variables) == 1:
        names = np.full(count, space.names[0])
    else:
        raise InputError(
            f"the state of {model.name} has the variables {', '.join(space.names)}; name one for "
            "each row in a column 'variable'"
        )
    check_variables(names, space, model.name)
    found = np.zeros(count, int)
    for variable in space.variables:
        own = names == variable.name
        index = []
        for dim, size in variable.sizes.items():
            if dim not in columns:
                raise InputError(
                    f"the variable {variable.name!r} has the dimension {dim!r}; add a column "
                    f"{dim!r} with integers from 0 to {size - 1}"
                )
            index.append(_indices(dim, columns[dim][own], size))
        offset = np.ravel_multi_index(tuple(index), variable.shape) if index else 0
        found[own] = space.slices()[variable.name].start + offset
    return found
