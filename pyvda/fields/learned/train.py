"""Train a network on a field with gaps, from a configuration to a folder.

    pyvda train chl.yaml --out runs/chl [--resume]
    pyvda assimilate chl.nc --checkpoint runs/chl -o filled.nc

The folder then holds the best network (`pyvda.fields.learned.model`), `configuration.yaml` with
every default filled in, `training.json` with the scores and the cost of the training, and the state
that `--resume` continues from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyvda import names
from pyvda.engine import get_engine
from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.learned.description import FIELD_FILE
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.module import FieldTraining, scored
from pyvda.fields.learned.samples import Samples
from pyvda.notices import notice
from pyvda.progress import ProgressReport, silent
from pyvda.training.lightning_trainer import make_trainer, run
from pyvda.training.run_folder import make_folder, starting_point
from pyvda.training.state import Progress
from pyvda.training.summary import at_epochs, of_progress


def train_field(
    configuration: FieldConfiguration,
    out: str | Path,
    *,
    resume: bool = False,
    engine: str | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    step: ProgressReport = silent,
) -> FieldModel | None:
    """Train a network on a field, and keep the best weights by the values held back.

    Parameters
    ----------
    configuration : FieldConfiguration
    out : path
        The folder of the run.
    resume, engine, report, step
        See `pyvda.training.train.train`.

    Returns
    -------
    FieldModel or None
        The best network, as stored in `out`; None when no epoch had a finite score.

    Raises
    ------
    InputError
        The file is unsuited, see `Samples`; or the folder belongs to another run.
    TrainingError
        The loss or its gradient is not finite; the last good weights are kept.
    KeyboardInterrupt
        Ctrl-C was pressed; everything up to the last epoch is kept.
    """
    out, settings = Path(out), configuration.training
    progress, tensors = starting_point(out, configuration, resume)
    if not progress.finished:
        trainer = make_trainer(
            out, settings, settings.epochs - progress.epoch, configuration.optimiser.clip,
            leaves_unused=True,
        )  # fmt: skip
        running = get_engine(engine)
        network = configuration.network
        stacked = network.kind == "stack"
        data = Samples(
            configuration.field, network.days, running, stacked=stacked, together=network.together
        )
        torch.manual_seed(settings.seed)
        level, local = (data.level(), data.local()) if stacked else (None, None)
        model = FieldModel(
            _about(configuration, data), data.mean(), data.field.sea, level, local,
            data.field.places.position,
        )  # fmt: skip
        first = scored(model, data.checks())  # new weights correct nothing
        model.train()
        if tensors is None:
            make_folder(out, configuration)  # last, so that refused input leaves nothing behind

        on_epoch = at_epochs(
            out, lambda progress: _summary(configuration, progress, model, first, engine), report
        )
        module = FieldTraining(model, configuration, data, out, progress, tensors, on_epoch, step)
        run(trainer, module)
        best = progress.best_score
        if best is not None and not best < first[settings.select]:
            notice(
                f"the network's best {settings.select} on the values held back is {best:.4g}, and "
                f"{first[settings.select]:.4g} that of its first guess: train longer or on more "
                "times, or use the method oi"
            )
    return FieldModel.load(out) if (out / FIELD_FILE).is_file() else None


def _about(configuration: FieldConfiguration, data: Samples) -> dict[str, Any]:
    settings = configuration.field
    return {
        "network": configuration.network, "variables": data.variables(),
        "transform": settings.transform, "first_guess": settings.first_guess,
        "nearest": data.selection.own, "nearest_other": data.selection.other,
        "within_days": round(data.selection.days, 6),
        "step_days": data.step_days, "season_days": data.season_days,
        "cover": float(data.there.mean()), "grid": data.grid, "variance_factor": 1.0,
        "trained": {
            "observations": Path(settings.observations).name,
            "truth": None if settings.truth is None else Path(settings.truth).name,
            "times": len(data.field.days),
            "values": int(data.there.sum()),
            **data.digests,
            **_seeds(data.attrs),
        },
    }  # fmt: skip


def _seeds(attrs: Mapping[str, Any]) -> dict[str, int]:
    """Return the seeds of a twin experiment's file, from its attributes; none of other files."""
    if not str(attrs.get("title", "")).startswith(names.TWIN_TITLE):
        return {}
    known = {"truth_seed": attrs.get("seed"), "observation_seed": attrs.get("observation_seed")}
    return {name: int(seed) for name, seed in known.items() if isinstance(seed, int | np.integer)}


def _summary(
    configuration: FieldConfiguration,
    progress: Progress,
    model: FieldModel,
    first: dict[str, float],
    engine: str | None,
) -> dict[str, Any]:
    """Return scores and cost of a training so far, ready for JSON."""
    return {
        "selected_by": configuration.training.select,
        "first_guess": first,
        "parameters": sum(p.numel() for p in model.parameters()),
        **of_progress(configuration, progress, engine),
    }
