"""`pyvda diagnose`: the judgements that an analysis carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyvda.cli.options import (
    JsonFile,
    Overwrite,
    Quiet,
    check_json_file,
    number_of,
    read,
    say,
    write_json,
)
from pyvda.io.writing.outputs import check_output

EXAMPLES = (
    "pyvda diagnose analysis.nc",
    "pyvda diagnose analysis.nc --json report.json -o diagnosis.png",
)


def diagnose(
    analysis: Annotated[str, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg."),
    ] = None,
    json_file: JsonFile = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Say which windows of an analysis are in doubt and why, and what is wrong with the file."""
    from pyvda.judgements.diagnose import diagnose as run

    check_json_file(json_file, [analysis])
    if output is not None:
        check_output(output, [analysis], overwrite=overwrite, suffixes=())
    given = read(analysis)
    report = run(given)
    write_json(json_file, report.as_dict())
    ended = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in report.status.items())
    say(quiet, f"{number_of(report.windows, 'window')}: {ended}")
    if str(report):
        say(quiet, str(report))
    if output is not None:
        from pyvda.plotting.diagnosis import plot_diagnosis
        from pyvda.plotting.style import save_figure

        save_figure(plot_diagnosis(given), output)
        say(quiet, str(output))
