"""FSGD on the paper's settings, test sets of the paper's size: the README's table.

    python benchmarks/fsgd_table.py [--quick]

Writes benchmarks/results/fsgd_table.json. `--quick` runs a tenth of the windows.
"""

from __future__ import annotations

import sys
import time

import store

import pyvda
from pyvda import scores

# preset, windows, iterations at which R and cost are shown (the last is the length of the run)
ROWS = (
    ("lorenz63-blanked", 2000, (5_000, 50_000, 150_000)),
    ("lorenz63", 2000, (10_000, 50_000, 150_000)),
    ("lorenz96", 256, (5_000, 20_000, 50_000)),
)
TRUTH_SEED, OBSERVATION_SEED = 1, 2


def main() -> None:
    """Run the rows and print them."""
    divisor = 10 if "--quick" in sys.argv else 1
    engine = pyvda.get_engine()
    print(f"{engine.info}\n")
    print("| preset | windows | iterations | R-score [95 %] | cost (4) | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for preset, windows, points in ROWS:
        truth = pyvda.simulate(preset, windows // divisor, TRUTH_SEED)
        observed = pyvda.observe(truth, preset, OBSERVATION_SEED)
        analysis = observed
        for iterations in points:
            start = time.perf_counter()
            analysis = pyvda.assimilate(observed, model=truth.attrs["model"], iterations=iterations)
            seconds = time.perf_counter() - start
            found = pyvda.evaluate(analysis, truth)
            r_score = scores.summarise(found["r_score"])
            cost = scores.summarise(found["four_dvar_score"])
            rows.append(
                {
                    "preset": preset,
                    "windows": windows // divisor,
                    "iterations": iterations,
                    "r_score": r_score.mean,
                    "r_score_interval": [r_score.low, r_score.high],
                    "cost": cost.mean,
                    "seconds": round(seconds, 1),
                }
            )
            print(
                f"| {preset} | {windows // divisor} | {iterations} | {r_score} | "
                f"{cost.mean:.4g} | {seconds:.0f} |",
                flush=True,
            )
    if divisor == 1:
        print(f"\nwritten to {store.write('fsgd_table', {'rows': rows})}")


if __name__ == "__main__":
    main()
