"""`pyvda assimilate`: a file of observations in, a file of analyses out."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pyvda.cli.derived import read_settings, with_settings
from pyvda.cli.options import (
    JsonFile,
    Output,
    Overwrite,
    Parameters,
    Quiet,
    base_name,
    check_json_file,
    named_values,
    number_of,
    read,
    say,
    write_json,
)
from pyvda.errors import EngineError, InputError
from pyvda.io.writing.outputs import check_output, check_space
from pyvda.progress import shown
from pyvda.settings import Settings, chosen_method, is_of_fields, settled

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.methods import Options
    from pyvda.models.model import Model

log = logging.getLogger("pyvda")

EXAMPLES = (
    "pyvda assimilate obs.nc --model lorenz63 --iterations 150000 --state descent.npz "
    "-o analysis.nc",
    "pyvda assimilate series.nc --model lorenz63 --window 200 --overlap 40 --time-step 0.01 "
    "-o analysis.nc",
    "pyvda assimilate table.nc --model lorenz63 --grid-step 0.01 --method gauss-newton "
    "-o analysis.nc",
    "pyvda assimilate obs.nc --checkpoint runs/l63 -o analysis.nc",
    "pyvda assimilate obs.nc --model rossler.jl --parameter c=6.0 --method gauss-newton "
    "-o analysis.nc",
    "pyvda assimilate obs.nc --model lorenz63 --method gauss-newton --set form=statistical "
    "--operator observe.jl -o analysis.nc",
    "pyvda assimilate obs.zarr --model lorenz63 --workers 4 -o analysis.zarr",
    "pyvda assimilate series.nc --model lorenz63 --method strong-constraint --cycle 50 "
    "-o analysis.nc",
    "pyvda assimilate obs.nc --model quasi-geostrophic --method incremental --covariance B.nc "
    "--background start.npz -o analysis.nc",
    "pyvda assimilate chl.nc --variable chl --method oi --transform log10 -o analysis.nc",
    "pyvda assimilate jason.nc saral.nc --variable sla --method oi "
    "--grid -6:36.5:0.125,30:46:0.125 --times 2014-05-20/2014-06-01/1d -o map.nc",
    "pyvda assimilate tuesday.nc --method strong-constraint --background monday_analysis.nc "
    "-o analysis.nc",
)


@with_settings
def assimilate(
    context: typer.Context,
    observations: Annotated[
        list[str],
        typer.Argument(
            help="netCDF file, zarr store, CSV table or URL; several files are joined along time "
            "or windows."
        ),
    ],
    output: Output,
    settings: dict[str, Any],
    parameter: Parameters = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other option of the method: name=value."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of options; the command line wins.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Truth, to record the error of the analysis along the iterations."),
    ] = None,
    json_file: JsonFile = None,
    overwrite: Overwrite = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on this machine that share the windows and the cores."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Dask cluster whose workers share the windows: tcp://ADDRESS:PORT."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Assimilate a file of observations."""
    from pyvda.assimilate import assimilate as run
    from pyvda.cluster import started
    from pyvda.io import netcdf
    from pyvda.io.writing.identity import identity
    from pyvda.io.writing.save import check_can_be_saved
    from pyvda.judgements.diagnose import diagnose
    from pyvda.models.from_file import executed_once

    keywords = read_settings(config, option) | settings
    check_output(output, [observations, truth, config, *keywords.values()], overwrite=overwrite)
    check_json_file(json_file, [observations, truth, config, output])
    context.with_resource(executed_once())
    checked, options = settled(keywords)  # before anything is read
    if is_of_fields(checked):
        from pyvda.cli.assimilate_field import analyse_field
        from pyvda.fields.assimilate import chosen as method_of_fields

        method = method_of_fields(checked, options)[0]
        if json_file is not None:
            raise InputError(
                f"--json would have no effect: there is no report on a field by {method.name}; "
                "leave it out"
            )
        analyse_field(
            method, observations, output, keywords, parameter, workers, scheduler, truth, quiet
        )
        return
    _, method_options = chosen_method(checked, options)
    values = named_values(parameter)
    checked, named = _named(checked, method_options, values)
    if named is not None and values:
        keywords["model"] = checked.model
    _expect_effects(checked, truth, workers, scheduler)
    beside = None
    if checked.cycle is not None and checked.state is None:
        beside = keywords["state"] = output.with_name(f"{output.name}.cycle")
    using = context.with_resource(started(workers, scheduler))
    whole = method_options.couples_windows()
    observed = _opened(observations, checked, named, whole=whole, shared=using is not None)
    for name in ("variable", "group", "grid_step", "good_flags"):  # what is done on opening
        if checked.operator is None or name == "group":
            keywords.pop(name, None)
    if named is None and values:
        keywords["model"] = _with_values(observed, values)
    if named is None and checked.warm_start is None and not quiet:
        _say_default_model(observed)
    if truth is not None:
        observed = _beside_truth(observed, truth, named)
    check_can_be_saved(observed, output)
    check_space(output, (observed if checked.operator else observed["observation"]).nbytes)
    if using is not None:
        keywords["block"] = checked.block or _block(observed, checked, named)
    with shown("assimilate", quiet) as report:
        # The progress of other processes is not heard.
        analysis = run(observed, **({"report": report} if using is None else {}), **keywords)
        analysis.attrs.setdefault(
            "source", f"observations from {', '.join(map(base_name, observations))}"
        )
        if using is None:
            netcdf.save_analysis(analysis, output)
            if beside is not None:
                shutil.rmtree(beside, ignore_errors=True)
        else:
            of_run = identity(analysis, {"observations": observations, **keywords})
            netcdf.save_analysis(analysis, output, report=report, run=of_run)
    written = netcdf.open_dataset(output, ["status", "cost"])
    say(quiet, f"{output}: on {written.attrs['pyvda_engine']}")
    say(quiet, _summary(written))
    if report_text := written.attrs.get("pyvda_report"):
        say(quiet, report_text)
    if json_file is not None:
        write_json(json_file, diagnose(output).as_dict())
    _expect_result(written, output)


