"""`pyvda covariance`: an error covariance fitted to the states of a file."""

from __future__ import annotations

from typing import Annotated

import typer

from pyvda.cli.options import Output, Overwrite, Quiet, listed, say
from pyvda.io.writing.outputs import check_output

EXAMPLES = (
    "pyvda covariance truth.nc --differences 10 --spectrum power -o B.nc",
    "pyvda covariance forecasts.nc --truth truth.nc --smoothing 4 --floor 0.09 -o B.nc",
    "pyvda covariance members.nc --form hybrid --localisation 12 --weight 0.3 -o B.nc",
)


def covariance(
    samples: Annotated[
        str,
        typer.Argument(help="File of states, such as a simulation, forecasts or an analysis."),
    ],
    output: Output,
    form: Annotated[
        str | None,
        typer.Option(
            help="spectral, diffusion, ensemble, hybrid or dense. Default: spectral on rectangles, "
            "diffusion where there is land."
        ),
    ] = None,
    variables: Annotated[
        str | None, typer.Option(help="Which variables, separated by commas. Default: all.")
    ] = None,
    differences: Annotated[
        int | None,
        typer.Option(min=1, help="Use differences of states this many steps apart, over √2."),
    ] = None,
    truth: Annotated[
        str | None, typer.Option(help="File of the truth: use the errors, states minus truth.")
    ] = None,
    boundary: Annotated[
        str | None,
        typer.Option(help="wall, open or periodic. Default: wall where the edge is land."),
    ] = None,
    spectrum: Annotated[
        str | None, typer.Option(help="binned, or power for a power law. Default: binned.")
    ] = None,
    smoothing: Annotated[
        int | None,
        typer.Option(help="Average variances over this many points to each side. Default: 2."),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(help="Add this fraction of the mean variance everywhere. Default: 0."),
    ] = None,
    varying_length: Annotated[
        bool | None,
        typer.Option("--varying-length", help="Let the length of a diffusion vary in space."),
    ] = None,
    stdev: Annotated[
        float | None, typer.Option(help="Scale to this root mean square standard deviation.")
    ] = None,
    localisation: Annotated[
        float | None,
        typer.Option(help="Distance in grid spacings beyond which an ensemble is uncorrelated."),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Of the ensemble in a hybrid. Default: 0.5.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fit the covariance of background or model errors to states."""
    from pyvda.covariances.fit import fit_covariance

    check_output(output, [samples, truth], overwrite=overwrite)
    found = fit_covariance(
        samples, form=form, variables=listed(variables), differences=differences, truth=truth,
        boundary=boundary, spectrum=spectrum, smoothing=smoothing, floor=floor,
        varying_length=varying_length, stdev=stdev, localisation=localisation, weight=weight,
    )  # fmt: skip
    found.save(output)
    for line in (f"{output}:", *found.summary()):
        say(quiet, line)
