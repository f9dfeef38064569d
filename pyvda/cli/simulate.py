"""`pyvda simulate`: the truth of a twin experiment."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import EngineName, Output, Quiet, Seed, say
from pyvda.io.atomic import check_folder
from pyvda.progress import shown

EXAMPLES = ("pyvda simulate lorenz63 --windows 2000 --seed 11 -o truth.nc",)


def simulate(
    preset: Annotated[str, typer.Argument(help="A preset, such as lorenz63.")],
    output: Output,
    windows: Annotated[int, typer.Option(min=1, help="Independent windows.")] = 2000,
    seed: Seed = 0,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Simulate the truth of a twin experiment."""
    from pyvda import twin
    from pyvda.engine import get_engine
    from pyvda.io import netcdf

    check_folder(output)
    with shown("simulate", quiet) as report:
        truth = twin.simulate(preset, windows, seed, engine=engine, report=report)
    netcdf.save_analysis(truth, output)
    say(quiet, f"{output}: {windows} windows of {preset}, on {get_engine(engine).info}")
