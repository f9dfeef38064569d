"""Extract the regression that a shooting model starts from, as a separate model.

    python scripts/extract_regression.py RUN_FOLDER OUT

The stages of a shooting solver are trained side by side, each by its own loss, with no gradient
between them: its regression is the same as that of `kind: regression` after as many steps on the
same windows. OUT becomes a folder like those of `pyvda train`; its training.json names the origin.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, ShootingSection
from pyvda.learned.model import LearnedModel
from pyvda.learned.shipped import TRAINING_FILE


def main() -> int:
    """Write the model and its training.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a shooting model")
    parser.add_argument("out", type=Path, help="folder to create")
    arguments = parser.parse_args()
    try:
        extract_regression(arguments.run, arguments.out)
    except InputError as error:
        print(f"extract_regression: {error}", file=sys.stderr)
        return 2
    return 0


def extract_regression(run: Path, out: Path) -> LearnedModel:
    """Write the regression of the shooting model in `run` to `out`, and return it."""
    whole = LearnedModel.load(run)
    section = whole.architecture.solver
    if not isinstance(section, ShootingSection):
        raise InputError(f"{run} holds a solver of kind {section.kind}, expected shooting")
    architecture = Architecture(
        prior=whole.architecture.prior,
        cost=whole.architecture.cost,
        solver=section.start,
        mirrored=whole.architecture.mirrored,
    )
    model = LearnedModel(architecture, whole.pattern, whole.mean, whole.std, 1)
    model.solver.load_state_dict(whole.solver.start.state_dict())
    model.save(out)
    training = json.loads((run / TRAINING_FILE).read_text("utf-8"))
    configuration = {**training["configuration"], "solver": section.start.model_dump(mode="json")}
    configuration["training"] = {**configuration["training"], "iterations": {0: 1}}
    kept = ("steps", "distinct_windows_seen", "wall_seconds", "hardware", "versions", "engine")
    made = {
        "trained_as": "the first stage of a shooting solver, by its own loss, within its time",
        **{key: training[key] for key in kept},
        "parameters": {
            "prior": 0,
            "solver_and_cost": sum(p.numel() for p in model.solver.parameters()),
        },
        "configuration": configuration,
        "curve": [],
    }
    (out / TRAINING_FILE).write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return model


if __name__ == "__main__":
    sys.exit(main())
