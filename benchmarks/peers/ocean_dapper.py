"""An output of DAPPER's quasi-geostrophic ocean, timed; benchmarks/qg_cost.py runs it.

    .venv-peers/bin/python benchmarks/peers/ocean_dapper.py STATE REPEATS

DAPPER 1.7.1 with its own Fortran model (build_ocean.sh), on one core, from a state (129, 129) in a
NumPy file. Prints a line of JSON: the median of the milliseconds of processor time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version

os.environ["MPLBACKEND"] = "agg"

import numpy as np
from letkf_dapper import ocean


def main() -> None:
    state, repeats = np.load(sys.argv[1]).ravel(), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        model = ocean(state[None], folder).model_config("peers", {}, mp=False)
        taken = []
        for _ in range(repeats + 1):
            began = time.process_time()
            later = model.step_1(state, 0.0, model.prms["dtout"])
            taken.append(1e3 * (time.process_time() - began))
    if not np.isfinite(later).all():
        raise SystemExit("the state a step later is not finite")
    print(json.dumps({"ms": float(np.median(taken[1:])), "version": f"dapper {version('dapper')}"}))


if __name__ == "__main__":
    main()
