"""The record of a run in its analysis, from which `pyvda rerun` repeats it.

A record is plain data, a part of the attribute `pyvda_configuration`: every keyword of the call,
the command line where there was one, the input and a digest of every file that the run read, the
engine and the versions. Keywords that no text stands for (functions, models typed at a prompt) are
recorded by their type.
"""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine import EngineInfo
from pyvda.errors import InputError
from pyvda.io import digest
from pyvda.io.writing import history
from pyvda.io.writing.outputs import existing
from pyvda.machine import installed
from pyvda.models.model import Model
from pyvda.models.registry import resolve
from pyvda.operators.correlated_errors import CorrelatedErrors
from pyvda.operators.julia_function import JuliaFunction
from pyvda.operators.observation import Mask
from pyvda.settings import Settings

_NOT_OF_THE_RESULT = ("report", "state")  # progress, and where an interrupted descent goes on
ENVIRONMENT = ("PYVDA_ENGINE", "PYVDA_KERNELS", "PYVDA_THREADS")
_MOST_VALUES = 10_000  # of an array that is recorded
_UNSAID = "unsaid"


def record(
    observations: xr.Dataset,
    settings: Settings,
    options: Mapping[str, Any],
    engine: EngineInfo,
    block: int | None = None,
) -> dict[str, Any]:
    """Return a record from which a call of `pyvda.assimilate` can be repeated.

    Parameters
    ----------
    observations : Dataset
        As given to it. Its `encoding` tells which file it was opened from.
    settings : Settings
    options : mapping
        Options of the method, as given.
    engine : EngineInfo
        The engine that ran.
    block : int, optional
        Windows of a dask chunk of the observations, if they were in chunks.
    """
    values = {
        name: getattr(settings, name)
        for name in Settings.model_fields
        if name not in _NOT_OF_THE_RESULT
    }
    source = observations.encoding.get("source")
    opened = {k: encoded(v) for k, v in observations.encoding.get(names.OPENED, {}).items()}
    sizes = {str(dim): size for dim, size in observations.sizes.items()}
    arguments = history.command()
    read = [*values.values(), *options.values()]
    read += [value.path for value in read if isinstance(value, JuliaFunction)]
    read += [part for word in arguments for part in {word, word.partition("=")[2]}]
    skipped = [settings.state, *outputs(arguments)]
    return {
        "command": list(arguments),
        "settings": {name: encoded(value) for name, value in values.items()},
        "options": {name: encoded(value) for name, value in options.items()},
        "input": {"path": _as_text(source), "block": block, "sizes": sizes, **opened},
        # The input also if the output replaces it: the run cannot be repeated then.
        "files": _digests([source], ()) | _digests(read, skipped),
        "folder": os.getcwd(),
        "engine": engine.start,
        "environment": {n: os.environ[n] for n in ENVIRONMENT if n in os.environ},
        "keeps_state": settings.state is not None,
        "versions": versions(),
    }


def _as_text(source: Any) -> Any:
    """Return the path of the observations, or their paths, as plain data."""
    if isinstance(source, list | tuple):
        return [os.fspath(one) for one in source]
    return None if source is None else os.fspath(source)


def versions() -> dict[str, str]:
    """Return the versions of the libraries used."""
    numerics = {name: installed(name) for name in ("numpy", "torch")}
    return {"pyvda": pyvda.__version__, "python": platform.python_version(), **numerics}


def encoded(value: Any) -> Any:
    """Return a value as plain data, from which `decoded` restores it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Model):
        said = {"model": value.name, "values": dict(value.fields)}
        return said if _is_registered(value) else {_UNSAID: f"the model {value.name}"}
    if isinstance(value, Mask):
        return {"operator": "mask"} | _encoded_errors(value)
    if isinstance(value, JuliaFunction):
        return {"operator": "julia", "path": value.path} | _encoded_errors(value)
    if isinstance(value, np.ndarray) and value.size <= _MOST_VALUES and value.dtype.kind in "fiub":
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, list | tuple):
        return [encoded(one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: encoded(one) for key, one in value.items()}}
    kind = type(value)
    return {_UNSAID: f"an object of type {kind.__module__}.{kind.__qualname__}"}


def decoded(name: str, value: Any) -> Any:
    """Return the value that `encoded` converted to plain data.

    Raises
    ------
    InputError
        The value could not be recorded.
    """
    if isinstance(value, list):
        return tuple(decoded(name, one) for one in value)
    if not isinstance(value, dict):
        return value
    if _UNSAID in value:
        raise InputError(
            f"the keyword {name} of the run was {value[_UNSAID]}, which a file cannot hold; give "
            f"it again in Python: pyvda.rerun(analysis, {name}=...)"
        )
    if "model" in value:
        return resolve(value["model"], value["values"])
    if "operator" in value:
        errors = CorrelatedErrors(**value["errors"]) if "errors" in value else None
        if value["operator"] == "mask":
            return Mask(errors)
        return JuliaFunction(value["path"], errors=errors)
    if "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    return {key: decoded(name, one) for key, one in value["mapping"].items()}


def _encoded_errors(operator: Mask | JuliaFunction) -> dict[str, Any]:
    return {} if operator.errors is None else {"errors": asdict(operator.errors)}


def _is_registered(model: Model) -> bool:
    try:
        return resolve(model.name, dict(model.fields)) == model
    except InputError:
        return False


def _digests(read: Iterable[Any], skipped: Iterable[Any]) -> dict[str, str]:
    """Return a digest for each existing file among what a run has read, by its path as given."""
    not_read = {os.path.realpath(path) for path in skipped if path is not None}
    found = {}
    for path in existing(read):
        if os.path.realpath(path) not in not_read and path not in found:
            found[path] = digest.of_path(path)
    return found


def outputs(arguments: Iterable[str]) -> list[str]:
    """Return what follows -o or --output, or is part of the same word."""
    words = list(arguments)
    after = [b for a, b in itertools.pairwise(words) if a in ("-o", "--output")]
    within = [word.partition("=")[2] for word in words if word.startswith("--output=")]
    attached = [word[2:] for word in words if word.startswith("-o") and len(word) > 2]
    return [*after, *within, *attached]


def unchanged(run: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the files of a run that are missing or changed, relative paths being of `folder`."""
    return [
        path
        for path, before in run["files"].items()
        if not (folder / path).exists() or digest.of_path(folder / path) != before
    ]
