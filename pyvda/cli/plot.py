"""`pyvda plot`: a figure of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import Overwrite, Quiet, listed, read, say
from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_output

EXAMPLES = (
    "pyvda plot analysis.nc --truth truth.nc -o analysis.png",
    "pyvda plot analysis.nc --truth truth.nc --kind spectra -o spectra.png",
    "pyvda plot analysis.nc --truth truth.nc --kind animation -o analysis.gif",
)
KINDS = ("windows", "maps", "series", "spectra", "hovmoller", "animation")
_OF_KINDS = {  # which kinds an option has an effect on
    "--windows": ("windows",),
    "--window": KINDS[1:],
    "--variables": KINDS[1:],
    "--step": ("maps",),
    "--observations": ("maps", "animation"),
    "--row": ("hovmoller",),
}


def plot(
    analysis: Annotated[str, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Figure to write: .png, .pdf, .svg; an animation: .gif, .mp4."
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
            help="windows, maps, series, spectra, hovmoller or animation. Default: maps of fields "
            "(y, x), else windows."
        ),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(help="Which windows, separated by commas. Default: 0,1,2,3."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="The window of all other kinds. Default: 0.")
    ] = None,
    variables: Annotated[
        str | None, typer.Option(help="Which variables, separated by commas. Default: all.")
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
    from pyvda.plotting import analysis as plots
    from pyvda.plotting.animation import animate_maps, check_animation, save_animation
    from pyvda.plotting.fields import has_maps

    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind is {kind}, expected one of {', '.join(KINDS)}")
    chosen = plots.WINDOWS if windows is None else _numbers(windows)
    check_output(output, [analysis, truth, observations], overwrite=overwrite, suffixes=())
    if kind == "animation":
        check_animation(output)
    drawn, true = read(analysis), None if truth is None else read(truth)
    kind = kind or ("maps" if has_maps(drawn) else "windows")
    given = {
        "--windows": windows, "--window": window, "--variables": variables, "--step": step,
        "--row": row, "--observations": observations,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None and kind not in _OF_KINDS[name]:
            raise InputError(
                f"{name} has no effect on the kind {kind}; leave it out, or choose --kind "
                f"{' or '.join(_OF_KINDS[name])}"
            )
    how: dict[str, Any] = {"variables": listed(variables), "window": window or 0}
    if observations is not None:
        how["observations"] = read(observations)
    if kind == "animation":
        save_animation(animate_maps(drawn, true, **how), output)
    elif kind == "windows":
        plots.save_figure(plots.plot_analysis(drawn, true, chosen), output)
    else:
        plots.save_figure(_figure(kind, drawn, true, how, step, row), output)
    without = kind == "windows" and not plots.has_descent(drawn)
    say(quiet, f"{output}" + (f": without a descent, {plots.NO_DESCENT}" if without else ""))


def _figure(
    kind: str, drawn: Any, true: Any, how: dict[str, Any], step: int | None, row: int | None
) -> Any:
    """Return the figure of a field."""
    from pyvda.plotting.hovmoller import figure_of_hovmoller
    from pyvda.plotting.maps import plot_maps
    from pyvda.plotting.series import figure_of_series
    from pyvda.plotting.spectra import plot_spectra

    if kind == "maps":
        return plot_maps(drawn, true, step=step, **how)
    if kind == "series":
        return figure_of_series(drawn, true, **how)
    if kind == "spectra":
        return plot_spectra(drawn, true, **how).figure
    return figure_of_hovmoller(drawn, true, at=row, **how)


def _numbers(windows: str) -> Sequence[int]:
    try:
        return [int(w) for w in windows.split(",")]
    except ValueError:
        raise InputError(f"--windows is {windows!r}, expected numbers such as 0,1,2") from None
