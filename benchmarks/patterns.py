"""Learned and classical methods on observations unlike the trained ones, as a table and JSON.

    python benchmarks/patterns.py [--windows 256]

The regression, the learned prior and solver and the shooting solver were trained on one pattern,
those called "gaps" on windows that lack up to 60 % of its data; nothing is retrained here. The
truths of the test windows are observed with new noise.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.io.writing.atomic import replacing
from pyvda.learned import shipped
from pyvda.learned.patterns import PatternWarning
from pyvda.machine import machine
from pyvda.paper.held_out import HELD_OUT
from pyvda.scores import score_table

SEED = 7
OUT = Path(__file__).parents[1] / "docs" / "results" / "patterns.json"


def thinned(observed: xr.Dataset) -> xr.Dataset:
    """Return the observations with every second datum, at random, missing."""
    kept = np.random.default_rng(SEED).random(observed[names.OBSERVATION].shape) < 0.5
    return observed.assign({names.OBSERVATION: observed[names.OBSERVATION].where(kept)})


Made = Callable[[xr.Dataset, str], xr.Dataset]
PATTERNS: dict[str, Made] = {
    "as trained": lambda truth, preset: pyvda.observe(truth, preset, SEED),
    "half of the data missing": lambda truth, preset: thinned(pyvda.observe(truth, preset, SEED)),
    "error variance 0.5": lambda truth, preset: pyvda.observe(truth, preset, SEED, variance=0.5),
    "error variance 8": lambda truth, preset: pyvda.observe(truth, preset, SEED, variance=8.0),
}
LEARNED = ("direct", "genn-conv", "shooting", "direct-small-gaps", "genn-conv-gaps")
KNOWN_MODEL = {
    "lorenz63": {"method": "strong-constraint"},
    "lorenz63-blanked": {"method": "strong-constraint"},
    "lorenz96": {"method": "annealed", "restarts": 0, "hops": 0},
}


def main() -> None:
    """Assimilate, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=256)
    count = parser.parse_args().windows
    warnings.simplefilter("ignore", PatternWarning)
    rows = []
    for preset, classical in KNOWN_MODEL.items():
        # Windows of Lorenz-96 are large, and vary less.
        truth, _ = HELD_OUT[preset].make(count // 8 if preset == "lorenz96" else count)
        known = [name for name in LEARNED if f"{preset}-{name}" in shipped.names()]
        methods = {name: {"checkpoint": f"{preset}-{name}"} for name in known}
        methods[classical["method"]] = {"model": truth.attrs["model"], **classical}
        for pattern, make in PATTERNS.items():
            observed = make(truth, preset)
            for name, settings in methods.items():
                analysis = pyvda.assimilate(observed, **settings)
                scores = score_table(pyvda.evaluate(analysis, truth))["scores"]["r_score"]
                doubtful = int((analysis["status"] == names.Status.DOUBTFUL).sum())
                labels = {"preset": preset, "pattern": pattern, "method": name}
                rows.append({**labels, **scores, "doubtful": doubtful})
                print(f"{preset:18s} {pattern:26s} {name:18s} R {scores['mean']:.3f}", flush=True)
    with replacing(OUT) as temporary:
        content = {"windows": count, "seed": SEED, "machine": machine(), "rows": rows}
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
