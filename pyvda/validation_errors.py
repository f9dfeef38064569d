"""Convert validation errors to one-line messages: found, expected, remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from pyvda.errors import InputError


def validated(kind: type[Any], values: Any, where: str) -> Any:
    """Return `values` as a model of `kind`, or raise an error with a one-line message.

    Parameters
    ----------
    kind : subclass of BaseModel
    values : mapping
    where : str
        What they are, to open the sentence: the name of a file, "options of fsgd".

    Raises
    ------
    InputError
        A key is unknown or missing, or a value is invalid.
    """
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"{where}: {_sentence(error, kind, values)}") from None


def _sentence(error: pydantic.ValidationError, kind: type[Any], values: Any) -> str:
    first = error.errors()[0]
    path: list[str] = []
    found = values
    for part in first["loc"]:
        # A part that is not a key of the values names the kind of a section, or a type of a union.
        if isinstance(found, dict):
            of_value = first["type"] == "value_error"  # then even the last part is not a key
            if part not in found and (of_value or part != first["loc"][-1]):
                continue
            found = found.get(part, found)
        elif isinstance(found, list | tuple) and isinstance(part, int):
            found = found[part]
        elif path:
            continue
        path.append(str(part))
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = f" ({', '.join(kind.model_fields)})" if len(path) == 1 else ""
        return f"unknown key {name}; remove it or correct its spelling{known}"
    if first["type"] == "missing":
        return f"the key {name} is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{name + ': ' if name else ''}{message}"
    given = first["input"]
    return f"{name} is {brief(given)}, but {message[0].lower()}{message[1:]}"


def brief(value: object, length: int = 100) -> str:
    """Return a value as it is written in Python, in one short line.

    >>> brief(list(range(100)), 12)
    '[0, 1, 2, 3,...'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= length else f"{text[:length]}..."


def array_of(value: Any) -> np.ndarray:
    """Return a value as an array; where numpy cannot convert it, an array of objects.

    >>> array_of([1, 2]).dtype.kind, array_of([[1], [2, 3]]).dtype.kind
    ('i', 'O')
    """
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # a Dataset, rows of different lengths
        return np.array(None, dtype=object)
