"""`pyvda plot`: a figure of an analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyvda.cli.options import Overwrite, Quiet, read, say
from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_output

EXAMPLES = ("pyvda plot analysis.nc --truth truth.nc -o analysis.png",)


def plot(
    analysis: Annotated[str, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg, ...")
    ],
    truth: Annotated[str | None, typer.Option(help="File with the variable truth.")] = None,
    windows: Annotated[str, typer.Option(help="Which windows, separated by commas.")] = "0,1,2,3",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw reconstructions against truth and observations, and the descent."""
    from pyvda.plotting import analysis as plots

    try:
        chosen = [int(w) for w in windows.split(",")]
    except ValueError:
        raise InputError(f"--windows is {windows!r}, expected numbers such as 0,1,2") from None
    check_output(output, [analysis, truth], overwrite=overwrite, suffixes=())
    drawn = read(analysis)
    figure = plots.plot_analysis(drawn, None if truth is None else read(truth), chosen)
    plots.save_figure(figure, output)
    without = "" if plots.has_descent(drawn) else f": without a descent, {plots.NO_DESCENT}"
    say(quiet, f"{output}{without}")
