"""The trained models that come with pyvda, by name.

    pyvda.load("lorenz63-genn-conv")
    pyvda assimilate obs.nc --checkpoint lorenz63-genn-conv -o analysis.nc

Each is a folder of `pyvda/learned/weights/`, written by `LearnedModel.save`, with two more files:
`training.json` (configuration, cost and learning curve of its training) and `scores.json` (its
scores on the test set). `scripts/ship_weights.py` adds them.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyvda.errors import InputError
from pyvda.learned.description import MODEL_FILE
from pyvda.models.model import Model
from pyvda.models.registry import resolve

if TYPE_CHECKING:
    from pyvda.learned.model import LearnedModel

FOLDER = Path(__file__).parent / "weights"
TRAINING_FILE = "training.json"
SCORES_FILE = "scores.json"


def names() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{MODEL_FILE}"))


def _of_fields() -> list[str]:
    """Return the names of the shipped networks for fields."""
    from pyvda.fields.learned import shipped

    return shipped.names()


def checkpoint_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a learned model: a path that exists wins over a shipped name.

    Raises
    ------
    InputError
        When it is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        raise InputError(
            f"{path} is a file, and a learned model is a folder; give the folder made by "
            "`pyvda train`, or one of the names that `pyvda info` lists (a descent keeps its state "
            "in --state FILE)"
        )
    if path.exists():
        return path
    known = names()
    if str(name_or_path) in known:
        return FOLDER / str(name_or_path)
    if str(name_or_path) in _of_fields():
        raise InputError(
            f"{name_or_path} is a network for fields, which needs no dynamical model and is not "
            f"loaded by itself; give it to assimilate, as checkpoint={str(name_or_path)!r} "
            f"(--checkpoint {name_or_path})"
        )
    near = difflib.get_close_matches(str(name_or_path), known, n=3, cutoff=0.6) or known
    among = f"one of the shipped models {', '.join(near)}" if near else "train one first"
    raise InputError(
        f"there is no learned model {str(name_or_path)!r}; give a folder made by `pyvda train`, "
        f"or {among}"
    )


def load(name_or_folder: str | Path, model: str | Model | None = None) -> LearnedModel:
    """Return a learned model, shipped with pyvda or made by `pyvda train`.

    Parameters
    ----------
    name_or_folder : str or path
        A folder that exists, or one of the names that `pyvda info` lists.
    model : str or Model, optional
        The dynamical model, where the prior runs one of the user's own: the checkpoint holds no
        code of it.

    Raises
    ------
    InputError
        There is no such model, one of its files is missing or damaged, or it needs a dynamical
        model.

    Examples
    --------
    >>> import pyvda
    >>> model = pyvda.load("lorenz63-genn-conv")  # doctest: +SKIP
    """
    from pyvda.learned.model import LearnedModel

    named = None if model is None else resolve(model)
    return LearnedModel.load(checkpoint_folder(name_or_folder), named)


def read_json(folder: Path, file: str) -> dict[str, Any]:
    """Return the content of a JSON file beside the weights, empty if there is none.

    Parameters
    ----------
    folder : path
    file : str
        `TRAINING_FILE` or `SCORES_FILE`.

    Raises
    ------
    InputError
        It is damaged.
    """
    path = folder / file
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); copy the folder again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} does not hold the table that `pyvda train` writes; copy it again")
    return found
