"""Shared by several commands: options, printing, and reading pyvda's own files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.errors import InputError
from pyvda.io.writing import atomic
from pyvda.io.writing.outputs import check_output


def expanded(path: Path | None) -> Path | None:
    """Return a path with `~` resolved, where no shell did so."""
    return None if path is None else path.expanduser()


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        callback=expanded,
        help="netCDF file, or zarr store (.zarr), to write; an existing one is replaced.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Let the output replace an input of the same name.")
]
EngineName = Annotated[
    str | None,
    typer.Option(help="auto, juliacall, libjulia or torch. Default: PYVDA_ENGINE, else auto."),
]
GridStep = Annotated[
    str | None,
    typer.Option(
        help="The file is a table with one observation per row (time, component, value): the step "
        "of the analysis times, in its unit of time; for dates such as 6h."
    ),
]
OperatorFile = Annotated[
    str | None,
    typer.Option(
        "--operator",
        help="Observation operator: a table of the rows of a linear one (rows.csv, rows.nc), or "
        "code, which is executed: a function in Julia (observe.jl), or a function in torch or an "
        "operator in a Python file (observe.py:name).",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", callback=expanded, help="Write the results here, as JSON."),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same result.")
]

Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="A parameter or a size of the model: name=value."),
]


def named_values(given: list[str] | None, option: str = "--parameter") -> dict[str, str]:
    """Return what `--parameter name=value` says, value by name."""
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {text!r} is not understood, expected name=value")
        found[name.strip()] = value.strip()
    return found


def listed(text: str | None) -> list[str] | None:
    """Return words separated by commas."""
    return None if text is None else [word.strip() for word in text.split(",")]


def component_numbers(text: str | None) -> list[int] | None:
    """Return whole numbers separated by commas."""
    words = listed(text)
    if words is not None and not all(word.isdecimal() for word in words):
        raise InputError(f"--component {text!r} is not understood, expected numbers such as 0,2")
    return None if words is None else [int(word) for word in words]


def number_of(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> number_of(1, "window"), number_of(20, "window")
    ('1 window', '20 windows')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def say(quiet: bool, text: str) -> None:
    """Print a line of results, unless --quiet."""
    if not quiet:
        print(text)  # rich, which shows progress meanwhile, does not redirect typer's echo


def base_name(location: str) -> str:
    """Return the last part of a path or URL."""
    return location.rstrip("/").rpartition("/")[2]


def read(path: str | Path) -> Any:
    """Open one of pyvda's own files (truth, analysis) whole."""
    from pyvda.io.netcdf import open_dataset

    return open_dataset(path)


def check_json_file(path: Path | None, inputs: Iterable[Any] = ()) -> None:
    """Refuse a --json file that could not be written or is an input, before any work."""
    if path is not None:
        check_output(path, inputs, overwrite=None, suffixes=())


def write_json(path: Path | None, content: Any) -> None:
    """Write --json, completely or not at all."""
    if path is not None:
        atomic.write_json(path, content, indent=2)
