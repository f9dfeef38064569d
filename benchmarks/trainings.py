"""Trainings that differ in a few settings, scored on the whole test set, for benchmarks to compare.

Each is stored in a separate folder, where it can be resumed, with its result beside the weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyvda.io.writing.atomic import replacing
from pyvda.learned.shipped import TRAINING_FILE, read_json
from pyvda.paper import paired_differences
from pyvda.paper.held_out import HELD_OUT
from pyvda.paper.scoring import assimilated, scored
from pyvda.scores import score_table
from pyvda.training.configuration import Configuration, read_configuration
from pyvda.training.train import train
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[1]
RESULT = "result.json"
_KEPT = ("best_epoch", "epochs", "steps", "distinct_windows_seen", "wall_seconds", "parameters",
         "hardware", "versions", "engine", "configuration")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes
    ----------
    name : str
        Name of its folder.
    experiment : str
        The file of `experiments/` that it modifies.
    labels : mapping
        Labels of its result in the JSON.
    changes : mapping of section to settings
    """

    name: str
    experiment: str
    labels: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def configuration(self) -> Configuration:
        """Return the experiment with the changes."""
        path = ROOT / "experiments" / f"{self.experiment}.yaml"
        settings = read_configuration(path).model_dump(mode="json")
        for section, changed in self.changes.items():
            settings[section] |= changed
        return validated(Configuration, settings, self.name)


def run(case: Case, folder: Path) -> None:
    """Train and score a case, and keep the result in its folder."""

    def report(epoch: dict[str, Any]) -> None:
        print(f"{case.name}: epoch {epoch['epoch']}, R {epoch.get('r_score')}", flush=True)

    configuration = case.configuration()
    if train(configuration, folder, resume=True, report=report) is None:
        raise SystemExit(f"{case.name}: no epoch had a finite score")
    held_out = HELD_OUT[configuration.data.name()]
    truth, observed = held_out.make(None)
    analysis, _ = assimilated(observed, checkpoint=folder, device="cpu")
    training = read_json(folder, TRAINING_FILE)
    by_window = scored(analysis, truth, folder)
    result = {
        **case.labels,
        "test": {
            "windows": truth.sizes["window"],
            "truth_seed": held_out.truth_seed,
            "observation_seed": held_out.observation_seed,
        },
        "scores": score_table(by_window)["scores"],
        paired_differences.KEY: paired_differences.in_a_line(by_window["r_score"]),
        **{name: training[name] for name in _KEPT},
    }
    with replacing(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def known(case: Case, folder: Path) -> dict[str, Any] | None:
    """Return the result stored in a folder, None if there is none yet.

    A result with other settings ends the benchmark, so that the user decides what to do with it.
    """
    if not (folder / RESULT).exists():
        return None
    result: dict[str, Any] = json.loads((folder / RESULT).read_text("utf-8"))
    if validated(Configuration, result["configuration"], str(folder)) != case.configuration():
        raise SystemExit(f"{folder} holds a training with other settings; remove it, or name DIR")
    return result


def main(description: str, cases: Iterable[Case], out: Path) -> None:
    """Run the missing trainings, print the results, and write them once all are complete."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "benchmarks", metavar="DIR")
    parser.add_argument("--only", default="", help="train the cases whose name has this")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    cases = tuple(cases)
    rows = []
    for case in cases:
        folder = arguments.runs / case.name
        row = known(case, folder)
        if row is None and arguments.only in case.name:
            run(case, folder)
            row = known(case, folder)
        if row is None:
            continue
        rows.append(row)
        r = row["scores"]["r_score"]
        print(
            f"{case.name:40s} {row['distinct_windows_seen']:7d} windows "
            f"{row['wall_seconds'] / 60:5.1f} min  R {r['mean']:.3f} [{r['low']:.3f}, "
            f"{r['high']:.3f}]"
        )
    if len(rows) < len(cases):
        print(f"{len(rows)} of {len(cases)} trainings are complete: {out} is not changed")
        return
    with replacing(out) as temporary:
        temporary.write_text(json.dumps({"rows": rows}, indent=1) + "\n", "utf-8")
