"""Put a trained model into the package.

    python scripts/ship_weights.py RUN_FOLDER NAME

copies model and weights to pyvda/learned/weights/NAME with the record of the training (curve
trimmed), scores it on the test set and on the subset that tests/learned/test_shipped.py repeats,
and writes scores.json. A name is the preset followed by the trained model, such as
lorenz63-blanked-genn-conv, lorenz96-rk4-lstm-unsupervised or lorenz63-direct. Rows of the tables
find their weights by it; a name without a row adds a row.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pyvda.errors import InputError
from pyvda.paper.shipping import ship
from pyvda.scores import Score


def main() -> int:
    """Ship the model, and print its scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder made by `pyvda train`")
    parser.add_argument("name", help="preset and what was trained, such as lorenz63-direct")
    arguments = parser.parse_args()
    try:
        scores = ship(arguments.run, arguments.name)
    except InputError as error:
        print(f"ship_weights: {error}", file=sys.stderr)
        return 2
    for name, values in scores["full"]["scores"].items():
        print(f"{name:22s} {Score(**values)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
