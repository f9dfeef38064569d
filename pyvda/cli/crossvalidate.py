"""`pyvda crossvalidate`: methods for fields without a model, scored on data that they do not use.

Withheld are values under the clouds of other times, or whole passes, moorings and floats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import EngineName, JsonFile, Quiet, Seed, check_json_file, say, write_json
from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_output
from pyvda.progress import shown

EXAMPLES = (
    "pyvda crossvalidate chl.nc --variable chl --method oi,eof --draws 3 --seed 1",
    "pyvda crossvalidate jason.nc saral.nc --variable sla --set oi.mean=mdt.nc",
    "pyvda crossvalidate sst.nc --set oi.covariance=cov.yaml --json scores.json -o scores.png",
)


def crossvalidate(
    observations: Annotated[
        list[str],
        typer.Argument(help="File of variables over (time, y, x), or files of data at points."),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Methods, separated by commas, or repeated. Default: oi,eof; of data at points oi."
        ),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Variable or variables, separated by commas.")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Number of draws of hidden values. Default: 3.")
    ] = None,
    times: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of times in a draw. Default: 30."),
    ] = None,
    seed: Seed = 0,
    withhold: Annotated[
        str | None,
        typer.Option(
            help="Variable, or file with the variable withheld, that is nonzero where a value is "
            "hidden, in place of draws."
        ),
    ] = None,
    mask: Annotated[str | None, typer.Option(help="Variable that tells land from sea.")] = None,
    transform: Annotated[
        str | None, typer.Option(help="log10 or log: score the logarithm.")
    ] = None,
    good_flags: Annotated[str | None, typer.Option(help="Quality flags to use.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of a method: method.name=value."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg.")
    ] = None,
    json_file: JsonFile = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Score methods for fields without a model on values under other clouds, or whole passes."""
    from pyvda.fields.crossvalidation import crossvalidate as run
    from pyvda.fields.score_table import described, draw_figure

    check_json_file(json_file, [*observations])
    if output is not None:
        check_output(output, [*observations], suffixes=(".png", ".pdf", ".svg"))
    named = [m.strip() for text in method for m in text.split(",")] if method else None
    source = observations[0] if len(observations) == 1 else observations
    with shown("crossvalidate", quiet) as report:
        found = run(
            source, named, variable=variable, draws=draws, times=times, seed=seed,
            withhold=withhold, mask=mask, transform=transform, good_flags=good_flags,
            options=_options(option), engine=engine, report=report,
        )  # fmt: skip
    write_json(json_file, found)
    if output is not None:
        draw_figure(found, output)
    for line in described(found):
        say(quiet, line)


def _options(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """Return the options of each method from `method.name=value`."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        method, dot, key = name.partition(".")
        if not (equals and dot and key):
            raise InputError(f"--set {text} is not understood, expected method.name=value")
        found.setdefault(method, {})[key] = yaml.safe_load(value)
    return found
