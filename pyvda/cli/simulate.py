"""`pyvda simulate`: the truth of a twin experiment."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import (
    EngineName,
    Output,
    Overwrite,
    Parameters,
    Quiet,
    Seed,
    named_values,
    number_of,
    say,
)
from pyvda.io.writing.outputs import check_output, check_space
from pyvda.progress import shown

EXAMPLES = (
    "pyvda simulate lorenz63 --windows 2000 --seed 11 -o truth.nc",
    "pyvda simulate rossler.jl --parameter c=6.0 --windows 200 --steps 200 --seed 1 -o truth.nc",
)


def simulate(
    preset: Annotated[
        str,
        typer.Argument(
            help="A preset or a model, such as lorenz63, or the file of one: rossler.jl or "
            "models.py:rossler."
        ),
    ],
    output: Output,
    windows: Annotated[int, typer.Option(min=1, help="Independent windows.")] = 2000,
    steps: Annotated[
        int | None, typer.Option(min=2, help="Steps of a window. Default: the preset's, else 200.")
    ] = None,
    parameter: Parameters = None,
    seed: Seed = 0,
    engine: EngineName = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulate the truth of a twin experiment."""
    from pyvda import twin
    from pyvda.io import netcdf

    check_output(output, [preset], overwrite=overwrite)
    values = named_values(parameter)
    check_space(output, twin.truth_bytes(preset, windows, steps=steps, parameters=values))
    with shown("simulate", quiet) as report:
        truth = twin.simulate(
            preset, windows, seed, steps=steps, parameters=values, engine=engine, report=report
        )
    netcdf.save_analysis(truth, output)
    say(quiet, f"{output}: {number_of(windows, 'window')} of {preset}")
