"""Registry of the methods for fields without a model.

Each is a file with its options and a function `solve(field, read, options, engine, report, where)`,
which returns an `Estimate` of each variable.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pyvda.errors import InputError
from pyvda.fields import eof, in_blocks, optimal_interpolation
from pyvda.fields.interpolation_options import OptimalInterpolationOptions
from pyvda.fields.learned import method as learned
from pyvda.fields.learned import shipped
from pyvda.fields.learned_points import method as learned_points
from pyvda.fields.learned_points.description import is_of_points
from pyvda.fields.options import Estimate, FieldOptions


class FieldMethod(NamedTuple):
    """A method for fields, or for data at points.

    Attributes
    ----------
    name : str
    options : type
    solve : callable
    plan : callable, optional
        How it plans a field block by block, if it can.
    at_points : bool
        Whether it estimates data at points at their own places and times, not in cells of a grid.
    """

    name: str
    options: type[FieldOptions]
    solve: Callable[..., dict[str, Estimate]]
    plan: Callable[..., in_blocks.Plan] | None = None
    at_points: bool = False

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
            True,
        ),
        FieldMethod("eof", eof.EOFOptions, eof.solve),
    )
}

LEARNED = FieldMethod("learned", learned.LearnedFieldOptions, learned.solve, learned.of_network)
"""A trained network, the option `checkpoint` of which is a folder or a shipped name."""

LEARNED_POINTS = FieldMethod(
    "learned", learned_points.LearnedPointOptions, learned_points.solve, at_points=True
)
"""A network that was trained on data at points, the option `checkpoint` of which is a folder."""


def learned_method(checkpoint: str | Path) -> FieldMethod:
    """Return the method of a trained network."""
    return LEARNED_POINTS if is_of_points(checkpoint) else LEARNED


def method_named(name: str) -> tuple[FieldMethod, dict[str, Any]]:
    """Return a method by its name, or that of a trained network's folder, and its first options.

    Raises
    ------
    InputError
        It is neither.
    """
    if name in FIELD_METHODS:
        return FIELD_METHODS[name], {}
    if is_of_points(name) or shipped.is_known(name):
        return learned_method(name), {"checkpoint": name}
    raise InputError(
        f"{name} is no method for fields without a model; choose among "
        f"{', '.join(FIELD_METHODS)}, or give a folder made by `pyvda train` from a configuration "
        "with the section field or points"
    )
