"""`pyvda forecast`: continue an analysis with its model."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import (
    EngineName,
    Output,
    Overwrite,
    Parameters,
    Quiet,
    named_values,
    read,
    say,
)
from pyvda.io.writing.outputs import check_output

EXAMPLES = ("pyvda forecast analysis.nc --steps 100 -o forecast.nc",)


def forecast(
    analysis: Annotated[str, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Output,
    steps: Annotated[int, typer.Option(min=1, help="Steps after the last one of the analysis.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model that made the analysis, where it is not one of pyvda's own."),
    ] = None,
    parameter: Parameters = None,
    engine: EngineName = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Continue the model from the last analysed state of each window."""
    from pyvda.forecast import forecast as run
    from pyvda.io import netcdf

    check_output(output, [analysis, model], overwrite=overwrite)
    values = named_values(parameter)
    found = run(read(analysis), steps, model=model, parameters=values, engine=engine)
    netcdf.save_analysis(found, output)
    known = "without" if {"final_covariance", "final_ensemble"}.isdisjoint(found) else "with"
    say(quiet, f"{output}: {steps} steps, {known} standard deviations")
