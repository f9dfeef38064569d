"""The state from which a killed training resumes to the same weights, in one file without code.

`resume.safetensors` holds the tensors (weights, their average, the optimiser's moments, the state
of the random generators) and, as JSON in its header, the numbers. It is replaced at the end of
every epoch, completely or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.learned.architecture import Section
from pyvda.training.configuration import Configuration
from pyvda.validation_errors import validated

RESUME_FILE = "resume.safetensors"
_KEY = "pyvda"


@dataclass
class Progress:
    """The numbers of a training at the end of an epoch.

    Attributes
    ----------
    epoch, step : int
        Completed epochs and optimiser steps.
    best_score : float, optional
        Lowest value so far of the score that selects the weights; None before the first.
    best_epoch : int
        Epoch of the best weights, from 0; -1 before the first.
    best_scores : dict
        Validation scores of that epoch, as returned by `pyvda.scores.score_table`.
    seconds : float
        Wall time of training, over all parts of an interrupted run.
    finished : bool
    curve : list of dict
        Scores of every epoch.
    scaler : dict
        State of the gradient scaler in mixed precision.
    started_from : dict
        The training whose weights this one started from, if any.
    """

    epoch: int = 0
    step: int = 0
    best_score: float | None = None
    best_epoch: int = -1
    best_scores: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    curve: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    started_from: dict[str, Any] = field(default_factory=dict)


def save(
    path: Path,
    progress: Progress,
    configuration: dict[str, Any],
    model: nn.Module,
    average: nn.Module | None,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write the state, completely or not at all."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    text = json.dumps({"configuration": configuration, "progress": asdict(progress)})
    with replacing(path) as temporary:
        save_file(copies, temporary, metadata={_KEY: text})


def read(
    path: Path, configuration: dict[str, Any], kind: type[Section] = Configuration
) -> tuple[Progress, dict[str, Tensor]]:
    """Read a state that `save` wrote for this configuration, of this kind.

    Raises
    ------
    InputError
        The file is damaged or belongs to another configuration.
    """
    try:
        with safe_open(path, "pt") as file:
            stored = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        numbers = stored["progress"]
        progress = Progress(**{f.name: numbers[f.name] for f in fields(Progress)})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); remove it to start the training again"
        ) from error
    name = _difference(_resolved(stored["configuration"], kind), configuration)
    if name is not None:
        raise InputError(
            f"{path} belongs to a training with another {name}; resume with its configuration, or "
            "train into another folder"
        )
    return progress, tensors


def _resolved(stored: dict[str, Any], kind: type[Section]) -> dict[str, Any]:
    """Return a stored configuration completed by the defaults of options added since."""
    try:
        return validated(kind, stored, "the state").model_dump(mode="json")
    except InputError:
        return stored


def restore(
    tensors: dict[str, Tensor],
    model: nn.Module,
    average: nn.Module | None,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Load the tensors of a state into model, average, optimiser and random generators."""
    model.load_state_dict(_under("model.", tensors))
    if average is not None:
        average.load_state_dict(_under("average.", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _difference(stored: Any, given: Any, name: str = "") -> str | None:
    """Return the name of the first key that differs, None if all are equal."""
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in sorted(stored.keys() | given.keys()):
            found = _difference(stored.get(key), given.get(key), f"{name}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    return None if stored == given else name
