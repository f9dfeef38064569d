"""Models of the user's own in Julia: one file with one struct (`julia/src/models/model.jl`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from math import inf, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.models.model import JuliaSource, Model, Start, chosen, number, spelled, whole
from pyvda.state.space import StateSpace, Variable

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine
    from pyvda.engine.julia.registry import Coordinates, ModelDescription

_STARTS = 64  # states from the file's `start` that describe it
_MOST_BYTES = 1 << 20
_ONLY = "x"  # the variable of a model that names none
_BESIDE_X = "field"  # the same, where a dimension is called x


def julia_model(path: str | os.PathLike[str], **fields: Any) -> Model:
    """Return the model of a Julia file.

    The file is evaluated where `SmallModel`, `LargeModel`, `VectorModel` and the functions to
    extend are imported already. It is read each time: a changed file gives a changed model.

    Parameters
    ----------
    path : path
        A file with one struct <: SmallModel, LargeModel or VectorModel.
    **fields : float or int
        Values of the struct's fields, by name, in place of the file's defaults.

    Raises
    ------
    InputError
        When there is no such file; for an error in it, with the line and Julia's message; when it
        does not define one model with the functions that it needs; for an unknown field or a value
        that the model cannot have.
    EngineError
        When no Julia can start.

    Examples
    --------
    >>> model = julia_model("rossler.jl", a=0.2)  # doctest: +SKIP
    """
    from pyvda.engine import get_engine  # starts Julia

    engine: JuliaEngine = get_engine("julia")  # type: ignore[assignment]
    source = JuliaSource(str(path), _text(Path(path)), "")
    default = engine.describe(source)
    fields = spelled(fields, default.fields)
    chosen("field", fields, default.fields, default.type_name)
    given: dict[str, float] = {}
    for name, value in fields.items():
        what = f"the field {name} of {default.type_name}"
        size = isinstance(default.fields[name], int)
        given[name] = whole(what, value, -(2**31)) if size else number(what, value)
    values = {**default.fields, **given}
    if 0 < len(given) < len(values):
        # Defaults of the others may depend on these.
        partly = engine.describe(source, np.array([given.get(name, nan) for name in values]))
        _expect_kept(path, partly, given)
        values = {**partly.fields, **given}
    missing = [name for name, value in values.items() if isnan(value)]
    if missing:
        raise InputError(
            f"{path}: {default.type_name} has no default for {', '.join(missing)}; give values, or "
            f"write {default.type_name}(; {missing[0]} = ..., ...) in the file"
        )
    numbers = np.array(list(values.values()), dtype=float)
    found = engine.describe(source, numbers)
    # Every call makes the struct from these values: a constructor that changes them would be
    # applied again each time.
    _expect_kept(path, found, values)
    if found.spinup is not None and not 0 <= found.spinup < inf:
        raise InputError(
            f"{path}: spinup(m::{found.type_name}) is {found.spinup}, expected a finite number of "
            "at least 0"
        )
    parameters = {name: v for name, v in values.items() if not isinstance(v, int)}
    model = Model(
        name=found.type_name,
        state_size=_space(found, None).size,
        parameters=tuple(parameters.values()),
        time_step=found.time_step,
        parameter_names=tuple(parameters),
        fields=tuple(values.items()),
        state_space=_space(
            found,
            _land(engine, source, numbers, found),
            engine.coordinates(source, numbers, found) if found.points else (),
        ),
        kind=found.form,
        julia=source,
        spinup=found.spinup,
    )
    if "start" not in found.gives:
        return model
    states = engine.starts(model, _STARTS, seed=0)
    states[:, ~model.sea] = 0.0
    spread = float(states.std(axis=0)[model.sea].mean()) if model.sea.any() else 0.0
    return replace(model, start=Start(tuple(states.mean(axis=0).tolist()), spread, drawn=True))


def _expect_kept(
    path: str | os.PathLike[str], found: ModelDescription, values: Mapping[str, float]
) -> None:
    for name, value in values.items():
        kept = found.fields[name]
        if kept != value and not isnan(kept):
            raise InputError(
                f"{path}: {found.type_name} made with {name} = {value} has {kept}; "
                "a constructor must keep the fields that it is given"
            )


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"there is no file {path}; give the path of a Julia file")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size} bytes, expected a Julia file of a model"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8, expected a Julia file") from None
    if not text.strip() or "\0" in text:
        raise InputError(f"{path} is empty or not text, expected a Julia file of a model")
    return text


def _land(
    engine: JuliaEngine, source: JuliaSource, numbers: np.ndarray, found: ModelDescription
) -> np.ndarray | None:
    if "land" not in found.gives:
        return None
    return engine.land(source, numbers, _space(found, None).size)


def _space(
    found: ModelDescription, land: np.ndarray | None, coordinates: Coordinates = ()
) -> StateSpace:
    return StateSpace(
        tuple(
            Variable(
                _BESIDE_X if name == _ONLY and name in dims else name,
                tuple(dims),
                tuple(dims.values()),
            )
            for name, dims in found.variables.items()
        ),
        land,
        coordinates=coordinates,
    )
