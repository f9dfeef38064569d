"""`pyvda.assimilate` for fields without a model: read, withhold, estimate, write down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda.cluster import Choice, client, with_engines
from pyvda.engine import Engine, get_engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import in_blocks, output, places, target
from pyvda.fields import points as of_points
from pyvda.fields.field import Field, Values, opened
from pyvda.fields.methods import FIELD_METHODS, LEARNED, FieldMethod, learned_method
from pyvda.fields.options import Estimate, FieldOptions
from pyvda.fields.points import DataAtPoints
from pyvda.fields.withheld import hidden_points, withheld_of
from pyvda.io.sources import sources
from pyvda.io.writing import attributes
from pyvda.progress import ProgressReport
from pyvda.run_record import record
from pyvda.settings import Settings
from pyvda.validation_errors import validated

_USED = {"method", "variable", "good_flags", "group", "engine", "report"}


def chosen(settings: Settings, options: Mapping[str, Any]) -> tuple[FieldMethod, FieldOptions]:
    """Return the method and its validated options.

    Raises
    ------
    InputError
        A setting is given that has no effect without a model; or an option is invalid.
    """
    given = {"checkpoint": str(settings.checkpoint)} if settings.checkpoint is not None else {}
    if given and settings.model_fields_set & {"method"} and settings.method != LEARNED.name:
        raise InputError(
            f"the method is {settings.method}, but a checkpoint is a trained network, which takes "
            "the place of a method; leave out method or checkpoint"
        )
    if settings.checkpoint is not None:
        method = learned_method(settings.checkpoint)
    else:
        method = FIELD_METHODS[settings.method]
    used = _USED | given.keys() | ({"block"} if method.plan else set())
    idle = sorted(settings.model_fields_set - used)
    idle = [one for one in idle if getattr(settings, one) != Settings.model_fields[one].default]
    if idle:
        raise InputError(
            f"{', '.join(idle)} would have no effect: {method.name} estimates a field without a "
            "model, at the times of the file; leave it out"
        )
    return method, validated(method.options, {**given, **options}, f"options of {method.name}")


def assimilate(
    observations: Any, settings: Settings, given: Mapping[str, Any], report: ProgressReport
) -> xr.Dataset:
    """Return the analysis of a field; see `pyvda.assimilate`."""
    method, options = chosen(settings, given)
    ds, field, points, turned = read_fields(observations, settings, method, options)
    if sources.is_location(observations):
        several = isinstance(observations, list | tuple)
        ds = ds.copy(deep=False)
        ds.encoding["source"] = [*observations] if several else observations
    block = _block_of(observations, settings, field, method, options, points)
    if block is not None:
        divided = _lazily(ds, field, method, options, block, settings, given, report)
        return _turned(divided, turned)
    engine = get_engine(settings.engine)
    read = {name: field.read(name) for name in field.variables}
    withheld, hidden = None, None
    if points is not None and not field.seen.any():
        hidden = hidden_points(points, ds, options.withhold)
    else:
        withheld = withheld_of(field, options.withhold, turned)
    found = estimated(
        field, read, withheld, method, options, engine, report, points=points, hidden=hidden
    )
    configuration = {
        "options": plain(options),
        "variables": {name: one.configuration for name, one in found.items()},
        "run": record(ds, settings, given, engine.info),
    }
    analysis = output.analysis(
        field, read, withheld, found, method.name, configuration, str(engine.info), points, hidden
    )
    return _turned(_with_differences(analysis, [e.configuration for e in found.values()]), turned)


def _turned(analysis: xr.Dataset, turned: Sequence[str]) -> xr.Dataset:
    """Return an analysis with its dimensions as the file has them."""
    return analysis.isel({dim: slice(None, None, -1) for dim in turned})


def _with_differences(
    analysis: xr.Dataset, configurations: Sequence[Mapping[str, Any]]
) -> xr.Dataset:
    """Return an analysis that says how its file differs from that of a training."""
    unlike = "; ".join({text for one in configurations if (text := one.get("differs"))})
    return analysis.assign_attrs(pyvda_pattern_difference=unlike) if unlike else analysis


def _opened(
    ds: xr.Dataset, settings: Settings, options: FieldOptions
) -> tuple[Field, tuple[str, ...]]:
    """Return the field in the training's orientation, and the flipped dimensions."""
    trained = options.trained()
    known = trained is not None

    def open_field(ds: xr.Dataset, sea: Array | None) -> Field:
        return opened(
            ds, settings.variable or (tuple(trained.variables) if known else None),
            mask=options.mask,
            transform=options.transform or (trained.transform if known else None),
            good_flags=settings.good_flags, sea=sea,
        )  # fmt: skip

    return options.aligned(ds, open_field) if known else (open_field(ds, None), ())


def _block_of(
    observations: Any,
    settings: Settings,
    field: Field,
    method: FieldMethod,
    options: FieldOptions,
    points: DataAtPoints | None,
) -> int | None:
    """Return the times of a block, None where the field is estimated as a whole.

    A file that is too large for memory, or that workers share, is divided by its size.

    Raises
    ------
    InputError
        A block is given for data at points.
    """
    if points is not None:
        if settings.block is not None:
            raise InputError(
                f"block is {settings.block}, but data at points are read as a whole; leave out "
                "block (--block)"
            )
        return None
    if settings.block is not None or method.plan is None:
        return settings.block
    chunks = field.ds[field.variables[0]].chunksizes.get(field.time)
    if chunks is not None:
        return max(chunks)
    using = client() if sources.is_location(observations) else None
    large = len(field.days) * len(field.places) > 2 * in_blocks.VALUES
    if using is None and not (large and sources.is_location(observations)):
        return None
    count = 1 if using is None else len(using.scheduler_info()["workers"])
    return in_blocks.default_block(field, options.reach_days(field), count)


