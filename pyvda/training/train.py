"""Training of priors Φ and solvers Γ, jointly or one alone: configuration in, learned model out.

    pyvda train experiments/lorenz63_genn_conv_supervised.yaml --out runs/l63 [--resume]

The folder then holds the best model (`learned.model`), `configuration.yaml` with every default
filled in, `training.json` with scores, curve, versions, hardware and cost of the training, and the
state that `--resume` goes on from.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException

import pyvda
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.io.atomic import replacing
from pyvda.learned.description import MODEL_FILE
from pyvda.learned.model import LearnedModel, normalisation
from pyvda.learned.shipped import TRAINING_FILE, checkpoint_folder, record
from pyvda.progress import Report, silent
from pyvda.signals import handlers_kept
from pyvda.training import state
from pyvda.training.configuration import Configuration, read_configuration
from pyvda.training.data import Source, source
from pyvda.training.module import Assimilator
from pyvda.training.state import Progress

CONFIGURATION_FILE = "configuration.yaml"


def train(
    configuration: Configuration | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    start: str | Path | None = None,
    engine: str | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    step: Report = silent,
) -> LearnedModel | None:
    """Train a model, and keep the best weights by the validation score.

    Parameters
    ----------
    configuration : Configuration or path
        Or the YAML file that it is read from.
    out : path
        The folder of the run.
    resume : bool
        Go on from where the run in `out` was stopped, to the same weights as if it had not been;
        start if it has not got anywhere yet.
    start : path or str, optional
        A trained model of the same architecture (a folder, or a shipped name) whose weights and
        normalisation the training starts from; its record is kept in `training.json`.
    engine : str, optional
        That simulates the windows; see `pyvda.engine.get_engine`.
    report : callable(dict), optional
        Told the scores of every epoch.
    step : callable(done, total, note)
        Told of every optimiser step.

    Returns
    -------
    LearnedModel or None
        The best model, as stored in `out`; None when no epoch had a finite score.

    Raises
    ------
    InputError
        When the configuration is wrong, or the folder is of another run.
    TrainingError
        When the loss or its gradient is not finite; the last good weights are kept.
    KeyboardInterrupt
        At Ctrl-C; what was done up to the last epoch is kept.
    """
    if not isinstance(configuration, Configuration):
        configuration = read_configuration(configuration)
    out = Path(out)
    progress, tensors = _start(out, configuration, resume)
    if not progress.finished:
        trainer = _trainer(out, configuration, configuration.training.epochs - progress.epoch)
        get_engine(engine)  # before, so that a resumed run computes with the same kernels
        data = source(configuration.data, engine)
        module = _module(configuration, data, out, progress, tensors, start, engine, report, step)
        if tensors is None:
            _make_folder(out, configuration)  # last, so that what is refused leaves nothing behind
        # When it ends, Lightning resets every signal to the handler that Python knows of. Julia's
        # threads stop for the garbage collector by a SIGSEGV that Julia handles in C: without that
        # handler, the next collection ends the process.
        with _quiet(), handlers_kept():
            try:
                trainer.fit(module)
            except SystemExit:
                if not trainer.interrupted:
                    raise
                raise KeyboardInterrupt from None  # which Lightning has made an exit of
    return LearnedModel.load(out) if (out / MODEL_FILE).is_file() else None


def _trainer(out: Path, configuration: Configuration, epochs: int) -> lightning.Trainer:
    """Return Lightning's trainer; refuse what it, or this machine, does not have."""
    settings = configuration.training
    try:
        with _quiet():
            return lightning.Trainer(
                accelerator=settings.accelerator,
                devices=settings.devices,
                strategy=_strategy(configuration),
                precision=settings.precision,
                max_epochs=epochs,
                gradient_clip_val=configuration.optimiser.clip,
                reload_dataloaders_every_n_epochs=1,
                use_distributed_sampler=False,  # the module has one of its own
                num_sanity_val_steps=0,
                inference_mode=False,  # Φ's gradient is taken in validation too
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=out,
            )
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".!")
        raise InputError(
            f"training: accelerator {settings.accelerator!r} with devices {settings.devices!r} and "
            f"strategy {settings.strategy!r} cannot be used ({reason}), expected what Lightning "
            "finds on this machine; correct them, or leave them out for one device of its choice"
        ) from error


def _strategy(configuration: Configuration) -> str:
    """Return Lightning's strategy; Φ alone is trained in some epochs, and DDP has to be told."""
    chosen = configuration.training.strategy
    alone = configuration.training.pretraining or configuration.loss.kind == "identification"
    return "ddp_find_unused_parameters_true" if chosen == "ddp" and alone else chosen


