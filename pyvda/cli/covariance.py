"""`pyvda covariance`: an error covariance fitted to the states of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import Overwrite, Quiet, expanded, listed, say
from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_output
from pyvda.progress import shown

EXAMPLES = (
    "pyvda covariance truth.nc --differences 10 --spectrum power -o B.nc",
    "pyvda covariance forecasts.nc --truth truth.nc --smoothing 4 --floor 0.09 -o B.nc",
    "pyvda covariance chl.nc --variables chl --transform log10 -o cov.yaml",
    "pyvda covariance jason.nc saral.nc --variables sla --mean mdt.nc -o cov.yaml --figure fit.png",
    "pyvda covariance members.nc --form hybrid --localisation 12 --weight 0.3 -o B.nc",
)
_YAML = (".yaml", ".yml")


def covariance(
    samples: Annotated[
        list[str],
        typer.Argument(
            help="File of states, such as a simulation, forecasts or an analysis; or of fields "
            "(time, y, x) with gaps, or files of data at points, for the method oi."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=expanded,
            help="File to write: netCDF; of fields with gaps YAML (.yaml).",
        ),
    ],
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
        typer.Option(
            help="wall, open or periodic. Default: wall where the edge is land, else open."
        ),
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
        typer.Option(
            help="Distance in grid spacings beyond which an ensemble is uncorrelated. "
            "Default: none."
        ),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Weight of the ensemble in a hybrid. Default: 0.5.")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="Fields with gaps: variable that tells land from sea.")
    ] = None,
    transform: Annotated[
        str | None, typer.Option(help="Fields with gaps: log10 or log of the variable.")
    ] = None,
    season_days: Annotated[
        float | None,
        typer.Option(min=0, help="Fields with gaps: width of the mean in time; 0: constant."),
    ] = None,
    factors: Annotated[
        int | None, typer.Option(min=1, help="Fields with gaps: number of terms. Default: 3.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fields with gaps: seed of the sample. Default: 0.")
    ] = None,
    functions: Annotated[
        str | None,
        typer.Option(
            help="Fields with gaps: functions of the terms, of distance and after a slash of "
            "time, such as exponential,matern32/gaussian. Default: exponential."
        ),
    ] = None,
    fit_by: Annotated[
        str | None,
        typer.Option(
            help="Fields with gaps: clouds or likelihood; for points: passes or likelihood. "
            "Default: clouds; passes where there are ten."
        ),
    ] = None,
    local_variance: Annotated[
        bool | None,
        typer.Option("--local-variance", help="Fields with gaps: let the variance vary in space."),
    ] = None,
    velocity: Annotated[
        str | None,
        typer.Option(help="Fields with gaps: flow that carries them, 0.1,-0.05 (m/s) or a file."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Data at points: file with a map of their mean.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Fields with gaps: figure of the fit, .png, .pdf or .svg."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fit the covariance of background or model errors to states, or that of fields with gaps."""
    of_states = {
        "form": form, "differences": differences, "truth": truth, "boundary": boundary,
        "spectrum": spectrum, "smoothing": smoothing, "floor": floor,
        "varying-length": varying_length, "stdev": stdev, "localisation": localisation,
        "weight": weight,
    }  # fmt: skip
    of_fields = {"mask": mask, "transform": transform, "season_days": season_days,
                 "factors": factors, "seed": seed, "functions": functions, "fit_by": fit_by,
                 "local_variance": local_variance, "velocity": velocity, "mean": mean}  # fmt: skip
    if output.suffix.lower() in _YAML:
        _expect_none(
            of_states, f"{output} is that of a field with gaps; leave it out, or write .nc"
        )
        _of_field(samples, output, variables, of_fields, figure, overwrite, quiet)
        return
    _expect_none(
        of_fields | {"figure": figure},
        f"{output} is that of states; leave it out, or write .yaml for fields with gaps",
    )
    from pyvda.covariances.fit import fit_covariance

    if len(samples) > 1:
        raise InputError(
            f"{len(samples)} files are given, expected one file of states; join them, or write "
            ".yaml for data at points"
        )
    check_output(output, [*samples, truth], overwrite=overwrite)
    found = fit_covariance(
        samples[0], form=form, variables=listed(variables), differences=differences, truth=truth,
        boundary=boundary, spectrum=spectrum, smoothing=smoothing, floor=floor,
        varying_length=varying_length, stdev=stdev, localisation=localisation, weight=weight,
    )  # fmt: skip
    found.save(output)
    for line in (f"{output}:", *found.summary()):
        say(quiet, line)


def _of_field(
    paths: list[str],
    output: Path,
    variables: str | None,
    options: Mapping[str, Any],
    figure: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Fit the covariances of a field with gaps and write them as YAML."""
    from pyvda.fields.covariance import write
    from pyvda.fields.fitted import described, draw_figure, fit_field_covariance
    from pyvda.io.writing.atomic import replacing

    check_output(output, paths, overwrite=overwrite, suffixes=_YAML)
    if figure is not None:
        check_output(figure, paths, overwrite=overwrite, suffixes=(".png", ".pdf", ".svg"))
    given = {name: value for name, value in options.items() if value is not None}
    with shown("covariance", quiet) as report:
        found, fits = fit_field_covariance(
            paths[0] if len(paths) == 1 else paths, variables, report=report, **given
        )
    with replacing(output) as temporary:
        write(temporary, found)
    if figure is not None:
        draw_figure(fits, figure)
    for line in (f"{output}:", *described(fits)):
        say(quiet, line)


def _expect_none(options: Mapping[str, Any], why: str) -> None:
    given = ", ".join(f"--{n.replace('_', '-')}" for n, v in options.items() if v is not None)
    if given:
        raise InputError(f"{given} would have no effect: {why}")
