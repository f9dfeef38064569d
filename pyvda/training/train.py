"""Train a prior Φ and a solver Γ, jointly or one alone, from a configuration to a learned model.

    pyvda train experiments/lorenz63_genn_conv_supervised.yaml --out runs/l63 [--resume]

The folder then holds the best model (`pyvda.learned.model`), `configuration.yaml` with every
default filled in, `training.json` with scores, learning curve, versions, hardware and cost of the
training, and the state that `--resume` continues from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.train import train_field
from pyvda.fields.learned_points.configuration import PointConfiguration
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.train import train_points
from pyvda.learned.architecture import Section
from pyvda.learned.description import MODEL_FILE, read_description
from pyvda.learned.model import LearnedModel
from pyvda.learned.normalisation import normalisation
from pyvda.progress import ProgressReport, silent
from pyvda.training.configuration import Configuration, read_yaml
from pyvda.training.data import Source, source
from pyvda.training.lightning_trainer import make_trainer, run
from pyvda.training.module import Assimilator
from pyvda.training.run_folder import make_folder, starting_point
from pyvda.training.starting_weights import check_unchanged, start_from
from pyvda.training.state import Progress
from pyvda.training.summary import at_epochs, summary
from pyvda.validation_errors import validated


def train(
    configuration: Configuration | FieldConfiguration | PointConfiguration | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    start: str | Path | None = None,
    engine: str | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    step: ProgressReport = silent,
) -> LearnedModel | FieldModel | PointModel | None:
    """Train a model, and keep the best weights by the validation score.

    Parameters
    ----------
    configuration : Configuration, FieldConfiguration, PointConfiguration or path
        A configuration, or the YAML file to read it from; one with the section `field` trains a
        network on a field with gaps (`pyvda.fields.learned.train`), one with the section `points`
        on data at points (`pyvda.fields.learned_points.train`).
    out : path
        The folder of the run.
    resume : bool
        Continue the run in `out` where it was stopped, with the same weights as without the
        interruption; if nothing is stored there yet, start a new one.
    start : path or str, optional
        A trained model of the same architecture (a folder, or a shipped name) whose weights and
        normalisation the training starts from; `training.json` keeps how it was trained.
    engine : str, optional
        The engine that simulates the windows; see `pyvda.engine.get_engine`.
    report : callable(dict), optional
        Called with the scores of every epoch.
    step : callable(done, total, note)
        Called after every optimiser step.

    Returns
    -------
    LearnedModel, FieldModel, PointModel or None
        The best model, as stored in `out`; None when no epoch had a finite score.

    Raises
    ------
    InputError
        The configuration is invalid, or the folder belongs to another run.
    TrainingError
        The loss or its gradient is not finite; the last good weights are kept.
    KeyboardInterrupt
        Ctrl-C was pressed; everything up to the last epoch is kept.
    """
    if isinstance(configuration, str | Path):
        configuration = _configuration(Path(configuration))
    if isinstance(configuration, FieldConfiguration | PointConfiguration):
        if start is not None:
            raise InputError(
                "a network for fields starts from no other training; leave out start (--from)"
            )
        how: dict[str, Any] = dict(resume=resume, engine=engine, report=report, step=step)
        if isinstance(configuration, FieldConfiguration):
            return train_field(configuration, out, **how)
        return train_points(configuration, out, **how)
    out = Path(out)
    progress, tensors = starting_point(out, configuration, resume)
    if not progress.finished:
        settings = configuration.training
        trainer = make_trainer(
            out, settings, settings.epochs - progress.epoch, configuration.optimiser.clip,
            leaves_unused=settings.pretraining > 0 or configuration.loss.kind == "identification",
        )  # fmt: skip
        get_engine(engine)  # first, so that a resumed run computes with the same kernels
        data = source(configuration.data, engine)
        module = _module(configuration, data, out, progress, tensors, start, engine, report, step)
        if tensors is None:
            make_folder(out, configuration)  # last, so that refused input leaves nothing behind
        run(trainer, module)
    if not (out / MODEL_FILE).is_file():
        return None
    runs_model = read_description(out).needs_code()
    return LearnedModel.load(out, configuration.data.dynamics() if runs_model else None)


def _configuration(path: Path) -> Configuration | FieldConfiguration | PointConfiguration:
    """Read a configuration of any kind."""
    loaded = read_yaml(path, "configuration", "sections such as data and prior")
    kind: type[Section] = Configuration
    if "field" in loaded or "points" in loaded:
        kind = FieldConfiguration if "field" in loaded else PointConfiguration
    found: Configuration | FieldConfiguration | PointConfiguration = validated(
        kind, loaded, str(path)
    )
    return found


def _module(
    configuration: Configuration,
    data: Source,
    out: Path,
    progress: Progress,
    tensors: dict[str, torch.Tensor] | None,
    start: str | Path | None,
    engine: str | None,
    report: Callable[[dict[str, Any]], None] | None,
    step: ProgressReport,
) -> Assimilator:
    torch.manual_seed(configuration.training.seed)
    model = LearnedModel(
        configuration.architecture(),
        data.pattern,
        *normalisation(data.states, configuration.data.normalisation),
        configuration.training.iterations_at(0),
        data.model,
    )
    if start is not None and tensors is None:
        progress.started_from = start_from(model, start, data.model)
    if tensors is not None and not progress.started_from:
        check_unchanged(model, tensors, out)

    on_epoch = at_epochs(
        out, lambda progress: summary(configuration, progress, data, model, engine), report
    )
    return Assimilator(model, configuration, data, out, progress, tensors, on_epoch, step)