def _named(
    checked: Settings, options: Options, values: Mapping[str, str]
) -> tuple[Settings, Model | None]:
    """Return the settings with the model that `--parameter` makes, and the model that is named."""
    from pyvda.assimilate import named_model
    from pyvda.models.registry import resolve

    if checked.model is not None and values:  # before it is compared with a checkpoint's
        checked = checked.model_copy(update={"model": resolve(checked.model, values)})
    named = named_model(checked, [options])
    if named is not None and checked.model is None and values:
        named = resolve(named, values)
        checked = checked.model_copy(update={"model": named})
    return checked, named


def _expect_effects(
    checked: Settings, truth: str | None, workers: int | None, scheduler: str | None
) -> None:
    """Refuse options of the command that would have no effect beside the settings."""
    if checked.operator is not None and truth is not None:
        raise InputError(
            "--truth would have no effect, because the truth is not read with an operator; leave "
            "it out, and compare the analysis with it by `pyvda score`"
        )
    if checked.cycle is not None and (workers is not None or scheduler is not None):
        raise InputError(
            "the windows of a cycle follow from one another, so that workers cannot share them; "
            "leave out --workers and --scheduler, or --cycle"
        )


def _opened(
    observations: list[str], checked: Settings, named: Model | None, *, whole: bool, shared: bool
) -> xr.Dataset:
    """Return the observations, in chunks where they are large or workers share them."""
    from pyvda.io import netcdf
    from pyvda.io.sources.open import opened

    source = observations[0] if len(observations) == 1 else observations
    if checked.operator is None:
        return netcdf.open_observations(
            source,
            checked.variable,
            group=checked.group,
            grid_step=checked.grid_step,
            chunks=lambda ds: netcdf.by_size(ds, checked.block, whole=whole, workers=shared),
            model=named,
            good_flags=checked.good_flags,
        )
    # The values are not components of the state.
    observed = opened(source, group=checked.group, block=checked.block)
    observed.encoding["source"] = source
    return observed


def _with_values(observed: xr.Dataset, values: Mapping[str, str]) -> Model:
    """Return the model of the file, or the default, with the values of `--parameter`."""
    from pyvda.io.writing import model_attributes
    from pyvda.models.registry import resolve

    return resolve(model_attributes.required(observed), values)


def _say_default_model(observed: xr.Dataset) -> None:
    from pyvda.io.writing import model_attributes

    if model_attributes.find(observed) is None:
        log.warning(
            "no model was named: the default, %s, is used; --model names another",
            model_attributes.required(observed).name,
        )


def _beside_truth(observed: xr.Dataset, truth: str, named: Model | None) -> xr.Dataset:
    from pyvda.io.pairs import with_truth
    from pyvda.io.writing import model_attributes

    known = named or model_attributes.usable(observed)
    return with_truth(observed, read(truth), None if known is None else known.state_space)


def _block(observed: xr.Dataset, checked: Settings, named: Model | None) -> int:
    """Return the number of windows of a block that workers share."""
    from pyvda.io.observations import prepared
    from pyvda.io.writing import model_attributes
    from pyvda.operators.from_file import resolve as operator_of
    from pyvda.state.chunking import for_workers

    if checked.operator is not None:
        of_state = named or model_attributes.required(observed)
        operator = operator_of(checked.operator)
        observed, _ = prepared(
            observed, checked.variable, of_state, operator, checked.grid_step, checked.good_flags
        )
    return for_workers(observed, checked.window, checked.overlap)


def _expect_result(analysis: Any, output: Path) -> None:
    """Raise EngineError, which --quiet does not silence, if no window with data has an analysis."""
    from pyvda.names import Status

    status = analysis["status"].values
    tried = status[status != Status.NO_OBSERVATIONS]
    if len(tried) and (tried == Status.DIVERGED).all():
        configuration = json.loads(analysis.attrs["pyvda_configuration"])
        model, step = configuration["model"], configuration["cost"]["time_step"]
        usual = f"usual for {model['name']} is {model['time_step']:g}"
        raise EngineError(
            f"every window ({len(tried)}) diverged, so that {output} holds no usable analysis; the "
            f"time step was {step:g} in the model's unit of time ({usual}): set it with "
            "--time-step, and see that the observations have the units of the model"
        )


def _summary(analysis: Any) -> str:
    """Count the windows by status."""

    from pyvda.names import Status

    status = analysis["status"].values
    counts = {s.name.lower().replace("_", " "): int((status == s).sum()) for s in Status}
    ended = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    cost = float(analysis["cost"].mean())
    known = "unknown without the model's code (--model)" if np.isnan(cost) else f"{cost:.4g}"
    return f"{number_of(len(status), 'window')}: {ended}; mean cost {known}"
