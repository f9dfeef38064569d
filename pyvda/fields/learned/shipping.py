"""Add a network for fields to the package, with the score that a test computes again.

weights/NAME/field.json, weights-<hash>.safetensors   the network, weights as float16
weights/NAME/training.json                            as `pyvda train` wrote it
weights/NAME/scores.json                              a twin experiment, and the RMSE on it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pyvda
from pyvda.errors import InputError
from pyvda.fields.learned import shipped
from pyvda.fields.learned.description import is_of_fields, read_description
from pyvda.io.writing.atomic import write_json
from pyvda.learned.shipped import SCORES_FILE, TRAINING_FILE, read_json


class Twin(NamedTuple):
    """A twin experiment with tracks: options of `pyvda simulate` and `pyvda observe`.

    Attributes
    ----------
    model, preset : str
    parameters : dict
    windows, steps, truth_seed, observation_seed : int
    """

    model: str
    preset: str
    parameters: dict[str, Any]
    windows: int
    steps: int
    truth_seed: int
    observation_seed: int


def ship(run: Path, name: str, twin: Twin, folder: Path | None = None) -> dict[str, Any]:
    """Copy a network with its training.json, score it, and store the score beside it.

    Parameters
    ----------
    run : path
        Folder written by `pyvda train`.
    name : str
    twin : Twin
        Its seeds must be new to the training.
    folder : path, optional
        Folder of all shipped networks for fields; default: that of the package.

    Returns
    -------
    dict
        The content of scores.json.

    Raises
    ------
    InputError
        The run has no network for fields, or was trained on a twin experiment with the same seed.
    """
    from pyvda.fields.learned.model import FieldModel

    if not is_of_fields(run):
        raise InputError(
            f"{run} holds no network for fields; give a folder made by `pyvda train` from a "
            "configuration with the section field"
        )
    _check_not_trained_on(read_description(run).trained, twin)
    to = (folder or shipped.FOLDER) / name
    FieldModel.load(run).save(to, half=True)
    write_json(to / TRAINING_FILE, read_json(Path(run), TRAINING_FILE))
    found = {
        "sha256": read_description(to).sha256, "twin": twin._asdict(), **scored(to, twin),
        "pyvda": pyvda.__version__,
    }  # fmt: skip
    write_json(to / SCORES_FILE, found)
    return found


def _check_not_trained_on(trained: dict[str, Any], twin: Twin) -> None:
    """Refuse a twin experiment with a seed of the training."""
    observed = range(twin.observation_seed, twin.observation_seed + twin.windows)
    for name, seeds in (("truth_seed", (twin.truth_seed,)), ("observation_seed", observed)):
        if trained.get(name) in seeds:
            option = name.replace("_", "-")
            raise InputError(
                f"the network was trained with the {name} {trained[name]}, which the twin "
                f"experiment has too; give it another one (--{option})"
            )


def scored(folder: Path, twin: Twin) -> dict[str, Any]:
    """Return the RMSE over all points, times and windows of a twin experiment, and by window."""
    truth = pyvda.simulate(
        twin.model, twin.windows, twin.truth_seed, steps=twin.steps, parameters=twin.parameters
    )
    squares = []
    (name,) = read_description(folder).variables
    for window in range(twin.windows):
        one = truth.isel(window=[window])
        tracks = pyvda.observe(one, twin.preset, twin.observation_seed + window)
        found = pyvda.assimilate(
            tracks, variable=name, grid=one, checkpoint=folder, device="cpu"
        )  # fmt: skip
        squares.append(float(((found[name] - one[name].isel(window=0)) ** 2).mean()))
    return {
        "rmse": float(np.sqrt(np.mean(squares))),
        "rmse_by_window": np.sqrt(squares).tolist(),
    }
