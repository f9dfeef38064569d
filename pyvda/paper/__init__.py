"""The paper's tables and figures, reproduced by `pyvda reproduce`.

`held_out` defines the test windows and `rows` the rows of the tables; `scoring` scores one row;
`tables` runs the rows and stores them as JSON, with facts about their weights from `provenance`;
`retraining` trains these again; `markdown`, `table_cells` and `notes` format a table; `illustrate`
runs the solvers that `figures` and `error_maps` draw; `shipping` adds a trained model to the
package.
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
    """Reproduce a table or a figure of the paper in the folder `out`, and return the files.

    Parameters
    ----------
    what : str
        One of `TABLES` or `FIGURES`.
    out : path
        Created if necessary.
    progress : callable(str) -> context manager of callable(done, total)
        Shows the progress of one part.
    say : callable(str)
        Called with a line for each completed part.
    settings
        Further keywords of `tables.reproduce_table` or `illustrate.reproduce_figure`.

    Raises
    ------
    InputError
        There is no such table or figure, or an input is invalid.
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
