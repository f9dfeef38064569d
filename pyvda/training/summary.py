"""The content of `training.json`: how a model was trained, at what cost, and how it scores."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

import pyvda
from pyvda.engine import get_engine
from pyvda.learned.model import LearnedModel
from pyvda.machine import processor_name
from pyvda.training.configuration import Configuration
from pyvda.training.data import Source
from pyvda.training.state import Progress


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
        "best_epoch": progress.best_epoch,
        "validation": progress.best_scores,
        "finished": progress.finished,
        "epochs": progress.epoch,
        "steps": progress.step,
        "distinct_windows_seen": data.distinct(progress.epoch),
        "wall_seconds": round(progress.seconds, 1),
        "parameters": {
            "prior": sum(p.numel() for p in model.prior.parameters()),
            "solver_and_cost": sum(p.numel() for p in model.parameters())
            - sum(p.numel() for p in model.prior.parameters()),
        },
        **surroundings(engine),
        "started_from": progress.started_from,
        "configuration": configuration.model_dump(mode="json"),
        "curve": progress.curve,
    }


def surroundings(engine: str | None) -> dict[str, Any]:
    """Return hardware, versions and engine of a training, ready for JSON."""
    versions = {name: version(name) for name in ("numpy", "torch", "lightning", "safetensors")}
    return {
        "hardware": _hardware(),
        "versions": {"pyvda": pyvda.__version__, "python": platform.python_version(), **versions},
        "engine": str(get_engine(engine).info),
    }


def _hardware() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": gpu,
    }
