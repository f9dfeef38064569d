"""`pyvda observe`: noisy, partial observations of a truth."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pyvda.cli.options import (
    OperatorFile,
    Output,
    Overwrite,
    Quiet,
    Seed,
    component_numbers,
    listed,
    named_values,
    number_of,
    read,
    say,
)
from pyvda.io.writing.outputs import check_output, check_space

EXAMPLES = (
    "pyvda observe truth.nc --preset lorenz63 --seed 12 -o obs.nc",
    "pyvda observe truth.nc --variance 0.5 --every 4 --variable x,z --seed 2 -o obs.nc",
    "pyvda observe truth.nc --operator observe.py:speed --variance 0.25 --seed 2 -o obs.nc",
    "pyvda observe truth.nc --preset qg-altimetry --set satellites=3 --seed 2 -o obs.nc",
)


def observe(
    truth: Annotated[str, typer.Argument(help="File with the variable truth.")],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A preset, such as lorenz63, or qg-tracks for point data along tracks. Without "
            "one: half of the components, drawn at random at each time."
        ),
    ] = None,
    seed: Seed = 0,
    variance: Annotated[
        float | None,
        typer.Option(help="Error variance, squared units of the state. Default: the preset's."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(help="Steps between observation times. Default: the preset's, else 4."),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Observed variables of the truth, separated by commas.")
    ] = None,
    component: Annotated[
        str | None,
        typer.Option(help="Observed components of the state, from 0, separated by commas."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of a preset with tracks: name=value."),
    ] = None,
    operator: OperatorFile = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Observe a truth, with noise, as a preset or the options describe."""
    import numpy as np

    from pyvda import twin_observations
    from pyvda.io import netcdf

    check_output(output, [truth, operator], overwrite=overwrite)
    observed = twin_observations.observe(
        read(truth), preset, seed, variance=variance, every=every,
        variables=listed(variable), components=component_numbers(component),
        options=named_values(option, "--set"), operator=operator,
    )  # fmt: skip
    values = [v for v in observed.data_vars.values() if v.dtype.kind == "f"]
    count = sum(int(v.notnull().sum()) for v in values)
    check_space(output, count * np.dtype(float).itemsize)  # gaps are compressed to nearly nothing
    netcdf.save_analysis(observed, output)
    say(
        quiet,
        f"{output}: {number_of(count, 'observation')} in {number_of(_windows(observed), 'window')}",
    )


def _windows(observed: Any) -> int:
    """Return the number of windows: a dimension, or of point data a column that may be missing."""
    if "window" in observed.sizes:
        return int(observed.sizes["window"])
    return int(observed["window"].max()) + 1 if "window" in observed else 1
