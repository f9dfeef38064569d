"""The effect of each option of a training: one is omitted at a time.

    python benchmarks/levers.py [--runs DIR] [--only TEXT]

The model is the GENN with aG-Conv of `lorenz63-blanked`, trained for 30 epochs of 9984 windows (the
shipped weights for 100). Trainings are stored in DIR and resumed; with --only, those whose name
contains TEXT. When all are complete, docs/results/levers.json is written.
"""

from __future__ import annotations

import re
from typing import Any

from regimes import CASES as REGIMES
from trainings import ROOT, Case, main

BASE = next(case for case in REGIMES if case.name == "lorenz63-blanked-genn-conv-9984")
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "no mirrored windows": {"data": {"symmetries": False}},
    "the same noise in every epoch": {"data": {"fresh_noise": False}},
    "no average of the weights": {"training": {"averaging": 0.0}},
    "ten iterations from the start": {"training": {"iterations": {0: 10}}},
    # The paper's architecture; an epoch takes longer, so there are fewer.
    "the paper's GENN and solver on single steps, in as many minutes": {
        "prior": {"kind": "two-scale-genn", "every": 1, "features": None},
        "solver": {"every": 1, "hidden": None},
        "training": {"epochs": 12, "iterations": {0: 5, 2: 7, 4: 10}},
    },
}


def changed(what: str, changes: dict[str, dict[str, Any]]) -> Case:
    """Return the base case with these changes."""
    sections = {name: dict(settings) for name, settings in BASE.changes.items()}
    for section, settings in changes.items():
        sections[section] = sections.get(section, {}) | settings
    name = "lever-" + re.sub(r"[^a-z]+", "-", what.lower())
    return Case(name, BASE.experiment, {"lever": what}, sections)


CASES = [BASE, *(changed(what, changes) for what, changes in CHANGES.items())]

if __name__ == "__main__":
    main(__doc__, CASES, ROOT / "docs" / "results" / "levers.json")
