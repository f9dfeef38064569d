"""Put a network for fields into the package.

    python scripts/ship_field_weights.py runs/qg-altimetry qg-altimetry --model qg \
        --parameter n=65 --preset qg-altimetry

copies its weights, as float16, to pyvda/fields/learned/weights/NAME with the record of the
training, scores it on a twin experiment, and writes scores.json; a test,
tests/fields/learned/test_shipped.py, computes the score again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pyvda.errors import InputError
from pyvda.fields.learned.shipping import Twin, ship


def main() -> int:
    """Ship the network, and print its score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder made by `pyvda train`")
    parser.add_argument("name", help="by which it is used as a checkpoint")
    parser.add_argument("--model", required=True, help="of the twin experiment")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=INTEGER")
    parser.add_argument("--preset", required=True, help="of the tracks")
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--steps", type=int, default=31)
    parser.add_argument("--truth-seed", type=int, default=1)
    parser.add_argument("--observation-seed", type=int, default=3)
    arguments = parser.parse_args()
    pairs = (pair.split("=") for pair in arguments.parameter)
    twin = Twin(
        arguments.model, arguments.preset, {name: int(value) for name, value in pairs},
        arguments.windows, arguments.steps, arguments.truth_seed, arguments.observation_seed,
    )  # fmt: skip
    try:
        found = ship(arguments.run, arguments.name, twin)
    except InputError as error:
        print(f"ship_field_weights: {error}", file=sys.stderr)
        return 2
    print(f"RMSE {found['rmse']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
