"""The paper's tables and figures, made again by `pyvda reproduce`.

`held_out` has the test windows, `rows` what stands in the tables, `scoring` the scores of one row,
`tables` runs the rows and keeps them as JSON, with what `provenance` knows of their weights,
`retraining` trains these again; `markdown`, `table_cells` and `notes` write a table to be read,
`illustrate` runs what `figures` draws, and `shipping` puts a trained model into the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyvda.errors import InputError

TABLES = ("table1", "table2")
FIGURES = ("figure2", "figure3", "figure4")


def reproduce(
    what: str,
    out: Path,
    *,
    progress: Callable[[str], Any],
    say: Callable[[str], None],
    **settings: Any,
) -> list[Path]:
    """Make a table or a figure of the paper in the folder `out`, and return the files.

    Parameters
    ----------
    what : str
        One of `TABLES` or `FIGURES`.
    out : path
        Made if need be.
    progress : callable(str) -> context manager of callable(done, total)
        Shows how far a part is.
    say : callable(str)
        Told of each part that is done.
    settings
        Of `tables.reproduce_table`, or of `figures.reproduce_figure`.

    Raises
    ------
    InputError
        When there is no such table or figure, or an input cannot be used.
    """
    if what in TABLES:
        from pyvda.paper.tables import reproduce_table, results_file

        reproduce_table(what, out, progress=progress, say=say, **settings)
        path = results_file(what, out, settings.get("quick", False))
        return [path, path.with_suffix(".md")]
    if what in FIGURES:
        from pyvda.paper.illustrate import reproduce_figure

        return reproduce_figure(what, out, progress=progress, say=say, **settings)
    raise InputError(f"unknown {what!r}; choose one of {', '.join((*TABLES, *FIGURES))}")
