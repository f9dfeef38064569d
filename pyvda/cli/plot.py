"""`pyvda plot`: a figure of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import Overwrite, Quiet, expanded, listed, read, say
from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_output

EXAMPLES = (
    "pyvda plot analysis.nc --truth truth.nc -o analysis.png",
    "pyvda plot analysis.nc --truth truth.nc --kind spectra -o spectra.png",
    "pyvda plot analysis.nc --truth truth.nc --kind animation -o analysis.gif",
)


def plot(
    analysis: Annotated[
        str, typer.Argument(help="File made by `pyvda assimilate` or `pyvda forecast`.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=expanded,
            help="Figure to write: .png, .pdf, .svg; an animation: .gif, .mp4.",
        ),
    ],
    truth: Annotated[
        str | None, typer.Option(help="File of the truth: the variable truth, or the model's own.")
    ] = None,
    observations: Annotated[
        str | None,
        typer.Option(help="Observations that are not on the grid, to draw on maps: a row a datum."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="windows, maps, series, spectra, hovmoller, animation, descent (of fsgd) or "
            "rank-histogram. Default: maps of fields (y, x), else windows."
        ),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(help="Kind windows: their numbers, separated by commas. Default: 0,1,2,3."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Kinds of fields: number of the window. Default: 0.")
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option(help="Kinds of fields: variables, separated by commas. Default: all."),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(help="Step of maps, negative from the end. Default: the last observed."),
    ] = None,
    row: Annotated[
        int | None, typer.Option(help="Row y of a Hovmöller diagram. Default: the middle.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw analyses: against truth and observations, as maps, over time, as spectra."""
    from pyvda.plotting.analysis import NO_DESCENT, has_descent
    from pyvda.plotting.animation import check_animation, save_animation
    from pyvda.plotting.plot import kind_of
    from pyvda.plotting.plot import plot as drawn
    from pyvda.plotting.style import drawn_figure, save_figure

    given: dict[str, Any] = {
        "observations": observations, "windows": None if windows is None else _numbers(windows),
        "window": window, "variables": listed(variables), "step": step, "row": row,
    }  # fmt: skip
    check_output(output, [analysis, truth, observations], overwrite=overwrite, suffixes=())
    found = read(analysis)
    kind = kind_of(found, kind, given)
    if kind == "animation":
        check_animation(output)
    if observations is not None:
        given["observations"] = read(observations)
    shown: Any = drawn(found, None if truth is None else read(truth), kind=kind, **given)
    if kind == "animation":
        save_animation(shown, output)
    else:
        save_figure(drawn_figure(shown), output)
    by_descent = '"method": "fsgd"' in str(found.attrs.get("pyvda_configuration"))
    without = kind == "windows" and by_descent and not has_descent(found)
    say(quiet, f"{output}" + (f": without a descent, {NO_DESCENT}" if without else ""))


def _numbers(windows: str) -> Sequence[int]:
    try:
        return [int(w) for w in windows.split(",")]
    except ValueError:
        raise InputError(f"--windows is {windows!r}, expected numbers such as 0,1,2") from None
