"""Registry of the methods for fields without a model.

Each is a file with its options and a function `solve(field, read, options, engine, report, where)`,
which returns an `Estimate` of each variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyvda.fields import eof, optimal_interpolation
from pyvda.fields.options import Estimate, FieldOptions


class FieldMethod(NamedTuple):
    """A method's name, options and solver."""

    name: str
    options: type[FieldOptions]
    solve: Callable[..., dict[str, Estimate]]


FIELD_METHODS: dict[str, FieldMethod] = {
    method.name: method
    for method in (
        FieldMethod(
            "oi",
            optimal_interpolation.OptimalInterpolationOptions,
            optimal_interpolation.solve,
        ),
        FieldMethod("eof", eof.EOFOptions, eof.solve),
    )
}
