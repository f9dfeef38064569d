"""`pyvda train`: a prior and a solver, or a network for fields, from a configuration file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pyvda.cli.options import EngineName, Quiet, say
from pyvda.errors import InputError, TrainingError
from pyvda.progress import shown

EXAMPLES = (
    "pyvda train experiments/lorenz63_genn_conv_supervised.yaml --out runs/l63",
    "pyvda assimilate obs.nc --checkpoint runs/l63 -o analysis.nc",
    "pyvda train experiments/fields/unet.yaml --out runs/chl",
    "pyvda train experiments/points/neighbours.yaml --out runs/sla",
)


def train(
    configuration: Annotated[Path, typer.Argument(help="YAML file; see experiments/.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: weights, scores, state.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Trained model to start from: folder, or a shipped name."),
    ] = None,
    engine: EngineName = None,
    quiet: Quiet = False,
) -> None:
    """Train a prior and a solver, or a network for fields with gaps or tracks; keep the best."""
    from pyvda.training.state import RESUME_FILE
    from pyvda.training.train import train as run

    if str(out) == "-":
        raise InputError(
            "cannot write to standard output (-): a run is a folder; give a name such as runs/first"
        )
    if resume and start is not None:
        raise InputError(
            f"--resume continues the run in {out} from its own weights, so that --from {start} "
            "would have no effect; leave out one of them"
        )
    quiet = quiet or os.environ.get("LOCAL_RANK", "0") != "0"  # the first process of DDP prints

    def report(epoch: dict[str, Any]) -> None:
        known = ("loss", "r_score", "cost", "ode_score", "rmse", "nll", "calibration")
        scores = "  ".join(f"{name} {epoch[name]:.4g}" for name in known if epoch.get(name))
        best = "  best" if epoch["best"] else ""
        made = f"  {epoch['iterations']} iterations" if "iterations" in epoch else ""
        say(quiet, f"epoch {epoch['epoch']}{made}  {scores}{best}")

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
    say(quiet, f"{out}: the best weights, to use as --checkpoint {out}")
