"""Repeat the training of a row's model.

If its weights come from several runs, each starting from the weights of the previous one, all of
them are repeated, each in a folder of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvda
from pyvda.learned import shipped
from pyvda.learned.description import MODEL_FILE, read_description
from pyvda.paper.held_out import check_not_trained_on
from pyvda.paper.rows import Row
from pyvda.training.configuration import Configuration, read_configuration
from pyvda.validation_errors import validated

EXPERIMENTS = Path(pyvda.__file__).parents[1] / "experiments"


def retrained(
    setting: str,
    row: Row,
    name: str | None,
    folder: Path,
    engine: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Path | None:
    """Return the folder of a row's model after training it, or completing its training.

    Parameters
    ----------
    setting : str
    row : Row
    name : str, optional
        Name of the shipped model whose configurations are used; without it, that of `experiments/`
        in a working copy is used.
    folder : path
        Folder of all trainings; an interrupted one is resumed.
    engine : str, optional
    say : callable(str)
        Called with a line for each epoch.

    Returns
    -------
    path or None
        None if there is no configuration for this row.

    Raises
    ------
    InputError
        A configuration uses the seed of a test set.
    TrainingError
        The training failed.
    """
    stages = _stages(setting, row, name)
    for one in stages:
        check_not_trained_on(one.configuration.model_dump(mode="json"))
    folder.mkdir(parents=True, exist_ok=True)
    start: Path | None = None
    for one in stages:
        start = _trained(one, folder / one.name, start, engine, say)
        if start is None:
            return None
    return start


def runs(training: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the summaries of all runs that a model's weights come from, in order.

    `training` is the content of `training.json`, which contains that of the run whose weights it
    started from, recursively.
    """
    earlier = training.get("started_from")
    return [*(runs(earlier) if earlier else []), training]


@dataclass(frozen=True)
class _Stage:
    """One of the runs that a model's weights come from.

    Attributes
    ----------
    name : str
        Name of its folder.
    configuration : Configuration
    epochs : int
        Completed epochs, fewer than configured if the run was stopped.
    """

    name: str
    configuration: Configuration
    epochs: int


class _Enough(Exception):
    """Ends a training where the original one was stopped."""


def _trained(
    stage: _Stage, out: Path, start: Path | None, engine: str | None, say: Callable[[str], None]
) -> Path | None:
    """Train or resume a stage from the weights in `start`; return None if it gave no weights."""
    from pyvda.training.train import train

    selected = stage.configuration.select()

    def report(epoch: dict[str, Any]) -> None:
        score = epoch.get(selected)
        say(
            f"training {out.name}: epoch {epoch['epoch'] + 1} of {stage.epochs}, "
            f"{selected} {score if score is None else f'{score:.4g}'}"
        )
        if epoch["epoch"] + 1 >= stage.epochs:
            raise _Enough

    # A completed stage is not resumed: `report` would be called only after one more epoch.
    if shipped.read_json(out, shipped.TRAINING_FILE).get("epochs", 0) < stage.epochs:
        with suppress(_Enough):
            train(stage.configuration, out, resume=True, start=start, engine=engine, report=report)
    return out if (out / MODEL_FILE).is_file() else None


def _stages(setting: str, row: Row, name: str | None) -> list[_Stage]:
    """Return the runs that produce a row's model, empty if there is no configuration for it."""
    if name is not None:
        stored = runs(shipped.read_json(shipped.FOLDER / name, shipped.TRAINING_FILE))
        if all("configuration" in one for one in stored):
            return [
                _stage(one, _folder_name(one, f"{name}-{n}") if n < len(stored) else name)
                for n, one in enumerate(stored, 1)
            ]
    configuration = _experiment(setting, row)
    if configuration is None:
        return []
    out = name or f"{configuration.data.name()}-{row.weights}"
    return [_Stage(out, configuration, configuration.training.epochs)]


def _stage(training: dict[str, Any], name: str) -> _Stage:
    configuration: Configuration = validated(Configuration, training["configuration"], name)
    epochs = configuration.training.epochs
    return _Stage(name, configuration, min(epochs, training.get("epochs", epochs)))


def _folder_name(training: dict[str, Any], otherwise: str) -> str:
    """Return the shipped name of an earlier run's model, or `otherwise` if it is not shipped."""
    digests = {read_description(shipped.FOLDER / name).digest(): name for name in shipped.names()}
    return digests.get(training.get("sha256", ""), otherwise)


def _experiment(setting: str, row: Row) -> Configuration | None:
    """Return the configuration of a row in `experiments/` of a working copy, if any."""
    weights = row.weights.removesuffix("-unsupervised").replace("-", "_")
    starts = (setting.replace("-", "_"), setting.partition("-")[0])
    stems = [f"{start}_{weights}{end}" for start in starts for end in ("", f"_{row.scheme}")]
    paths = (EXPERIMENTS / f"{stem}.yaml" for stem in stems)
    return next((read_configuration(path) for path in paths if path.is_file()), None)
