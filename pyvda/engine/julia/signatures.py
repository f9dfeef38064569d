"""ctypes prototypes of Julia's entry points, read from `julia/src/boundary/signatures.txt`.

Julia generates its C functions from the same file, so that the two sides cannot differ.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from pyvda.engine.julia.source import julia_source

TYPES: dict[str, Any] = {
    "int": ctypes.c_int64,
    "real": ctypes.c_double,
    "ints": ctypes.c_void_p,
    "reals": ctypes.c_void_p,
    "numbers": ctypes.c_void_p,
    "bytes": ctypes.c_void_p,
    "addresses": ctypes.c_void_p,
}
END = "bytes message, int capacity"


def table() -> Path:
    """Return the path of the file with the signatures."""
    return julia_source().parent / "boundary" / "signatures.txt"


@cache
def signatures() -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the arguments of each entry point, pairs of type and name."""
    groups: dict[str, str] = {}
    found = {}
    for line in table().read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, arguments = line.split(maxsplit=1)
        written = ",".join(groups.get(a.strip(), a) for a in arguments.split(","))
        if name.startswith("*"):
            groups[name[1:]] = written
        else:
            pairs = [a.split() for a in f"{written}, {END}".split(",")]
            found[name] = tuple((kind, argument) for kind, argument in pairs)
    return found


@cache
def prototype(name: str) -> Any:
    """Return the C function type of the entry point `name`."""
    return ctypes.CFUNCTYPE(ctypes.c_int, *(TYPES[kind] for kind, _ in signatures()[name]))
