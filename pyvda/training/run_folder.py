"""The folder of a training run: whether it may be used, and what it starts with."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import yaml

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.learned.architecture import Section
from pyvda.learned.description import MODEL_FILE
from pyvda.training import state
from pyvda.training.state import Progress

CONFIGURATION_FILE = "configuration.yaml"


def starting_point(
    out: Path, configuration: Section, resume: bool
) -> tuple[Progress, dict[str, torch.Tensor] | None]:
    """Return progress and tensors of the stored state, or those of a new training.

    Parameters
    ----------
    out : path
    configuration : Section
    resume : bool
        Whether a stored state is to be continued; without one, the training is new.

    Returns
    -------
    Progress
    dict of tensors, or None
        The stored tensors, None for a new training.

    Raises
    ------
    InputError
        The folder holds a training and `resume` is not given, or its state cannot be continued.
    """
    stored = out / state.RESUME_FILE
    if resume and stored.is_file():
        return state.read(stored, configuration.model_dump(mode="json"), type(configuration))
    # The other processes of a distributed run find the folder that the first one has just made.
    if _is_first_process() and not resume and (stored.exists() or (out / MODEL_FILE).exists()):
        raise InputError(
            f"{out} holds a training already; add --resume to go on with it, or name another folder"
        )
    return Progress(), None


def make_folder(out: Path, configuration: Section) -> None:
    """Create the folder of a run, with its resolved configuration."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror})") from error
    if _is_first_process():
        resolved = configuration.model_dump(mode="json")
        with replacing(out / CONFIGURATION_FILE) as temporary:
            temporary.write_text(yaml.safe_dump(resolved, sort_keys=False), "utf-8")


def _is_first_process() -> bool:
    """Return whether this is the first, or only, process of a distributed run."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0
