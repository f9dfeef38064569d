"""The command line: parse and call, nothing else.

Exit code 0 on success, 1 when something failed, 2 when the input cannot be used.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

import pyvda
from pyvda.errors import EngineError, InputError, TrainingError
from pyvda.io.atomic import check_folder, replacing
from pyvda.progress import shown

app = typer.Typer(
    help="Variational data assimilation of netCDF observations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write; replaced whole.")]
EngineName = Annotated[
    str | None,
    typer.Option(help="auto, juliacall, libjulia or torch; else PYVDA_ENGINE decides."),
]
GridStep = Annotated[
    str | None,
    typer.Option(
        help="The file is a table, one row a datum (time, component, value): the step of the "
        "analysis times, in its unit of time; of dates such as 6h."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same file.")]


_INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> None:
    """Run the command line and turn errors into one sentence and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="pyvda: %(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(2)
    except (EngineError, TrainingError) as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code != _INTERRUPTED:
            raise
        print("pyvda: interrupted", file=sys.stderr)
        sys.exit(1)


def _example(*commands: str) -> str:
    return "[bold]Example[/bold]\n\n" + "\n\n".join(f"  {c}" for c in commands)


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Print what pyvda warns of as one line, without the place in the source."""
    from pyvda.learned.patterns import PatternWarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PatternWarning):
            print(f"pyvda: {message}", file=sys.stderr)
        else:
            before(message, category, *where, **more)

    with warnings.catch_warnings():
        before = warnings.showwarning
        warnings.simplefilter("always", PatternWarning)
        warnings.showwarning = show
        yield


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        print(text)  # rich, which shows progress meanwhile, does not hear typer's echo


def _read(path: Path) -> Any:
    """Open a file of pyvda's own (truth, analysis) whole."""
    from pyvda.io.netcdf import open_dataset

    return open_dataset(path)


@app.command(epilog=_example("pyvda simulate lorenz63 --windows 2000 --seed 11 -o truth.nc"))
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
    _say(quiet, f"{output}: {windows} windows of {preset}, on {get_engine(engine).info}")


@app.command(epilog=_example("pyvda observe truth.nc --preset lorenz63 --seed 12 -o obs.nc"))
def observe(
    truth: Annotated[Path, typer.Argument(help="File with the variable truth.")],
    output: Output,
    preset: Annotated[str, typer.Option(help="A preset, such as lorenz63.")],
    seed: Seed = 0,
    variance: Annotated[
        float | None, typer.Option(help="Error variance, squared units of the state.")
    ] = None,
    every: Annotated[int | None, typer.Option(help="Steps between observation times.")] = None,
    quiet: Quiet = False,
) -> None:
    """Observe a truth, with noise, as a preset says."""
    from pyvda import twin
    from pyvda.io import netcdf

    check_folder(output)
    observed = twin.observe(_read(truth), preset, seed, variance=variance, every=every)
    netcdf.save_analysis(observed, output)
    count = int(observed["observation"].notnull().sum())
    _say(quiet, f"{output}: {count} observations in {observed.sizes['window']} windows")


