"""Small trainings that several tests run, and how well their models do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyvda.engine import CostSettings, get_engine
from pyvda.learned.model import LearnedModel
from pyvda.methods import METHODS, Problem
from pyvda.training.configuration import Configuration, Data
from pyvda.training.data import TwinData
from pyvda.validation_errors import validated


def configured(prior: str, solver: str, loss: str, /, **sections: Any) -> Configuration:
    """A training of seconds on short windows; `sections` change single keys."""
    values: dict[str, Any] = {
        "data": {"steps": 48, "windows": 64, "validation": 32},
        "prior": {"kind": prior},
        "solver": {"kind": solver},
        "loss": {"kind": loss},
        "optimiser": {
            "solver_rate": 0.01, "prior_rate": 0.002, "pretraining_rate": 0.005, "clip": 1.0,
        },
        "training": {"epochs": 6, "batch_size": 8, "iterations": {0: 5}},
    }  # fmt: skip
    for name, keys in sections.items():
        values[name] = values.get(name, {}) | keys
    return validated(Configuration, values, "here")


def held_out(data: Data) -> Data:
    """Return the same setting with other windows in place of those that select the weights."""
    return data.model_copy(update={"validation_seed": 3})


def r_score(data: Data, model: LearnedModel | None, iterations: int = 0) -> float:
    """R-score on the validation windows of `data`, of a learned model or of FSGD."""
    found = TwinData(data)
    batch = found.validation
    if model is None:
        problem = Problem(
            batch, found.setting.model, CostSettings(found.setting.model.time_step), get_engine()
        )
        fsgd = METHODS["fsgd"]
        x = fsgd.solve(problem, fsgd.options(iterations=iterations)).x
    else:
        with torch.no_grad():
            x = model(batch.to(dtype=torch.float32)).x.numpy()
    return float(np.mean((x - batch.truth) ** 2))


def curve(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "training.json").read_text())["curve"]


def r_scores(out: Path) -> list[float]:
    return [epoch["r_score"] for epoch in curve(out) if "r_score" in epoch]


QUICK: dict[str, Any] = {
    "data": {"steps": 16, "windows": 12, "validation": 4, "fresh": True, "symmetries": True},
    "training": {"epochs": 6, "batch_size": 4, "iterations": {0: 2, 3: 3}, "averaging": 0.9,
                 "pretraining": 1},
}  # fmt: skip


def quick(**sections: Any) -> Configuration:
    merged = {name: QUICK.get(name, {}) | keys for name, keys in (QUICK | sections).items()}
    return configured("genn", "lstm", "supervised", **merged)
