"""The analysis of a field as a Dataset: the file's own variables, and what belongs to each.

`chl`, `chl_stdev`, `chl_flag`, `chl_innovation`, and of some methods `chl_distance` and `chl_lag`,
with the file's coordinates, attributes and order of dimensions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine.data import Array
from pyvda.fields import places
from pyvda.fields.field import Field, Values
from pyvda.fields.gridded import Cells
from pyvda.fields.options import Estimate
from pyvda.fields.points import DataAtPoints
from pyvda.io.writing.history import append_history
from pyvda.names import FieldFlag
from pyvda.notices import notice

_OF_THE_FILE = ("ancillary_variables", "cell_methods", "valid_min", "valid_max", "valid_range",
                "actual_range", "coverage_content_type", "missing_value", "_FillValue")  # fmt: skip


def analysis(
    field: Field,
    read: dict[str, Values],
    withheld: Array | None,
    estimates: dict[str, Estimate],
    method: str,
    configuration: dict[str, Any],
    engine: str,
    points: DataAtPoints | None = None,
    hidden: Array | None = None,
) -> xr.Dataset:
    """Return the analysis of all variables.

    Parameters
    ----------
    field : Field
    read : dict of Values
        All data of each variable.
    withheld : (T, P) of bool, optional
        Data that were not used.
    estimates : dict of Estimate
    method : str
    configuration : dict
        Options and constants, plain data.
    engine : str
    points : DataAtPoints, optional
        Data at points.
    hidden : (N,) of bool, optional
        Those of them that were not used.
    """
    data: dict[str, xr.Variable] = {}
    for name, estimate in estimates.items():
        data |= _of_variable(field, name, read[name], withheld, estimate)
    if points is not None:
        _mark_cells(field, points, hidden, data)
        for name, estimate in estimates.items():
            data |= _along_points(field, name, points, hidden, estimate)
    dims = {d for v in data.values() for d in v.dims}
    coords = {n: c for n, c in field.ds.coords.items() if set(c.dims) <= dims}
    found = xr.Dataset(data, coords, dict(field.ds.attrs))
    if points is not None:
        found = found.assign_coords(_coordinates(points))
    found.encoding = {
        "unlimited_dims": [d for d in field.ds.encoding.get("unlimited_dims", ()) if d in dims]
    }
    land = int((~field.sea).sum())
    found = found.assign_attrs(
        Conventions="CF-1.11", pyvda_version=pyvda.__version__, pyvda_engine=engine,
        pyvda_configuration=json.dumps({"method": method, **configuration}),
        pyvda_land=f"{land} of {field.sea.size} points, "
        + (f"by {field.masked}" if field.masked else "never observed" if land else "no land"),
    )  # fmt: skip
    return append_history(found, f"pyvda {pyvda.__version__} assimilate, {method}")


def _of_variable(
    field: Field, name: str, read: Values, withheld: Array | None, estimate: Estimate
) -> dict[str, xr.Variable]:
    source = field.ds[name]
    order = tuple(str(d) for d in source.dims)
    value, stdev = field.transform.back(estimate.value, estimate.stdev)
    observed, _ = field.transform.back(read.values, np.zeros(()))
    there = np.isfinite(read.values)
    out = np.zeros(there.shape, bool) if withheld is None else withheld & there
    units = {k: v for k, v in source.attrs.items() if k == "units"}
    standard = str(source.attrs.get("standard_name", ""))
    error = (
        {"standard_name": f"{standard} standard_error"} if standard and " " not in standard else {}
    )
    attrs = {k: v for k, v in source.attrs.items() if k not in _OF_THE_FILE}
    comment = field.transform.comment()
    if comment and "comment" in attrs:
        comment = {"comment": f"{attrs['comment']}; {comment['comment']}"}
    written: dict[str, tuple[Array, dict[str, Any], Any]] = {
        "": (value, attrs | comment | {"ancillary_variables": f"{name}_flag {name}_stdev"}, np.nan),
        "_stdev": (stdev, names.attributes(names.STATE_STDEV) | units | error, np.nan),
        "_innovation": (observed - value, names.attributes(names.INNOVATION) | units, np.nan),
        "_flag": (_flags(field, read, there, out), names.attributes(names.FIELD_FLAG),
                  np.int8(FieldFlag.LAND)),
    }  # fmt: skip
    if estimate.km is not None and estimate.days is not None:
        km = places.arc(estimate.km) if field.places.on_sphere else estimate.km
        of_places = {"units": field.places.unit or "1"}
        written["_distance"] = (km, names.attributes(names.DISTANCE) | of_places, np.nan)
        written["_lag"] = (estimate.days, names.attributes(names.LAG), np.nan)
    found = {}
    for suffix, (array, described, fill) in written.items():
        one = xr.Variable((field.time, *field.space), field.on_grid(array, fill), described)
        found[f"{name}{suffix}"] = one.transpose(*order)
    return found


def _mark_cells(
    field: Field, points: DataAtPoints, hidden: Array | None, data: dict[str, xr.Variable]
) -> None:
    """Flag the cells of the data as observed, and the points that never have a datum."""
    cells = Cells.of(field, points)
    if not cells.near.any():
        notice(
            f"none of the {len(points.time)} data lies within a spacing of the grid: longitude and "
            "latitude (or x and y) of the grid are perhaps not theirs"
        )
    for name in points.variables:
        used = np.isfinite(points.values[name].values)
        if hidden is not None:
            used &= ~hidden
        variable = data[f"{name}_flag"]
        order = (field.time, *field.space)
        flags = variable.transpose(*order).values[:, field.sea]
        never = np.ones(len(field.places), bool)
        never[cells.point[used & cells.near]] = False
        empty = ~np.isin(flags, (FieldFlag.OBSERVED, FieldFlag.REJECTED, FieldFlag.WITHHELD))
        flags[empty & never] = FieldFlag.NEVER_OBSERVED
        flags[empty & ~never] = FieldFlag.GAP
        seen = used & cells.inside
        flags[cells.time[seen], cells.point[seen]] = FieldFlag.OBSERVED
        whole = field.on_grid(flags, np.int8(FieldFlag.LAND))
        data[f"{name}_flag"] = xr.Variable(order, whole, variable.attrs).transpose(*variable.dims)


def _along_points(
    field: Field, name: str, points: DataAtPoints, hidden: Array | None, estimate: Estimate
) -> dict[str, xr.Variable]:
    """Return the analysis at the places of the data."""
    at = estimate.at_points
    if at is None:
        return {}
    values = points.values[name]
    value, stdev = field.transform.back(at.value, at.stdev)
    observed, _ = field.transform.back(values.values, np.zeros(()))
    flags = np.full(len(at.value), FieldFlag.GAP, np.int8)
    there = np.isfinite(values.values)
    flags[there] = FieldFlag.OBSERVED
    if hidden is not None:
        flags[hidden & there] = FieldFlag.WITHHELD
    flags[values.rejected] = FieldFlag.REJECTED
    units = {k: v for k, v in points.attrs[name].items() if k == "units"}
    related = {"ancillary_variables": f"{name}_point_stdev {name}_point_flag"}
    described = {k: v for k, v in points.attrs[name].items() if k not in _OF_THE_FILE}
    return {
        f"{name}_point": xr.Variable((names.DATUM,), value, described | related),
        f"{name}_point_stdev": xr.Variable(
            (names.DATUM,), stdev, names.attributes(names.STATE_STDEV) | units
        ),
        f"{name}_point_innovation": xr.Variable(
            (names.DATUM,), observed - value, names.attributes(names.POINT_INNOVATION) | units
        ),
        f"{name}_point_flag": xr.Variable(
            (names.DATUM,), flags, names.attributes(names.FIELD_FLAG)
        ),
    }


def _coordinates(points: DataAtPoints) -> dict[str, xr.Variable]:
    attrs = {"standard_name": "time"} | ({} if points.dated else {"units": "days"})
    unit = points.places.unit or "1"
    where: dict[str, tuple[Array, dict[str, str]]] = {
        "point_y": (points.places.map[:, 1], {"units": unit, "axis": "Y"}),
        "point_x": (points.places.map[:, 0], {"units": unit, "axis": "X"}),
    }
    if points.places.on_sphere:
        where = {
            f"point_{name}": (values, {"standard_name": name, "units": units})
            for (values, _), name, units in zip(
                where.values(), ("latitude", "longitude"), ("degrees_north", "degrees_east"),
                strict=True,
            )
        }  # fmt: skip
    found = {
        label: xr.Variable((names.DATUM,), values, described)
        for label, (values, described) in where.items()
    }
    track = {"long_name": "number of the pass, mooring or float of the datum"}
    return found | {
        names.POINT_TIME: xr.Variable((names.DATUM,), points.time, attrs),
        "point_track": xr.Variable((names.DATUM,), points.track.astype(np.int32), track),
    }


def _flags(field: Field, read: Values, there: Array, withheld: Array) -> Array:
    flags = np.full(there.shape, FieldFlag.GAP, np.int8)
    flags[:, field.never_seen] = FieldFlag.NEVER_OBSERVED
    flags[there] = FieldFlag.OBSERVED
    flags[withheld] = FieldFlag.WITHHELD
    flags[read.rejected] = FieldFlag.REJECTED
    return flags
