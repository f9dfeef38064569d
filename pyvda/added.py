"""Models and methods that installed packages register by entry points."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from pyvda.errors import InputError


class Added(NamedTuple):
    """An object that a package adds, and the package's name."""

    object: Any
    package: str | None


def loaded(group: str, name: str, what: str) -> Added | None:
    """Return the object that a package registered under a name, or None.

    Parameters
    ----------
    group : str
        Group of entry points, such as "pyvda.models".
    name : str
    what : str
        Kind of the object, for the message.

    Raises
    ------
    InputError
        The object cannot be imported.
    """
    for point in entry_points(group=group, name=name):
        package = None if point.dist is None else point.dist.name
        try:
            return Added(point.load(), package)
        except Exception as error:
            raise InputError(
                f"the {what} {name!r} of the package {package} cannot be loaded ({error}); repair "
                "or remove that package"
            ) from error
    return None


def names_with(group: str, built_in: Collection[str]) -> list[str]:
    """Return the built-in names and those that packages add to them."""
    added = [point.name for point in entry_points(group=group)]
    return [*built_in, *(name for name in added if name not in built_in)]
