"""Train the model of a row again, as its weights were trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvda
from pyvda import shipped
from pyvda.configuration import Configuration, read_configuration
from pyvda.description import MODEL_FILE
from pyvda.refusals import validated
from pyvda.reproduction.held_out import check_not_trained_on
from pyvda.reproduction.rows import Row

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
        Of the shipped model, whose own configuration is then taken; else that of `experiments/` in
        a working copy.
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
        When the configuration uses a test set's seed.
    TrainingError
        When the training fails.
    """
    configuration = _configuration(setting, row, name)
    if configuration is None:
        return None
    check_not_trained_on(configuration.model_dump(mode="json"))
    from pyvda.train import train

    out = folder / (name or f"{configuration.data.name()}-{row.weights}")
    out.parent.mkdir(parents=True, exist_ok=True)

    def report(epoch: dict[str, Any]) -> None:
        score = epoch.get(configuration.select())
        say(
            f"training {out.name}: epoch {epoch['epoch'] + 1} of {configuration.training.epochs}, "
            f"{configuration.select()} {score if score is None else f'{score:.4g}'}"
        )

    train(configuration, out, resume=True, engine=engine, report=report)
    return out if (out / MODEL_FILE).is_file() else None


def _configuration(setting: str, row: Row, name: str | None) -> Configuration | None:
    if name is not None:
        stored = shipped.record(shipped.FOLDER / name, shipped.TRAINING_FILE)
        if "configuration" in stored:
            found: Any = validated(Configuration, stored["configuration"], name)
            return found if isinstance(found, Configuration) else None
    weights = row.weights.removesuffix("-unsupervised").replace("-", "_")
    starts = (setting.replace("-", "_"), setting.partition("-")[0])
    stems = [f"{start}_{weights}{end}" for start in starts for end in ("", f"_{row.scheme}")]
    paths = (EXPERIMENTS / f"{stem}.yaml" for stem in stems)
    return next((read_configuration(path) for path in paths if path.is_file()), None)
