"""Train a network on data at points, from a configuration to a folder.

    pyvda train tracks.yaml --out runs/sla [--resume]
    pyvda assimilate tracks.nc --checkpoint runs/sla --grid grid.nc -o map.nc

The folder then holds the best network (`pyvda.fields.learned_points.model`), `configuration.yaml`
with every default filled in, `training.json` with the scores and the cost of the training, and the
state that `--resume` continues from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pyvda.engine import get_engine
from pyvda.fields.learned_points.configuration import PointConfiguration
from pyvda.fields.learned_points.description import POINTS_FILE
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.module import PointTraining
from pyvda.fields.learned_points.samples import PointSamples
from pyvda.notices import notice
from pyvda.progress import ProgressReport, silent
from pyvda.training.lightning_trainer import make_trainer, run
from pyvda.training.run_folder import make_folder, starting_point
from pyvda.training.state import Progress
from pyvda.training.summary import at_epochs, of_progress


def train_points(
    configuration: PointConfiguration,
    out: str | Path,
    *,
    resume: bool = False,
    engine: str | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    step: ProgressReport = silent,
) -> PointModel | None:
    """Train a network on data at points, and keep the best weights by passes left out.

    Parameters
    ----------
    configuration : PointConfiguration
    out : path
        The folder of the run.
    resume, engine, report, step
        See `pyvda.training.train.train`.

    Returns
    -------
    PointModel or None
        The best network, as stored in `out`; None when no epoch had a finite score.

    Raises
    ------
    InputError
        The file is unsuited, see `PointSamples`; or the folder belongs to another run.
    TrainingError
        The loss or its gradient is not finite; the last good weights are kept.
    KeyboardInterrupt
        Ctrl-C was pressed; everything up to the last epoch is kept.

    Warns
    -----
    Notice
        The corrections may do harm, so that the estimate stays the interpolation.
    """
    out, settings = Path(out), configuration.training
    progress, tensors = starting_point(out, configuration, resume)
    if not progress.finished:
        trainer = make_trainer(
            out, settings, settings.epochs - progress.epoch, configuration.optimiser.clip
        )
        data = PointSamples(configuration.points, configuration.network, get_engine(engine))
        torch.manual_seed(settings.seed)
        model = PointModel(_about(configuration, data))
        if tensors is None:
            make_folder(out, configuration)  # last, so that refused input leaves nothing behind

        on_epoch = at_epochs(
            out, lambda progress: _summary(configuration, progress, module, engine), report
        )
        module = PointTraining(model, configuration, data, out, progress, tensors, on_epoch, step)
        run(trainer, module)
    if not (out / POINTS_FILE).is_file():
        return None
    found = PointModel.load(out)
    made = found.about["scores"]
    if not found.about["corrects"]:
        notice(
            f"on what was left out the errors are {made.ratio:.3f} "
            f"[{made.low:.3f}, {made.high:.3f}] of those of optimal interpolation, so that harm is "
            "not excluded: the corrections are not used, and the estimate is the interpolation"
        )
    return found


def _about(configuration: PointConfiguration, data: PointSamples) -> dict[str, Any]:
    settings = configuration.points
    return {
        "network": configuration.network, "variable": data.variable, "units": data.units,
        "transform": settings.transform, "covariance": data.covariance,
        "around_map": settings.mean is not None,
        "local_variance": settings.local_variance, "nearest": data.selection.own,
        "nearest_other": data.selection.other, "within_days": data.selection.days,
        "group_days": data.width, "combination": tuple(data.combination.tolist()),
        "unit_km": data.scales.km, "reach": data.reach,
        "scores": None, "corrects": False,
        "trained": {
            "observations": [Path(one).name for one in settings.files()],
            "truth": None if settings.truth is None else Path(settings.truth).name,
            "passes": data.passes, "values": data.values, **data.digests,
        },
    }  # fmt: skip


def _summary(
    configuration: PointConfiguration, progress: Progress, module: PointTraining, engine: str | None
) -> dict[str, Any]:
    """Return scores and cost of a training so far, ready for JSON."""
    return {
        "first_guess": {"rmse": module.scored.about["scores"].first_guess},
        "parameters": sum(p.numel() for p in module.model.parameters()),
        **of_progress(configuration, progress, engine),
    }
