"""`pyvda observe`: noisy, partial observations of a truth."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import Output, Overwrite, Quiet, Seed, component_numbers, listed, read, say
from pyvda.io.writing.outputs import check_output, check_space

EXAMPLES = (
    "pyvda observe truth.nc --preset lorenz63 --seed 12 -o obs.nc",
    "pyvda observe truth.nc --variance 0.5 --every 4 --variable x,z --seed 2 -o obs.nc",
)


def observe(
    truth: Annotated[str, typer.Argument(help="File with the variable truth.")],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A preset, such as lorenz63. Without one: half of the components, drawn at random "
            "at each time."
        ),
    ] = None,
    seed: Seed = 0,
    variance: Annotated[
        float | None, typer.Option(help="Error variance, squared units of the state.")
    ] = None,
    every: Annotated[int | None, typer.Option(help="Steps between observation times.")] = None,
    variable: Annotated[
        str | None, typer.Option(help="Observed variables of the truth, separated by commas.")
    ] = None,
    component: Annotated[
        str | None,
        typer.Option(help="Observed components of the state, from 0, separated by commas."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Observe a truth, with noise, as a preset or the options describe."""
    import numpy as np

    from pyvda import twin
    from pyvda.io import netcdf

    check_output(output, [truth], overwrite=overwrite)
    observed = twin.observe(
        read(truth), preset, seed, variance=variance, every=every,
        variables=listed(variable), components=component_numbers(component),
    )  # fmt: skip
    count = sum(int(v.notnull().sum()) for v in observed.data_vars.values())
    check_space(output, count * np.dtype(float).itemsize)  # gaps are compressed to nearly nothing
    netcdf.save_analysis(observed, output)
    say(quiet, f"{output}: {count} observations in {observed.sizes['window']} windows")
