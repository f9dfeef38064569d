"""The content of `training.json`: how a model was trained, at what cost, and how it scores."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import pyvda
from pyvda.engine import get_engine
from pyvda.io.writing.atomic import replacing
from pyvda.learned.architecture import Section
from pyvda.learned.model import LearnedModel
from pyvda.learned.shipped import TRAINING_FILE
from pyvda.machine import processor_name
from pyvda.training.configuration import Configuration
from pyvda.training.data import Source
from pyvda.training.state import Progress


def at_epochs(
    out: Path,
    summary_of: Callable[[Progress], dict[str, Any]],
    report: Callable[[dict[str, Any]], None] | None,
) -> Callable[[Progress], None]:
    """Return what a training does after each epoch: write `training.json`, report the scores."""

    def on_epoch(progress: Progress) -> None:
        text = json.dumps(summary_of(progress), indent=2)
        with replacing(out / TRAINING_FILE) as temporary:
            temporary.write_text(text + "\n", "utf-8")
        if report is not None:
            report(progress.curve[-1] | {"best": progress.best_epoch == progress.epoch - 1})

    return on_epoch


def summary(
    configuration: Configuration,
    progress: Progress,
    data: Source,
    model: LearnedModel,
    engine: str | None,
) -> dict[str, Any]:
    """Return scores, cost, versions and configuration of a training so far, ready for JSON."""
    return {
        "selected_by": configuration.select(),
        "distinct_windows_seen": data.distinct(progress.epoch),
        "parameters": {
            "prior": sum(p.numel() for p in model.prior.parameters()),
            "solver_and_cost": sum(p.numel() for p in model.parameters())
            - sum(p.numel() for p in model.prior.parameters()),
        },
        "started_from": progress.started_from,
        **of_progress(configuration, progress, engine),
    }


def of_progress(configuration: Section, progress: Progress, engine: str | None) -> dict[str, Any]:
    """Return what every training states: scores, cost, machine, versions and configuration."""
    versions = {name: version(name) for name in ("numpy", "torch", "lightning", "safetensors")}
    return {
        "best_epoch": progress.best_epoch,
        "validation": progress.best_scores,
        "finished": progress.finished,
        "epochs": progress.epoch,
        "steps": progress.step,
        "wall_seconds": round(progress.seconds, 1),
        "hardware": _hardware(),
        "versions": {"pyvda": pyvda.__version__, "python": platform.python_version(), **versions},
        "engine": str(get_engine(engine).info),
        "configuration": configuration.model_dump(mode="json"),
        "curve": progress.curve,
    }


def _hardware() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": gpu,
    }