def _start(
    out: Path, configuration: Configuration, resume: bool
) -> tuple[Progress, dict[str, torch.Tensor] | None]:
    """Return where to start: at the stored state, or at the beginning in a folder of its own."""
    stored = out / state.RESUME_FILE
    if resume and stored.is_file():
        return state.read(stored, configuration.model_dump(mode="json"))
    # Further processes of a distributed run find the folder that the first one has just made.
    if _first_process() and not resume and (stored.exists() or (out / MODEL_FILE).exists()):
        raise InputError(
            f"{out} holds a training already; add --resume to go on with it, or name another folder"
        )
    return Progress(), None


def _make_folder(out: Path, configuration: Configuration) -> None:
    """Make the folder of a run, with its resolved configuration."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror})") from error
    if _first_process():
        resolved = configuration.model_dump(mode="json")
        with replacing(out / CONFIGURATION_FILE) as temporary:
            temporary.write_text(yaml.safe_dump(resolved, sort_keys=False), "utf-8")


def _first_process() -> bool:
    """Tell the first process of a distributed run from those that find the folder it has made."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def _module(
    configuration: Configuration,
    data: Source,
    out: Path,
    progress: Progress,
    tensors: dict[str, torch.Tensor] | None,
    start: str | Path | None,
    engine: str | None,
    report: Callable[[dict[str, Any]], None] | None,
    step: Report,
) -> Assimilator:
    torch.manual_seed(configuration.training.seed)
    model = LearnedModel(
        configuration.architecture(),
        data.pattern,
        *normalisation(data.states, configuration.data.normalisation),
        configuration.training.iterations_at(0),
    )
    if start is not None and tensors is None:
        progress.started_from = _start_from(model, start)
    if tensors is not None and not progress.started_from:
        _check_unchanged(model, tensors, out)

    def on_epoch(progress: Progress) -> None:
        text = json.dumps(_record(configuration, progress, data, model, engine), indent=2)
        with replacing(out / TRAINING_FILE) as temporary:
            temporary.write_text(text + "\n", "utf-8")
        if report is not None:
            report(progress.curve[-1] | {"best": progress.best_epoch == progress.epoch - 1})

    return Assimilator(model, configuration, data, out, progress, tensors, on_epoch, step)


def _check_unchanged(model: LearnedModel, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Refuse to go on with other windows, which a file of the same name may hold by now."""
    for name in ("mean", "std"):
        before, now = tensors[f"model.{name}"].double(), getattr(model, name)
        if not torch.allclose(before, now, rtol=1e-6):
            raise InputError(
                f"the training windows have the {name} {_listed(now)}, and had {_listed(before)} "
                f"when the training in {out} was started; give the same files, or train into "
                "another folder"
            )


def _listed(values: torch.Tensor) -> str:
    return ", ".join(f"{value:.6g}" for value in values.reshape(-1).tolist())


def _start_from(model: LearnedModel, start: str | Path) -> dict[str, Any]:
    """Give `model` the weights of another; return what is known of how these were trained."""
    folder = checkpoint_folder(start)
    other = LearnedModel.load(folder)
    if other.architecture != model.architecture:
        raise InputError(
            f"{start} has another architecture than the configuration asks for, its weights do not "
            f"fit; found {other.architecture}, expected {model.architecture}"
        )
    model.load_state_dict(other.state_dict())
    known = record(folder, TRAINING_FILE)
    kept = ("steps", "epochs", "distinct_windows_seen", "wall_seconds", "configuration",
            "started_from")  # fmt: skip
    return {"sha256": other.digest(), **{name: known[name] for name in kept if known.get(name)}}


def _record(
    configuration: Configuration,
    progress: Progress,
    data: Source,
    model: LearnedModel,
    engine: str | None,
) -> dict[str, Any]:
    """Return what is written beside the weights: what they are, what they cost, how they score."""
    versions = {name: version(name) for name in ("numpy", "torch", "lightning", "safetensors")}
    return {
        "selected_by": configuration.select(),
        "best_epoch": progress.best_epoch,
        "validation": progress.best_scores,
        "finished": progress.finished,
        "epochs": progress.epoch,
        "steps": progress.step,
        "distinct_windows_seen": data.distinct(progress.epoch),
        "wall_seconds": round(progress.seconds, 1),
        "hardware": _hardware(),
        "parameters": {
            "prior": sum(p.numel() for p in model.prior.parameters()),
            "solver_and_cost": sum(p.numel() for p in model.parameters())
            - sum(p.numel() for p in model.prior.parameters()),
        },
        "versions": {"pyvda": pyvda.__version__, "python": platform.python_version(), **versions},
        "engine": str(get_engine(engine).info),
        "started_from": progress.started_from,
        "configuration": configuration.model_dump(mode="json"),
        "curve": progress.curve,
    }


def _hardware() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice about loaders and its tips off the screen."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
