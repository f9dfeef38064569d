"""Weights that a training starts from, and whether a resumed one has the same training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pyvda.errors import InputError
from pyvda.learned.description import MODEL_FILE, read_description
from pyvda.learned.model import LearnedModel
from pyvda.learned.shipped import TRAINING_FILE, checkpoint_folder, read_json
from pyvda.models.model import Model


def start_from(model: LearnedModel, start: str | Path, dynamics: Model) -> dict[str, Any]:
    """Load the weights of another model into `model`, and return how those were trained.

    Parameters
    ----------
    model : LearnedModel
    start : path or str
        Folder or shipped name of the other model.
    dynamics : Model
        The dynamical model of this training, for a prior that runs it.

    Returns
    -------
    dict
        SHA-256 of the other model, and its training's cost and configuration as far as known.

    Raises
    ------
    InputError
        The other model has another architecture, or cannot be read.
    """
    folder = checkpoint_folder(start)
    other = LearnedModel.load(folder, dynamics)
    if other.architecture != model.architecture:
        raise InputError(
            f"the weights of {start} do not fit the configuration: they belong to another "
            f"architecture; found {other.architecture}, expected {model.architecture}"
        )
    model.load_state_dict(other.state_dict())
    known = read_json(folder, TRAINING_FILE)
    kept = ("steps", "epochs", "distinct_windows_seen", "wall_seconds", "configuration",
            "started_from")  # fmt: skip
    return {"sha256": other.digest(), **{name: known[name] for name in kept if known.get(name)}}


def check_unchanged(model: LearnedModel, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Refuse to resume with other training windows, such as those of a file that has changed.

    Raises
    ------
    InputError
        Mean or deviation of the training states differ from those in the stored `tensors`, or the
        source of the user's own model from the stored one.
    """
    stored = read_description(out).pattern.own if (out / MODEL_FILE).is_file() else None
    own = model.pattern.own
    if stored is not None and own is not None and stored.source != own.source:
        raise InputError(
            f"the source of {own.given} is not the one that the training in {out} was started "
            "with; restore the file, or train into another folder"
        )
    for name in ("mean", "std"):
        before, now = tensors[f"model.{name}"].double(), getattr(model, name)
        if not torch.allclose(before, now, rtol=1e-6):
            raise InputError(
                f"the training windows have the {name} {_listed(now)}, but had {_listed(before)} "
                f"when the training in {out} was started; give the same files, or train into "
                "another folder"
            )


def _listed(values: torch.Tensor) -> str:
    return ", ".join(f"{value:.6g}" for value in values.reshape(-1).tolist())