@app.command(
    epilog=_example(
        "pyvda assimilate obs.nc --model lorenz63 --iterations 150000 -o analysis.nc",
        "pyvda assimilate series.nc --window 200 --overlap 40 --time-step 0.01 -o analysis.nc",
        "pyvda assimilate table.nc --grid-step 0.01 --method gauss-newton -o analysis.nc",
        "pyvda assimilate obs.nc --checkpoint runs/l63 -o analysis.nc",
    )
)
def assimilate(
    observations: Annotated[Path, typer.Argument(help="netCDF file or zarr store.")],
    output: Output,
    model: Annotated[str | None, typer.Option(help="lorenz63 or lorenz96.")] = None,
    method: Annotated[str | None, typer.Option(help="fsgd, or another of `pyvda info`.")] = None,
    variable: Annotated[
        str | None, typer.Option(help="Observed variable, by name or standard_name.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Cut a series into so many steps.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Steps shared by two windows.")] = None,
    time_step: Annotated[
        float | None, typer.Option(help="Model time between two steps of the file.")
    ] = None,
    grid_step: GridStep = None,
    iterations: Annotated[int | None, typer.Option(min=0)] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Stop a window at this fraction of its first gradient.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="float64 or float32.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Another option of the method: name=value.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of the options above.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth, to record the error along the iterations.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Learned model to assimilate with: a folder made by `pyvda train`, or a name of "
            "`pyvda info`. Or, for FSGD, a file to keep its state in and to resume from."
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(help="Learned model whose analysis the method starts from: folder or name."),
    ] = None,
    block: Annotated[
        int | None, typer.Option(min=1, help="Windows in memory at once; default: by file size.")
    ] = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Assimilate a file of observations."""
    from pyvda.assimilate import assimilate as run
    from pyvda.engine import get_engine
    from pyvda.io import netcdf
    from pyvda.io.pairs import with_truth
    from pyvda.io.tables import on_grid
    from pyvda.models.registry import default_model, get_model
    from pyvda.settings import settled

    check_folder(output)
    settings = _settings(config, option)
    given = {
        "model": model, "method": method, "variable": variable, "window": window,
        "overlap": overlap, "block": block, "time_step": time_step, "iterations": iterations,
        "tolerance": tolerance, "precision": precision, "engine": engine, "warm_start": warm_start,
        "checkpoint": checkpoint,
    }  # fmt: skip
    settings |= {name: value for name, value in given.items() if value is not None}
    told = settled(settings)  # before anything is read
    settings |= _checkpoint(settings.pop("checkpoint", None), settings)
    settings.pop("variable", None)
    if grid_step is not None:
        size = (get_model(str(told.model)) if told.model else default_model()).state_size
        table = netcdf.open_dataset(observations)
        observed = on_grid(table, grid_step, size, variable=told.variable)
    else:
        observed = netcdf.open_observations(
            observations, told.variable, chunks=lambda ds: netcdf.by_size(ds, told.block)
        )
    if truth is not None:
        observed = with_truth(observed, _read(truth))
    with _warnings_in_a_line(), shown("assimilate", quiet) as report:
        analysis = run(observed, report=report, **settings)
        analysis.attrs["source"] = f"observations from {observations.name}"
        netcdf.save_analysis(analysis, output)
    _say(quiet, f"{output}: on {get_engine(settings.get('engine')).info}")
    _say(quiet, _summary(netcdf.open_dataset(output, ["status", "cost"])))


@app.command(
    epilog=_example(
        "pyvda train experiments/lorenz63_genn_conv_supervised.yaml --out runs/l63",
        "pyvda assimilate obs.nc --checkpoint runs/l63 -o analysis.nc",
    )
)
def train(
    configuration: Annotated[Path, typer.Argument(help="YAML file; see experiments/.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: weights, scores, state.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Trained model to start from: folder, or a shipped name."),
    ] = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Train a prior and a solver, and keep the best weights."""
    from pyvda.training.state import RESUME_FILE
    from pyvda.training.train import train as run

    quiet = quiet or os.environ.get("LOCAL_RANK", "0") != "0"  # the first process of DDP speaks

    def report(epoch: dict[str, Any]) -> None:
        known = ("loss", "r_score", "cost", "ode_score")
        scores = "  ".join(f"{name} {epoch[name]:.4g}" for name in known if epoch.get(name))
        best = "  best" if epoch["best"] else ""
        _say(quiet, f"epoch {epoch['epoch']}  {epoch['iterations']} iterations  {scores}{best}")

    try:
        with shown("train", quiet) as step:
            best = run(
                configuration, out, resume=resume, start=start, engine=engine, report=report,
                step=step,
            )  # fmt: skip
    except KeyboardInterrupt:
        if (out / RESUME_FILE).is_file():
            print(f"pyvda: {out} has the epochs so far; go on with --resume", file=sys.stderr)
        raise
    if best is None:
        raise TrainingError(f"no epoch had a finite score; see training.json in {out}")
    _say(quiet, f"{out}: the best weights, to use as --checkpoint {out}")


