"""Calls of Julia's entry points, by the arguments in `julia/src/boundary/signatures.txt`.

Julia makes its C functions from the same file, so that the two sides cannot differ. Arguments are
given by name, arrays as numpy arrays of the type that the file states.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

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


def c_arguments(name: str, given: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of a call but message and capacity, in order, as ctypes takes them.

    Pointers are to the memory of the arrays in `given`, which the caller keeps alive.

    Parameters
    ----------
    name : str
        The entry point.
    given : mapping
        Its arguments: numbers; numpy arrays or None (a null pointer); for `bytes` also bytes or a
        ctypes buffer; for `addresses` a sequence of arrays.

    Raises
    ------
    TypeError
        An argument is missing or unknown, or an array has another type or is not C-contiguous.
    """
    expected = signatures()[name][:-2]
    if len(given) != len(expected) or not all(argument in given for _, argument in expected):
        names = {argument for _, argument in expected}
        wrong = sorted(names ^ set(given))
        raise TypeError(f"{name}: {', '.join(wrong)} missing or unknown, expected {sorted(names)}")
    return [_CONVERTED[kind](f"{name}: {a}", given[a]) for kind, a in expected]


def text_arguments(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return texts by name, each with the number of its bytes."""
    encoded = {name: text.encode() for name, text in texts.items()}
    return encoded | {f"{name}_bytes": len(text) for name, text in encoded.items()}


def _pointer(*dtypes: type) -> Callable[[str, Any], ctypes.c_void_p | None]:
    def converted(name: str, array: Any) -> ctypes.c_void_p | None:
        if array is None:
            return None
        if array.dtype not in dtypes or not (array.flags.c_contiguous and array.flags.aligned):
            raise TypeError(
                f"{name} is an array of {array.dtype}, C-contiguous: {array.flags.c_contiguous}, "
                f"aligned: {array.flags.aligned}, expected a C-contiguous, aligned one of "
                f"{' or '.join(dtype.__name__ for dtype in dtypes)}"
            )
        return ctypes.c_void_p(array.ctypes.data)

    return converted


def _text(name: str, text: Any) -> Any:
    if isinstance(text, bytes):
        return ctypes.c_char_p(text)
    return ctypes.addressof(text) if isinstance(text, ctypes.Array) else _BYTES(name, text)


def _addresses(name: str, arrays: Any) -> Any:
    if arrays is None:
        return None
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


_BYTES = _pointer(np.uint8)
_CONVERTED: dict[str, Callable[[str, Any], Any]] = {
    "int": lambda _, number: int(number),
    "real": lambda _, number: float(number),
    "ints": _pointer(np.int64),
    "reals": _pointer(np.float64),
    "numbers": _pointer(np.float32, np.float64),
    "bytes": _text,
    "addresses": _addresses,
}
