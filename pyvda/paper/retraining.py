"""Train the model of a row again, as its weights were trained.

Weights that come from several runs, each from the weights of the one before, are made by as many,
in a folder each.
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
    """Return the folder of a row's model, trained or trained to its end there.

    Parameters
    ----------
    setting : str
    row : Row
    name : str, optional
        Of the shipped model, whose own configurations are then taken; else that of `experiments/`
        in a working copy.
    folder : path
        Of all trainings; an interrupted one is resumed.
    engine : str, optional
    say : callable(str)
        Told of each epoch.

    Returns
    -------
    path or None
        None when nothing says how to train this row.

    Raises
    ------
    InputError
        When a configuration uses a test set's seed.
    TrainingError
        When the training fails.
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


def runs(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of all runs that a model's weights come from, the first one first.

    `record` is the content of `training.json`, which holds that of the training whose weights it
    started from, and so on.
    """
    earlier = record.get("started_from")
    return [*(runs(earlier) if earlier else []), record]


@dataclass(frozen=True)
class _Stage:
    """A run of those that a model's weights come from.

    Attributes
    ----------
    name : str
        Of its folder.
    configuration : Configuration
    epochs : int
        That were made: a run that was stopped made fewer than its configuration asks for.
    """

    name: str
    configuration: Configuration
    epochs: int


class _Enough(Exception):
    """Ends a training where the recorded one was stopped."""


def _trained(
    stage: _Stage, out: Path, start: Path | None, engine: str | None, say: Callable[[str], None]
) -> Path | None:
    """Train a stage from the weights in `start`, or resume it; None when it gave no weights."""
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

    # What was trained far enough is not trained on: the report comes after a further epoch.
    if shipped.read_json(out, shipped.TRAINING_FILE).get("epochs", 0) < stage.epochs:
        with suppress(_Enough):
            train(stage.configuration, out, resume=True, start=start, engine=engine, report=report)
    return out if (out / MODEL_FILE).is_file() else None


def _stages(setting: str, row: Row, name: str | None) -> list[_Stage]:
    """Return the runs that make a row's model, none where nothing says how to train it."""
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


def _stage(record: dict[str, Any], name: str) -> _Stage:
    configuration: Configuration = validated(Configuration, record["configuration"], name)
    epochs = configuration.training.epochs
    return _Stage(name, configuration, min(epochs, record.get("epochs", epochs)))


def _folder_name(record: dict[str, Any], otherwise: str) -> str:
    """Return the name of the shipped model that an earlier run made, where it is shipped too."""
    digests = {read_description(shipped.FOLDER / name).digest(): name for name in shipped.names()}
    return digests.get(record.get("sha256", ""), otherwise)


def _experiment(setting: str, row: Row) -> Configuration | None:
    """Return what `experiments/` of a working copy has for a row."""
    weights = row.weights.removesuffix("-unsupervised").replace("-", "_")
    starts = (setting.replace("-", "_"), setting.partition("-")[0])
    stems = [f"{start}_{weights}{end}" for start in starts for end in ("", f"_{row.scheme}")]
    paths = (EXPERIMENTS / f"{stem}.yaml" for stem in stems)
    return next((read_configuration(path) for path in paths if path.is_file()), None)