def _lazily(
    ds: xr.Dataset,
    field: Field,
    method: FieldMethod,
    options: FieldOptions,
    block: int,
    settings: Settings,
    given: Mapping[str, Any],
    report: ProgressReport,
) -> xr.Dataset:
    if method.plan is None:
        raise TypeError(f"{method.name} does not estimate a field block by block")
    engine = get_engine(settings.engine)
    configuration = {
        "options": plain(options), "run": record(ds, settings, given, engine.info, block)
    }  # fmt: skip
    plan = method.plan(field, options, block, settings.engine, report)
    found = in_blocks.lazily(field, options, plan, block, settings.engine, configuration)
    found = _with_differences(found, list(plan.configuration().values()))
    return with_engines(found, Choice.here(None, settings.engine))


def read_fields(
    observations: Any, settings: Settings, method: FieldMethod, options: FieldOptions
) -> tuple[xr.Dataset, Field, DataAtPoints | None, tuple[str, ...]]:
    """Return the first Dataset, the field that is estimated, and data at points, if there are any.

    The last item is the dimensions that are turned for a trained network.

    Raises
    ------
    InputError
        The method does not take points; there is no grid for them, or one beside a field; or see
        `opened` and `points.read`.
    """
    grid, beside = getattr(options, "grid", None), getattr(options, "points", None)
    several = isinstance(observations, list | tuple) and grid is not None
    first = sources.as_dataset(
        observations[0] if several else observations, "the argument observations",
        group=settings.group,
    )  # fmt: skip
    attributes.check(first)
    how: dict[str, Any] = {"transform": options.transform, "good_flags": settings.good_flags}
    if of_points.are_points(first, settings.variable):
        if not hasattr(options, "grid"):
            raise InputError(
                f"the observations lie at points, but {method.name} takes fields on a grid; choose "
                "oi with a grid (--method oi --grid GRID)"
            )
        if grid is None:
            raise InputError(
                "the observations lie at points, and it is not said where they are to be "
                "estimated; give a grid (--grid): a file with latitude and longitude, or "
                "lon0:lon1:step,lat0:lat1:step"
            )
        if beside is not None:
            raise InputError(
                "points are given beside observations that lie at points themselves; list all "
                "files as observations"
            )
        points = of_points.read(
            list(observations) if several else first, settings.variable, group=settings.group
            if several else None, **how,
        )  # fmt: skip
        times = getattr(options, "times", None)
        field = target.on_grid(points, grid, times, mask=options.mask, transform=options.transform)
        return first, field, points, ()
    field, turned = _opened(first, settings, options)
    idle = [n for n in ("grid", "times") if getattr(options, n, None) is not None]
    idle += [n for n in ("mean",) if getattr(options, n, None) is not None]
    idle += [n for n in ("group_days",) if beside is None and getattr(options, n, None) is not None]
    if idle:
        raise InputError(
            f"{', '.join(idle)} would have no effect: the observations are a field, which is "
            "estimated on its own grid and times around its own mean; leave it out"
        )
    if beside is None:
        return first, field, None, turned
    points = of_points.read(beside, field.variables, **how)
    attrs = {name: dict(field.ds[name].attrs) for name in field.variables}
    of_points.check_units(points.attrs, attrs, "the point data", "the field")
    places.joined(field.places, points.places)  # of one kind
    if points.dated != field.dated:
        raise InputError(
            "the times of the field and of the point data are not both dates; give both dates"
        )
    return first, field, points, turned


def estimated(
    field: Field,
    read: dict[str, Values],
    withheld: Array | None,
    method: FieldMethod,
    options: FieldOptions,
    engine: Engine,
    report: ProgressReport,
    *,
    where: Array | None = None,
    points: DataAtPoints | None = None,
    hidden: Array | None = None,
) -> dict[str, Estimate]:
    """Return the estimates from the data that are not withheld.

    Parameters
    ----------
    withheld : (T, P) of bool, optional
    where : (T, P) of bool, optional
        Where an estimate is needed. Default: everywhere.
    points : DataAtPoints, optional
        Data at points.
    hidden : (N,) of bool, optional
        Those of them that are withheld.

    Raises
    ------
    InputError
        Nothing is left of a variable; or see the method.
    """
    used = {}
    for name, values in read.items():
        left = values.values if withheld is None else np.where(withheld, np.nan, values.values)
        if not np.isfinite(left).any() and not _any_left(points, name, hidden):
            raise InputError(f"no observation of {name} is left; withhold fewer, or choose another")
        used[name] = replace(values, values=left)
    if points is None:
        return method.solve(field, used, options, engine, report, where=where)
    left_points = points if hidden is None else points.without(hidden)
    return method.solve(field, used, options, engine, report, where=where, points=left_points)


def _any_left(points: DataAtPoints | None, name: str, hidden: Array | None) -> bool:
    if points is None:
        return False
    there = np.isfinite(points.values[name].values)
    return bool((there if hidden is None else there & ~hidden).any())


def plain(options: FieldOptions) -> dict[str, Any]:
    """Return the options as plain data, arrays by their type."""
    found = options.model_dump()
    return {
        key: value
        if isinstance(value, str | int | float | dict | tuple | None)
        else type(value).__name__
        for key, value in found.items()
    }