@app.command(
    epilog=_example(
        "pyvda score analysis.nc --truth truth.nc --json scores.json",
        "pyvda score fsgd.nc learned.nc --truth truth.nc",
    )
)
def score(
    analyses: Annotated[list[Path], typer.Argument(help="Files made by `pyvda assimilate`.")],
    truth: Annotated[Path, typer.Option(help="File with the variable truth.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999)] = 0.95,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Score analyses: R-score, 4DVar-score, ODE-score, with bootstrap intervals over windows."""
    from pyvda import scores
    from pyvda.evaluate import check, evaluate

    if json_file is not None:
        check_folder(json_file)
    true = _read(truth)
    read = {str(path): _read(path) for path in analyses}
    for analysis in read.values():
        check(analysis, true)
    found = {path: evaluate(analysis, true, engine=engine) for path, analysis in read.items()}
    if json_file is not None:
        tables = {path: scores.score_table(of, level=level) for path, of in found.items()}
        content = tables if len(analyses) > 1 else tables[str(analyses[0])]
        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
    width = max(len(path) for path in found) + 2 if len(found) > 1 else 0
    for name in next(iter(found.values())):
        for path, of in found.items():
            of_file = f"{path:{width}s}" if width else ""
            _say(quiet, f"{name:22s} {of_file}{scores.summarise(of[name], level=level)}")


@app.command(
    epilog=_example(
        "pyvda check --model lorenz63",
        "pyvda check --model lorenz63 --obs obs.nc --checkpoint runs/l63 --json checks.json",
    )
)
def check(
    model: Annotated[
        str | None, typer.Option(help="lorenz63 or lorenz96. Default: the checkpoint's.")
    ] = None,
    obs: Annotated[
        Path | None, typer.Option(help="Observations to check the cost on, netCDF or zarr.")
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Observed variable, by name or standard_name.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Cut a series into so many steps.")] = None,
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
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the checks here.")] = None,
    seed: Seed = 0,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Test adjoints, tangent linears and gradients of a model, on a file of one's own.

    A learned prior's gradient too: of a small GENN with fresh weights, or of the checkpoint.
    """
    from rich.console import Console

    from pyvda.checks import run as checking
    from pyvda.checks.target import subject

    if json_file is not None:
        check_folder(json_file)
    of = subject(
        model, obs, checkpoint,
        variable=variable, window=window, time_step=time_step, grid_step=grid_step, engine=engine,
        seed=seed,
    )  # fmt: skip
    with shown("check", quiet) as report:
        checks = checking.check_model(
            of.model, of.batch, time_step=of.time_step, engine=engine, seed=seed, report=report
        )
    checks += checking.check_learned(of.learned, of.batch, seed=seed)
    wrong = checking.failed(checks)
    if json_file is not None:
        found = {
            "subject": of.title,
            "passed": not wrong,
            "checks": [one.as_dict() for one in checks],
        }
        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
    if not quiet:
        Console(soft_wrap=True).print(checking.table(checks, of.title))
    _say(quiet, checking.summary(checks))
    for one in wrong:
        print(f"pyvda: {one.name} failed: {one.detail}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)


@app.command(epilog=_example("pyvda plot analysis.nc --truth truth.nc -o analysis.png"))
def plot(
    analysis: Annotated[Path, typer.Argument(help="File made by `pyvda assimilate`.")],
    output: Output,
    truth: Annotated[Path | None, typer.Option(help="File with the variable truth.")] = None,
    windows: Annotated[str, typer.Option(help="Which windows, separated by commas.")] = "0,1,2,3",
    quiet: Quiet = False,
) -> None:
    """Draw reconstructions against truth and observations, and the descent."""
    from pyvda.plotting import analysis as plots

    try:
        chosen = [int(w) for w in windows.split(",")]
    except ValueError:
        raise InputError(f"--windows is {windows!r}, expected numbers such as 0,1,2") from None
    check_folder(output)
    drawn = _read(analysis)
    figure = plots.plot_analysis(drawn, None if truth is None else _read(truth), chosen)
    plots.save_figure(figure, output)
    without = "" if plots.has_descent(drawn) else f": without a descent, {plots.NO_DESCENT}"
    _say(quiet, f"{output}{without}")


@app.command(
    epilog=_example(
        "pyvda reproduce table1 --quick -o results",
        "pyvda reproduce table2 --only fsgd,direct -o results",
        "pyvda reproduce figure2 -o figures",
    )
)
def reproduce(
    what: Annotated[str, typer.Argument(help="table1, table2, figure2, figure3 or figure4.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the results; a table goes on there.")
    ] = Path("results"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Shipped weights, and long descents cut short.")
    ] = False,
    shipped_weights: Annotated[
        bool, typer.Option("--shipped", help="Shipped weights, but descents to their end.")
    ] = False,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Test windows; default: as many as the paper has.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Rows to run, separated by commas.")] = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Make the paper's tables and figures again; tables also train, but for --quick, --shipped."""
    from pyvda import paper as reproduction

    def progress(label: str) -> Any:
        return shown(label, quiet)

    def say(text: str) -> None:
        _say(quiet, text)

    settings: dict[str, Any] = {"quick": quick, "windows": windows, "engine": engine}
    if what in reproduction.TABLES:
        settings |= {"retrain": not (quick or shipped_weights)}
        settings |= {"only": [] if only is None else only.split(",")}
    elif shipped_weights or only is not None:
        raise InputError("--shipped and --only are of tables; a figure has all solvers, as shipped")
    written = reproduction.reproduce(what, output, progress=progress, say=say, **settings)
    _say(quiet, ", ".join(str(path) for path in written))


@app.command(epilog=_example("pyvda info"))
def info(engine: EngineName = None, quiet: Quiet = False) -> None:
    """Print versions, the engine that was chosen and why, and the methods."""
    from importlib.metadata import version

    from pyvda.engine import get_engine
    from pyvda.learned import shipped
    from pyvda.methods import METHODS
    from pyvda.models.registry import presets

    running = get_engine(engine).info
    packages = ("numpy", "scipy", "xarray", "netCDF4", "torch", "juliacall")
    rows = {
        "pyvda": pyvda.__version__,
        "python": sys.version.split()[0],
        **{name: version(name) for name in packages},
        "engine": str(running),
        "because": running.reason,
        "methods": ", ".join(METHODS),
        "presets": ", ".join(presets()),
        "shipped": ", ".join(shipped.names()) or "no trained models",
    }
    for name, value in rows.items():
        _say(quiet, f"{name:10s} {value}")


_NOT_OPTIONS = {"observations", "report", "resume_file"}  # keywords of `pyvda.assimilate` alone


def _settings(config: Path | None, option: list[str] | None) -> dict[str, Any]:
    """Return the options of a YAML file and of `--set name=value`, the latter winning."""
    import yaml

    from pyvda.training.configuration import read_yaml

    settings: dict[str, Any] = {}
    if config is not None:
        settings |= read_yaml(config, "options", "lines such as `method: fsgd`")
    for text in option or []:
        name, found, value = text.partition("=")
        if not found:
            raise InputError(f"--set {text} has no value, expected name=value")
        try:
            settings[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {text} cannot be read, expected name=value") from None
    for name in _NOT_OPTIONS & settings.keys():
        raise InputError(f"{name} is no option of the command line; leave it out")
    return settings


def _checkpoint(given: str | Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Tell a learned model (a folder) from the file that FSGD keeps its state in."""
    if given is None:
        return {}
    from pyvda.learned import shipped

    path = Path(given)
    if path.is_dir() or (not path.exists() and str(path) in shipped.names()):
        if settings.get("method", "learned") != "learned":
            raise InputError(
                f"{path} is a folder or a shipped model, but the method is {settings['method']}; "
                "leave out --method, or name a file for the state of the method"
            )
        settings.pop("method", None)
        return {"checkpoint": path}
    # A state file need not exist yet. A learned model that is misspelt must not start an FSGD.
    if not (path.exists() or path.suffix or {"method", "iterations"} & settings.keys()):
        raise InputError(
            f"there is no {path}; give the folder of a learned model, one of the shipped "
            f"({', '.join(shipped.names()) or 'none'}) or, to keep the state of a descent there, "
            "add --method fsgd"
        )
    return {"resume_file": path}


def _summary(analysis: Any) -> str:
    """Say how the windows ended, the wrong ones above all."""
    from pyvda.names import Status

    status = analysis["status"].values
    counts = {s.name.lower().replace("_", " "): int((status == s).sum()) for s in Status}
    ended = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    return f"{len(status)} windows: {ended}; mean cost {float(analysis['cost'].mean()):.4g}"
