"""`pyvda assimilate`: a file of observations in, a file of analyses out."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pyvda.cli.derived import on_command_line, with_settings
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
    from pyvda.fields.methods import FieldMethod

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
    iterations: Annotated[
        int | None, typer.Option(help="Maximum number of iterations of a window.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Stop a window at this fraction of its first gradient norm."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="float64 or float32.")] = None,
    observation_variance: Annotated[
        str | None,
        typer.Option(
            help="R of a datum with weight 1, in the state's units squared; estimate: from the "
            "observations. Default: the file's."
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="What is known of the first state: climatology, none, an analysis made with "
            "final_covariance or final_ensemble, or a NumPy file with mean and covariance."
        ),
    ] = None,
    covariance: Annotated[
        str | None,
        typer.Option(
            help="Covariance of the background's error: a number, or a file of pyvda covariance; "
            "estimate: that of the background times a factor from the observations; of a field "
            "without a model (oi): fit, or a file (YAML)."
        ),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(help="log10 or log: estimate the logarithm, with a method without a model."),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Where data at points are estimated (oi): a file with latitude and longitude, or "
            "lon0:lon1:step,lat0:lat1:step."
        ),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            help="When data at points are estimated: first/last/step, such as "
            "2014-05-20/2014-06-01/1d. Default: the times of the grid's file, else every noon."
        ),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(help="Data at points to use beside those of a field (oi); may be repeated."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB", help="GiB for a window beside the file, with incremental. Default: 4."
        ),
    ] = None,
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
    from pyvda.assimilate import named_model
    from pyvda.cluster import started
    from pyvda.io import netcdf
    from pyvda.io.observations import prepared
    from pyvda.io.pairs import with_truth
    from pyvda.io.sources.open import opened
    from pyvda.io.writing import model_attributes
    from pyvda.io.writing.identity import identity
    from pyvda.io.writing.save import check_can_be_saved
    from pyvda.judgements.diagnose import diagnose
    from pyvda.models.from_file import executed_once
    from pyvda.models.registry import resolve
    from pyvda.operators.from_file import resolve as operator_of
    from pyvda.state.chunking import for_workers

    common = {
        "iterations": iterations, "tolerance": tolerance, "precision": precision,
        "observation_variance": observation_variance, "background": background,
        "covariance": covariance, "transform": transform, "grid": grid, "times": times,
        "points": points, "memory": memory,
    }  # fmt: skip
    keywords = _read_settings(config, option) | settings
    keywords |= {name: value for name, value in common.items() if value is not None}
    check_output(output, [observations, truth, config, *keywords.values()], overwrite=overwrite)
    check_json_file(json_file, [observations, truth, config, output])
    context.with_resource(executed_once())
    checked, options = settled(keywords)  # before anything is read
    if is_of_fields(checked):
        from pyvda.fields.assimilate import chosen as method_of_fields

        method = method_of_fields(checked, options)[0]
        if json_file is not None:
            raise InputError(
                f"--json would have no effect: there is no report on a field by {method.name}; "
                "leave it out"
            )
        _analyse_field(
            method, observations, output, keywords, parameter, workers, scheduler, truth, quiet
        )
        return
    _, method_options = chosen_method(checked, options)
    values = named_values(parameter)
    if checked.model is not None and values:  # before it is compared with a checkpoint's
        keywords["model"] = resolve(checked.model, values)
        checked = checked.model_copy(update={"model": keywords["model"]})
    named = named_model(checked, [method_options])
    if named is not None and checked.model is None and values:
        named = keywords["model"] = resolve(named, values)
    if checked.operator is not None and truth is not None:
        raise InputError(
            "--truth would have no effect, because the truth is not read with an operator; leave "
            "it out, and compare the analysis with it by `pyvda score`"
        )
    for name in ("variable", "group", "grid_step", "good_flags"):  # what is done on opening
        if checked.operator is None or name == "group":
            keywords.pop(name, None)
    whole = method_options.couples_windows()
    beside = None
    if checked.cycle is not None:
        if workers is not None or scheduler is not None:
            raise InputError(
                "the windows of a cycle follow from one another, so that workers cannot share "
                "them; leave out --workers and --scheduler, or --cycle"
            )
        if checked.state is None:
            beside = keywords["state"] = output.with_name(f"{output.name}.cycle")
    using = context.with_resource(started(workers, scheduler))
    source = observations[0] if len(observations) == 1 else observations
    shared = using is not None
    if checked.operator is None:
        observed = netcdf.open_observations(
            source,
            checked.variable,
            group=checked.group,
            grid_step=checked.grid_step,
            chunks=lambda ds: netcdf.by_size(ds, checked.block, whole=whole, workers=shared),
            model=named,
            good_flags=checked.good_flags,
        )
    else:  # the values are not components of the state
        observed = opened(source, group=checked.group, block=checked.block)
        observed.encoding["source"] = source
    if named is None and values:
        keywords["model"] = resolve(model_attributes.required(observed), values)
    unnamed = named is None and checked.warm_start is None
    if unnamed and not quiet and model_attributes.find(observed) is None:
        log.warning(
            "no model was named: the default, %s, is used; --model names another",
            model_attributes.required(observed).name,
        )
    if truth is not None:
        known = named or model_attributes.usable(observed)
        observed = with_truth(observed, read(truth), None if known is None else known.state_space)
    check_can_be_saved(observed, output)
    check_space(output, (observed if checked.operator else observed["observation"]).nbytes)
    if using is not None:
        placed = observed
        if checked.operator is not None:
            of_state = named or model_attributes.required(observed)
            operator = operator_of(checked.operator)
            placed, _ = prepared(
                observed,
                checked.variable,
                of_state,
                operator,
                checked.grid_step,
                checked.good_flags,
            )
        block = for_workers(placed, checked.window, checked.overlap)
        keywords["block"] = checked.block or block
    with shown("assimilate", quiet) as report:
        heard = (
            {"report": report} if using is None else {}
        )  # otherwise the workers' progress is lost
        analysis = run(observed, **heard, **keywords)
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


def _analyse_field(
    method: FieldMethod,
    observations: list[str],
    output: Path,
    keywords: dict[str, Any],
    parameter: list[str] | None,
    workers: int | None,
    scheduler: str | None,
    truth: str | None,
    quiet: bool,
) -> None:
    """Run a method without a model and count its analysis by flag."""
    from pyvda.assimilate import assimilate as run
    from pyvda.cluster import started
    from pyvda.io import netcdf
    from pyvda.io.sources import locations
    from pyvda.io.writing.identity import identity
    from pyvda.names import FieldFlag

    given: dict[str, Any] = {"--parameter": parameter, "--truth": truth}
    whole = method.plan is None or "grid" in keywords
    if whole:
        given |= {"--workers": workers, "--scheduler": scheduler}
    idle = ", ".join(name for name, value in given.items() if value)
    if idle:
        raise InputError(
            f"{idle} would have no effect: {method.name} estimates "
            f"{'data at points' if 'grid' in keywords else 'a field'} without a model"
            f"{', in one process' if whole else ''}; leave it out"
        )
    source = observations[0] if len(observations) == 1 else observations
    with started(workers, scheduler), shown("assimilate", quiet) as report:
        analysis = run(source, report=report, **keywords)
        analysis.attrs.setdefault(
            "source", f"observations from {', '.join(map(base_name, observations))}"
        )
        of_run = identity(analysis, {"observations": observations, **keywords})
        netcdf.save_analysis(analysis, output, report=report, run=of_run)
    say(quiet, f"{output}: on {analysis.attrs['pyvda_engine']}")
    with locations.opened(output) as written:
        for name in (str(n) for n in analysis.data_vars if str(n).endswith("_flag")):
            found: Counter[int] = Counter()
            for step in range(written[name].shape[0]):
                found.update(dict(zip(*np.unique(written[name][step], return_counts=True),
                                      strict=True)))  # fmt: skip
            counts = {f.name.lower().replace("_", " "): int(found[f]) for f in FieldFlag}
            say(quiet, f"{name.removesuffix('_flag')}: "
                + ", ".join(f"{n} {what}" for what, n in counts.items() if n))  # fmt: skip


def _read_settings(config: Path | None, option: list[str] | None) -> dict[str, Any]:
    """Return the options of a YAML file and of `--set name=value`, the latter winning."""
    import yaml

    found: dict[str, Any] = {}
    if config is not None:
        from pyvda.training.configuration import read_yaml

        found |= read_yaml(config, "options", "lines such as `method: fsgd`")
    for text in option or []:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--set {text} has no value, expected name=value")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {text} cannot be read, expected name=value") from None
    of_python = {"observations", *Settings.model_fields} - on_command_line().keys()
    for name in of_python & found.keys():
        raise InputError(f"{name} is not an option of the command line; leave it out")
    return found


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
