"""`pyvda reproduce`: the paper's tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import EngineName, Quiet, say
from pyvda.errors import InputError
from pyvda.progress import shown

EXAMPLES = (
    "pyvda reproduce table1 --quick -o results",
    "pyvda reproduce table2 --only fsgd,direct -o results",
    "pyvda reproduce figure2 -o figures",
)


def reproduce(
    what: Annotated[str, typer.Argument(help="table1, table2, figure2, figure3 or figure4.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the results; a table continues there."),
    ] = Path("results"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Shipped weights, and long descents cut short.")
    ] = False,
    shipped_weights: Annotated[
        bool, typer.Option("--shipped", help="Shipped weights, but full-length descents.")
    ] = False,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Test windows; default: as many as the paper has.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Rows of a table to run, separated by commas.")
    ] = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Reproduce the paper's tables and figures; tables train unless --quick or --shipped."""
    from pyvda import paper as reproduction

    def progress(label: str) -> Any:
        return shown(label, quiet)

    settings: dict[str, Any] = {"quick": quick, "windows": windows, "engine": engine}
    if what in reproduction.TABLES:
        settings |= {"retrain": not (quick or shipped_weights)}
        settings |= {"only": [] if only is None else only.split(",")}
    elif shipped_weights or only is not None:
        raise InputError(
            "--shipped and --only apply to tables; a figure shows all solvers with shipped "
            "weights, leave them out"
        )
    written = reproduction.reproduce(
        what, output, progress=progress, say=lambda text: say(quiet, text), **settings
    )
    say(quiet, ", ".join(str(path) for path in written))
