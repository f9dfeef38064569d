"""The files that a network for fields is trained on: observations and perhaps a truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda import names
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import points as of_points
from pyvda.fields import target
from pyvda.fields.field import Field, Values, opened
from pyvda.fields.gridded import Cells
from pyvda.fields.learned import windows
from pyvda.fields.learned.configuration import FieldSource
from pyvda.io.sources import sources


def opened_source(settings: FieldSource) -> tuple[Field, dict[str, Values], dict[Any, Any]]:
    """Return the field of the observations, their values and the attributes of their file.

    Data at points are put on the truth's grid.
    """
    ds = sources.as_dataset(settings.observations, "field.observations")
    grid: Any = settings.truth
    if windows.has_windows(ds):
        if settings.truth is None:
            raise InputError(
                f"{settings.observations} has several windows, whose complete fields are needed; "
                "give them (field.truth)"
            )
        grid = sources.as_dataset(settings.truth, "field.truth")
        if names.WINDOW not in grid.dims and names.WINDOW not in grid.coords:
            raise InputError(
                f"{settings.observations} has several windows, but {settings.truth} has none; give "
                f"the complete fields of the same windows, with the dimension {names.WINDOW}"
            )
        ds, grid = (windows.in_series(one, windows.span_of(grid)) for one in (ds, grid))
    wanted = None
    if settings.variable is not None:
        wanted = [name.strip() for name in settings.variable.split(",")]
    how: dict[str, Any] = {"mask": settings.mask, "transform": settings.transform}
    if not of_points.are_points(ds, wanted):
        field = opened(ds, wanted, **how)
        return field, {name: field.read(name) for name in field.variables}, ds.attrs
    if settings.truth is None:
        raise InputError(
            f"the observations of {settings.observations} lie at points; train on them with the "
            "section points in place of field, or give complete fields on a grid (field.truth)"
        )
    if settings.withhold is not None:
        raise InputError(
            "withhold would have no effect on data at points that a truth is compared with; leave "
            "it out"
        )
    points = of_points.read(ds, wanted, transform=settings.transform)
    field = target.on_grid(points, grid, **how)
    cells = Cells.with_data(field, points)
    return field, {name: cells.values(points.values[name]) for name in field.variables}, ds.attrs


def complete_fields(
    truth: Any, observations: Any, field: Field, section: str = "field"
) -> dict[str, Array]:
    """Return the fields of the file of the truth at the points of the sea, (T, P), by variable.

    `section` is that of the configuration which names the file.
    """
    ds = sources.as_dataset(truth, f"{section}.truth")
    if windows.has_windows(ds):
        ds = windows.in_series(ds, windows.span_of(ds))
    found = {}
    order = (field.time, *field.space)
    for name in field.variables:
        known = ds.get(name)
        if known is not None:
            known = known.squeeze([d for d, n in known.sizes.items() if d not in order and n == 1])
        if known is None or set(known.dims) != set(order):
            raise InputError(
                f"{truth} has no {name} over {order}; give the complete fields on the "
                "grid and with the names of the observations"
            )
        values = known.transpose(*order)
        same = all(
            ds.sizes[d] == field.ds.sizes[d]
            and (d not in ds.indexes or ds.indexes[d].equals(field.ds.indexes[d]))
            for d in order
        )
        if not same:
            raise InputError(
                f"{name} in {truth} has {dict(values.sizes)}, or other coordinates, than "
                f"in {observations}; give both on the same times and grid"
            )
        complete = np.asarray(values.values, float)[:, field.sea]
        missing = int((~np.isfinite(complete)).sum())
        if missing:
            raise InputError(
                f"{name} in {truth} is missing at {missing} points of the sea; give "
                f"complete fields, or leave out {section}.truth, which trains on observations alone"
            )
        found[name] = field.transform.forward(complete, name)
    return found
