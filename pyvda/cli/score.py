"""`pyvda score`: scores of analyses against their truth."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import (
    EngineName,
    JsonFile,
    Parameters,
    Quiet,
    check_json_file,
    named_values,
    read,
    say,
    write_json,
)

EXAMPLES = (
    "pyvda score analysis.nc --truth truth.nc --json scores.json",
    "pyvda score fsgd.nc learned.nc --truth truth.nc",
)


def score(
    analyses: Annotated[list[str], typer.Argument(help="Files made by `pyvda assimilate`.")],
    truth: Annotated[str, typer.Option(help="File with the variable truth.")],
    json_file: JsonFile = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model that made the analyses, where it is not one of pyvda's own."),
    ] = None,
    parameter: Parameters = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence level of the intervals.")
    ] = 0.95,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Score analyses: R-score, 4DVar-score, ODE-score, with bootstrap intervals over windows."""
    from pyvda import scores
    from pyvda.evaluate import check, evaluate

    check_json_file(json_file, [analyses, truth, model])
    values = named_values(parameter)
    true = read(truth)
    opened = {str(path): read(path) for path in analyses}
    for analysis in opened.values():
        check(analysis, true, model, values)
    found = {
        path: evaluate(analysis, true, model=model, parameters=values, engine=engine)
        for path, analysis in opened.items()
    }
    tables = {path: scores.score_table(of, level=level) for path, of in found.items()}
    write_json(json_file, tables if len(analyses) > 1 else tables[str(analyses[0])])
    width = max(len(path) for path in found) + 2 if len(found) > 1 else 0
    for name in next(iter(found.values())):
        for path, of in found.items():
            of_file = f"{path:{width}s}" if width else ""
            say(quiet, f"{name:22s} {of_file}{scores.summarise(of[name], level=level)}")
