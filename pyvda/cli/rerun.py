"""`pyvda rerun`: repeat the run that made an analysis, and compare the results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyvda.cli.options import Overwrite, Quiet, expanded, read, say
from pyvda.errors import EngineError
from pyvda.io.writing.outputs import check_output

EXAMPLES = ("pyvda rerun analysis.nc", "pyvda rerun analysis.nc -o again.nc")


def rerun(
    analysis: Annotated[Path, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=expanded,
            help="File to write. Default: the results are compared.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Repeat the run that made an analysis; its file says how.

    A file that the run has read must be as it was. Fails if the result has other bits.

    The run may execute code, of models and operators that the file names (models.py:rossler):
    repeat only runs of files that you trust.
    """
    from pyvda.rerun import differences
    from pyvda.rerun import rerun as run

    if output is not None:
        check_output(output, [analysis], overwrite=overwrite)
    made = read(analysis)
    again = run(analysis, output)
    other = differences(made, again)
    where = "" if output is None else f"{output}: "
    if other:
        raise EngineError(
            f"{where}the result differs from {analysis} in {', '.join(other)}; the version, the "
            "engine or the machine is another one, or the observations were changed in Python"
        )
    say(quiet, f"{where}the same bits as {analysis}")
