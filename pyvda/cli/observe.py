"""`pyvda observe`: noisy, partial observations of a truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyvda.cli.options import Output, Quiet, Seed, read, say
from pyvda.io.atomic import check_folder

EXAMPLES = ("pyvda observe truth.nc --preset lorenz63 --seed 12 -o obs.nc",)


def observe(
    truth: Annotated[Path, typer.Argument(help="File with the variable truth.")],
    output: Output,
    preset: Annotated[str, typer.Option(help="A preset, such as lorenz63.")],
    seed: Seed = 0,
    variance: Annotated[
        float | None, typer.Option(help="Error variance, squared units of the state.")
    ] = None,
    every: Annotated[int | None, typer.Option(help="Steps between observation times.")] = None,
    quiet: Quiet = False,
) -> None:
    """Observe a truth, with noise, as a preset describes."""
    from pyvda import twin
    from pyvda.io import netcdf

    check_folder(output)
    observed = twin.observe(read(truth), preset, seed, variance=variance, every=every)
    netcdf.save_analysis(observed, output)
    count = int(observed["observation"].notnull().sum())
    say(quiet, f"{output}: {count} observations in {observed.sizes['window']} windows")
