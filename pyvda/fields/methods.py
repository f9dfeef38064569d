"""Registry of the methods for fields without a model.

Each is a file with its options and a function `solve(field, read, options, engine, report, where)`,
which returns an `Estimate` of each variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pyvda.errors import InputError
from pyvda.fields import eof, in_blocks, optimal_interpolation
from pyvda.fields.interpolation_options import OptimalInterpolationOptions
from pyvda.fields.learned import method as learned
from pyvda.fields.learned import shipped
from pyvda.fields.options import Estimate, FieldOptions


class FieldMethod(NamedTuple):
    """A method's name, options and solver, and how it plans a field block by block, if it can."""

    name: str
    options: type[FieldOptions]
    solve: Callable[..., dict[str, Estimate]]
    plan: Callable[..., in_blocks.Plan] | None = None

    def _repr_html_(self) -> str:
        from pyvda.html_tables import of_method

        return of_method(self)


FIELD_METHODS: dict[str, FieldMethod] = {
    method.name: method
    for method in (
        FieldMethod(
            "oi",
            OptimalInterpolationOptions,
            optimal_interpolation.solve,
            in_blocks.of_interpolation,
        ),
        FieldMethod("eof", eof.EOFOptions, eof.solve),
    )
}

LEARNED = FieldMethod("learned", learned.LearnedFieldOptions, learned.solve, learned.of_network)
"""A trained network, the option `checkpoint` of which is a folder or a shipped name."""


def method_named(name: str) -> tuple[FieldMethod, dict[str, Any]]:
    """Return a method by its name, or that of a trained network's folder, and its first options.

    Raises
    ------
    InputError
        It is neither.
    """
    if name in FIELD_METHODS:
        return FIELD_METHODS[name], {}
    if shipped.is_known(name):
        return LEARNED, {"checkpoint": name}
    raise InputError(
        f"{name} is no method for fields without a model; choose among "
        f"{', '.join(FIELD_METHODS)}, or give a folder made by `pyvda train` from a configuration "
        "with the section field"
    )
