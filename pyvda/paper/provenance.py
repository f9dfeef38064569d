"""Facts about the weights of a learned row in a table: data, size and cost of their training.

All of them come from the files beside the weights, so that a table can be corrected without scoring
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyvda.learned import shipped
from pyvda.learned.description import read_description
from pyvda.paper.retraining import runs
from pyvda.paper.scoring import own_prior
from pyvda.training.data_settings import Data
from pyvda.validation_errors import validated

_OF_TRAINING = (
    "distinct_windows_seen", "epochs", "steps", "wall_seconds", "hardware", "trained_as", "note",
)  # fmt: skip


def of_weights(checkpoint: Path, name: str) -> dict[str, Any]:
    """Return the facts about the learned model `name` in the folder `checkpoint` for a table.

    `missing` is the largest share of the data that training left out; `solver`, the kind of Γ;
    `mirrored`, whether an analysis is the mean of two mirrored ones; `training`, the cost of all
    runs that the weights come from.
    """
    description = read_description(checkpoint)
    training = with_earlier(shipped.read_json(checkpoint, shipped.TRAINING_FILE))
    return {
        "checkpoint": name,
        "sha256": description.digest(),
        "trained_for": description.pattern.name,
        "missing": description.pattern.missing,
        "solver": description.architecture.solver.kind,
        "mirrored": description.architecture.mirrored,
        "parameters": training.get("parameters", {}),
        "training": {one: training[one] for one in _OF_TRAINING if one in training},
    }


def refreshed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of a table with the current facts about its shipped weights.

    Entries with other weights or none are returned unchanged. Scores are not computed again; those
    under the method's own Φ are dropped if it has none.
    """
    name = entry.get("checkpoint")
    if name not in shipped.names():
        return entry
    folder = shipped.FOLDER / name
    if read_description(folder).digest() != entry.get("sha256"):
        return entry
    found = entry | of_weights(folder, name)
    if own_prior(folder) is None:
        without = {"four_dvar_score", "ode_score"}
        scores = {one: value for one, value in entry["scores"].items() if one not in without}
        found |= {"scores": scores}
    return found


def with_earlier(training: dict[str, Any]) -> dict[str, Any]:
    """Return the content of training.json with the cost of all runs that its weights come from.

    Distinct windows are counted once: runs with the same seed saw the same true windows, even if
    they observed them at other steps.
    """
    all_runs = runs(training)
    if len(all_runs) == 1:
        return training
    costs = {name: sum(one[name] for one in all_runs) for name in ("epochs", "steps")}
    costs["wall_seconds"] = round(sum(one["wall_seconds"] for one in all_runs), 1)
    seen: dict[Any, int] = {}
    for one in all_runs:
        truths = _truths(one["configuration"])
        seen[truths] = max(seen.get(truths, 0), one["distinct_windows_seen"])
    return training | costs | {"distinct_windows_seen": sum(seen.values())}


def _truths(configuration: dict[str, Any]) -> tuple[Any, ...]:
    """Return everything that determines the true windows of a training."""
    data = validated(Data, configuration["data"], "the record of a training")
    setting = data.setting()
    start = (setting.spinup, setting.start_mean, setting.start_stdev)
    return (setting.model, setting.steps, *start, data.seed)
