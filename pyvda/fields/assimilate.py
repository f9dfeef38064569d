"""`pyvda.assimilate` for fields without a model: read, withhold, estimate, write down."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda.engine import Engine, get_engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import output
from pyvda.fields.field import Field, Values, opened
from pyvda.fields.learned import shipped
from pyvda.fields.methods import FIELD_METHODS, LEARNED, FieldMethod
from pyvda.fields.options import Estimate, FieldOptions
from pyvda.io.sources import sources
from pyvda.io.sources.open import open_dataset
from pyvda.io.writing import attributes
from pyvda.progress import Report, heard
from pyvda.run_record import record
from pyvda.settings import Settings
from pyvda.validation_errors import validated

WITHHELD = "withheld"
_USED = {"method", "variable", "good_flags", "group", "engine", "report"}


def is_of_fields(settings: Settings) -> bool:
    """Tell whether a method, or a checkpoint, works on fields without a model."""
    if settings.checkpoint is not None:
        return shipped.is_known(settings.checkpoint)
    return settings.method in FIELD_METHODS


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
    method = LEARNED if given else FIELD_METHODS[settings.method]
    idle = sorted(settings.model_fields_set - _USED - given.keys())
    idle = [one for one in idle if getattr(settings, one) != Settings.model_fields[one].default]
    if idle:
        raise InputError(
            f"{', '.join(idle)} would have no effect: {method.name} estimates a field without a "
            "model, at the times of the file; leave it out"
        )
    return method, validated(method.options, {**given, **options}, f"options of {method.name}")


def assimilate(observations: Any, settings: Settings, given: Mapping[str, Any]) -> xr.Dataset:
    """Return the analysis of a field; see `pyvda.assimilate`."""
    method, options = chosen(settings, given)
    ds = sources.as_dataset(observations, "the argument observations", group=settings.group)
    attributes.check(ds)
    field, turned = _opened(ds, settings, options)
    engine = get_engine(settings.engine)
    read = {name: field.read(name) for name in field.variables}
    withheld = withheld_of(field, options.withhold, turned)
    found = estimated(field, read, withheld, method, options, engine, heard(settings.report))
    if sources.is_location(observations):
        ds = ds.copy(deep=False)
        ds.encoding["source"] = os.fspath(observations)
    configuration = {
        "options": plain(options),
        "variables": {name: one.configuration for name, one in found.items()},
        "run": record(ds, settings, given, engine.info),
    }
    analysis = output.analysis(
        field, read, withheld, found, method.name, configuration, str(engine.info)
    )
    analysis = analysis.isel({dim: slice(None, None, -1) for dim in turned})
    unlike = {text for one in found.values() if (text := one.configuration.get("differs"))}
    return analysis.assign_attrs(pyvda_pattern_difference="; ".join(unlike)) if unlike else analysis


def _opened(
    ds: xr.Dataset, settings: Settings, options: FieldOptions
) -> tuple[Field, tuple[str, ...]]:
    """Return the field of a file, as a training had it, and the dimensions turned for that."""
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


def estimated(
    field: Field,
    read: dict[str, Values],
    withheld: Array | None,
    method: FieldMethod,
    options: FieldOptions,
    engine: Engine,
    report: Report,
    *,
    where: Array | None = None,
) -> dict[str, Estimate]:
    """Return the estimates from the data that are not withheld.

    Parameters
    ----------
    withheld : (T, P) of bool, optional
    where : (T, P) of bool, optional
        Where an estimate is needed. Default: everywhere.

    Raises
    ------
    InputError
        Nothing is left of a variable; or see the method.
    """
    used = {}
    for name, values in read.items():
        left = values.values if withheld is None else np.where(withheld, np.nan, values.values)
        if not np.isfinite(left).any():
            raise InputError(f"no observation of {name} is left; withhold fewer, or choose another")
        used[name] = replace(values, values=left)
    return method.solve(field, used, options, engine, report, where=where)


def withheld_of(field: Field, given: Any, turned: Sequence[str] = ()) -> Array | None:
    """Return which data are withheld, (T, P) of bool.

    Parameters
    ----------
    field : Field
    given : str, path or array, optional
    turned : sequence of str
        Dimensions that the field has in the other direction than the file.

    Raises
    ------
    InputError
        There is no such variable or file, or it is on another grid.
    """
    if given is None:
        return None
    if isinstance(given, str) and given in field.ds.variables:
        array = field.ds[given]
    elif isinstance(given, str | os.PathLike):
        if not os.path.exists(given):
            raise InputError(
                f"withhold is {os.fspath(given)!r}, which is neither a variable of the file nor "
                "another file; give either, or an array"
            )
        other = open_dataset(given)
        if WITHHELD not in other:
            raise InputError(
                f"{os.fspath(given)} has no variable {WITHHELD}; name it so, nonzero where a "
                "value is not to be used"
            )
        array = other[WITHHELD]
    elif isinstance(given, xr.DataArray):
        array = given
    else:
        array = xr.DataArray(np.asarray(given), dims=(field.time, *field.space))
    wanted = (field.time, *field.space)
    shape = (len(field.days), *field.sea.shape)
    if set(array.dims) != set(wanted) or array.transpose(*wanted).shape != shape:
        raise InputError(
            f"what is withheld has the dimensions {dict(array.sizes)}, expected "
            f"{dict(zip(wanted, shape, strict=True))}; put it on the grid of the field"
        )
    if not (isinstance(given, str) and given in field.ds.variables):
        array = array.isel({dim: slice(None, None, -1) for dim in turned})
    return np.asarray(array.transpose(*wanted).values != 0)[:, field.sea]


def plain(options: FieldOptions) -> dict[str, Any]:
    """Return the options as plain data, arrays by their type."""
    found = options.model_dump()
    return {
        key: value if isinstance(value, str | int | float | dict | None) else type(value).__name__
        for key, value in found.items()
    }
