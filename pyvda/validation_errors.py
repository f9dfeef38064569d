"""What pydantic refuses, as one sentence: found, expected, remedy."""

from __future__ import annotations

from typing import Any

import pydantic

from pyvda.errors import InputError


def validated(kind: type[Any], values: Any, where: str) -> Any:
    """Return `values` as a model of `kind`, or say in one sentence what is wrong with them.

    Parameters
    ----------
    kind : subclass of BaseModel
    values : mapping
    where : str
        What they are, to open the sentence: the name of a file, "options of fsgd".

    Raises
    ------
    InputError
        A key is unknown or missing, or a value is none that it can have.
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
        # A part that is no key of the values names the kind of a section, or a type of several.
        if isinstance(found, dict):
            of_value = first["type"] == "value_error"  # then even the last part is no key
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
    return f"{name} is {given!r}, but {message[0].lower()}{message[1:]}"
