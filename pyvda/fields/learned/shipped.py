"""The networks for fields that come with pyvda, by name; see `pyvda.learned.shipped`."""

from __future__ import annotations

from pathlib import Path

from pyvda.errors import InputError
from pyvda.fields.learned.description import FIELD_FILE, is_of_fields

FOLDER = Path(__file__).parent / "weights"


def names() -> list[str]:
    """Return the names of the shipped networks, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{FIELD_FILE}"))


def is_known(name_or_path: str | Path) -> bool:
    """Tell whether these are folders with networks for fields, or names of shipped ones."""
    return all(is_of_fields(one) or one in names() for one in several(name_or_path))


def several(name_or_path: str | Path) -> tuple[str, ...]:
    """Return the networks that are joined by +, a path that exists being one.

    >>> several("runs/a + runs/b")
    ('runs/a', 'runs/b')
    """
    if Path(name_or_path).exists():
        return (str(name_or_path),)
    return tuple(part.strip() for part in str(name_or_path).split("+"))


def field_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a network: a path that exists wins over a shipped name.

    Raises
    ------
    InputError
        It is neither.
    """
    path = Path(name_or_path)
    if path.exists():
        return path
    if str(name_or_path) in names():
        return FOLDER / str(name_or_path)
    known = ", ".join(names())
    raise InputError(
        f"there is no network {str(name_or_path)!r}; give a folder made by `pyvda train` from a "
        "configuration with the section field" + (f", or one of {known}" if known else "")
    )
