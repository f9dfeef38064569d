"""`pyvda check`: a verdict on the derivatives of a model and of a learned prior."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyvda.cli.options import (
    EngineName,
    GridStep,
    JsonFile,
    OperatorFile,
    Parameters,
    Quiet,
    Seed,
    check_json_file,
    named_values,
    say,
    write_json,
)
from pyvda.progress import shown

if TYPE_CHECKING:
    from pyvda.checks.derivative_check import Check

EXAMPLES = (
    "pyvda check --model lorenz63",
    "pyvda check --model rossler.jl --parameter c=6.0",
    "pyvda check --model lorenz63 --operator observe.py:speed",
    "pyvda check --model lorenz63 --obs obs.nc --checkpoint runs/l63 --json checks.json",
)


def check(
    model: Annotated[
        str | None,
        typer.Option(
            help="A model such as lorenz63, or the file of one: rossler.jl or models.py:rossler. "
            "Default: the checkpoint's."
        ),
    ] = None,
    parameter: Parameters = None,
    obs: Annotated[
        str | None,
        typer.Option(help="Observations to check the cost on: netCDF, zarr, CSV or a URL."),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Observed variable, by name or standard_name.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Cut a series into windows of this many steps.")
    ] = None,
    time_step: Annotated[
        float | None, typer.Option(help="Model time between two steps of the file.")
    ] = None,
    grid_step: GridStep = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Learned model whose prior is checked, folder or name. Default: a small GENN with "
            "fresh weights."
        ),
    ] = None,
    operator: OperatorFile = None,
    json_file: JsonFile = None,
    seed: Seed = 0,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Test adjoints, tangent linears and gradients of a model, on your own file if given.

    The gradient of a learned prior is tested, too: of a small GENN with fresh weights, or of the
    checkpoint. With --operator also the derivatives of an observation function.
    """
    from pyvda.checks import run as checking
    from pyvda.checks.on_derivatives import check as verdict_of
    from pyvda.checks.on_operator import observation_function
    from pyvda.checks.target import check_target
    from pyvda.models.registry import resolve

    check_json_file(json_file, [obs, model, checkpoint, operator])
    function = None if operator is None else observation_function(operator)
    named = None if model is None else resolve(model, named_values(parameter))
    if named is not None and not named.is_registered and not (verdict := verdict_of(named)).passed:
        # Nothing could be simulated with it: engines refuse such a model.
        _finish(checking.verdict_checks(verdict), named.name, json_file, quiet)
        return
    target = check_target(
        named, obs, checkpoint,
        variable=variable, window=window, time_step=time_step, grid_step=grid_step, engine=engine,
        seed=seed,
    )  # fmt: skip
    with shown("check", quiet) as report:
        checks = checking.check_model(
            target.model,
            target.batch,
            time_step=target.time_step,
            engine=engine,
            seed=seed,
            report=report,
        )
    if function is not None:
        checks += checking.check_operator(function, target.batch, seed=seed)
    if target.learned is not None:
        checks += checking.check_learned(target.learned, target.batch, seed=seed)
    _finish(checks, target.title, json_file, quiet)


def _finish(checks: list[Check], title: str, json_file: Path | None, quiet: bool) -> None:
    """Print and write what was found; exit with 1 when a check failed."""
    from rich.console import Console

    from pyvda.checks import run as checking

    wrong = checking.failed(checks)
    write_json(
        json_file,
        {"subject": title, "passed": not wrong, "checks": [one.as_dict() for one in checks]},
    )
    if not quiet:
        Console(soft_wrap=True).print(checking.table(checks, title))
    say(quiet, checking.summary(checks))
    for one in wrong:
        print(f"pyvda: {one.name} failed: {one.detail}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)
