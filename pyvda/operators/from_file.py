"""Observation operators in files: rows.csv, observe.jl, observe.py:name.

    rows.csv, rows.nc, ...   the table of a `SparseLinear` operator's entries
    observe.jl               a `JuliaFunction`
    observe.py:name          an operator that the file makes, or a function or a module of torch,
                             which becomes a `FunctionOperator` in double precision

A table is data. A file in Julia or Python is code, which is executed.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import FunctionType
from typing import Any

from pyvda.errors import InputError
from pyvda.operators.observation import ObservationOperator


def resolve(given: str | os.PathLike[str] | ObservationOperator | None) -> Any:
    """Return the operator that a word of the command line or an argument means; None stays None.

    Parameters
    ----------
    given : str, path or ObservationOperator, optional
        See the list above.

    Raises
    ------
    InputError
        There is no such file, it cannot be used, or it has no such operator.
    """
    if given is None or isinstance(given, ObservationOperator):
        return given
    text = os.fspath(given)
    if text.endswith(".jl"):
        from pyvda.operators.julia_function import JuliaFunction

        return JuliaFunction(text)
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _of_python(path, name)
    if text.endswith(".py"):
        raise InputError(f"{text} may hold several operators; name one, as in {text}:name")
    from pyvda.io.sources.open import open_dataset
    from pyvda.operators.sparse_linear import SparseLinear

    return SparseLinear(open_dataset(text))


def _of_python(path: str, name: str) -> ObservationOperator:
    import torch

    from pyvda.models.from_file import executed
    from pyvda.operators.function import FunctionOperator

    module = executed(Path(path))
    found = getattr(module, name, None)
    if isinstance(found, ObservationOperator):
        return found
    if isinstance(found, torch.nn.Module):
        return FunctionOperator(found.double().requires_grad_(False))
    if callable(found) and not isinstance(found, type):
        return FunctionOperator(found)
    if isinstance(found, type):
        raise InputError(
            f"{path}:{name} is a class, expected an operator made of it, or a function; write "
            f"operator = {name}(...) in the file and name that"
        )
    known = [
        key
        for key, value in vars(module).items()
        if isinstance(value, ObservationOperator | torch.nn.Module)
        or (isinstance(value, FunctionType) and value.__module__ == module.__name__)
    ]
    what = "no operator" if found is None else f"no operator but a {type(found).__name__}"
    raise InputError(
        f"{path} has {what} {name!r}, found {', '.join(known) or 'none'}; name an object of "
        "pyvda.operators, or a function of torch tensors"
    )
