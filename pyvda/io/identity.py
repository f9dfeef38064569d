"""The identity of a run: what two runs share that write the same numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

# Of another time, place or machine, but of the same numbers.
_PASSING = ("history", "source", "pyvda_engine")


def identity(analysis: xr.Dataset, observations: Sequence[str]) -> str:
    """Return a digest of an analysis that is still to be computed.

    Parameters
    ----------
    analysis : Dataset
        Its attributes hold the configuration, its chunks the blocks.
    observations : sequence of str
        Locations; files are known by their sizes and times of change.
    """
    digest = hashlib.sha256()
    attributes = {k: v for k, v in analysis.attrs.items() if k not in _PASSING}
    digest.update(json.dumps(attributes, sort_keys=True, default=repr).encode())
    for name, variable in sorted(analysis.variables.items(), key=lambda item: str(item[0])):
        digest.update(repr((name, variable.dims, variable.shape, variable.chunks)).encode())
        if variable.chunks is None and variable.dtype.kind != "O":
            digest.update(np.ascontiguousarray(variable.values).tobytes())
    for location in observations:
        digest.update(location.encode())
        for file in _files(Path(location).expanduser()):
            found = file.stat()
            digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(one for one in path.rglob("*") if one.is_file())
