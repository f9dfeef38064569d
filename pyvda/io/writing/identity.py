"""The identity of a run: what two runs share that write the same numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

# Of another time, place or machine, but of the same numbers.
_PASSING = ("history", "source", "pyvda_engine")
_PLAIN = (bool, int, float, type(None))


def identity(analysis: xr.Dataset, given: Mapping[str, Any]) -> str:
    """Return a digest of an analysis that is still to be computed.

    Parameters
    ----------
    analysis : Dataset
        Its attributes hold the configuration, its chunks the blocks.
    given : mapping
        What it was called with: observations and keywords. Files among these are known by their
        sizes and times of change.
    """
    digest = hashlib.sha256()
    attributes = {k: v for k, v in analysis.attrs.items() if k not in _PASSING}
    digest.update(json.dumps(attributes, sort_keys=True, default=repr).encode())
    for name, variable in sorted(analysis.variables.items(), key=lambda item: str(item[0])):
        digest.update(repr((name, variable.dims, variable.shape, variable.chunks)).encode())
        if variable.chunks is None and variable.dtype.kind != "O":
            digest.update(np.ascontiguousarray(variable.values).tobytes())
    for name, value in sorted(given.items()):
        digest.update(f"{name} {'; '.join(_described(value))}".encode())
    return digest.hexdigest()


def _described(value: Any) -> Iterator[str]:
    """Yield a description of a value that is the same in another process, with its files."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _described(one)
    elif not isinstance(value, str | Path):
        yield repr(value) if isinstance(value, _PLAIN) else type(value).__name__
    else:
        yield str(value)
        for file in _files(str(value)):
            found = file.stat()
            yield f"{file.name} {found.st_size} {found.st_mtime_ns}"


def _files(location: str) -> Iterator[Path]:
    # A model in a file may be followed by its name there: models.py:rossler.
    for text in (location, location.rpartition(":")[0]):
        path = Path(text).expanduser()
        if text and path.is_file():
            yield path
        elif text and path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
