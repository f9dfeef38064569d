"""FSGD with a model in a user's file compared with the built-in one: part of `make bench`.

The files in benchmarks/own_models hold Lorenz-63 and Lorenz-96 as a user would write them, without
annotations for the compiler. Both descend the same windows in turns; times are the best of several.
Writes benchmarks/results/own_models.json; the ratio should be at most 1.1.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import store

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.models.model import Model
from pyvda.models.registry import get_model

FILES = Path(__file__).with_name("own_models")

# model, windows, steps, iterations
CASES = (("lorenz63", 2000, 200, 500), ("lorenz96", 256, 200, 100))


def problem(model: Model, windows: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states, observations and weights (windows, steps, D), every eighth step observed."""
    random = np.random.default_rng(0)
    x = 3 * random.standard_normal((windows, steps, model.state_size))
    mask = np.zeros_like(x)
    mask[:, ::8] = 1.0
    return x, mask * (x + random.standard_normal(x.shape)), mask


def compare(name: str, windows: int, steps: int, iterations: int, repeats: int = 5) -> list[dict]:
    """Time the built-in model and that of the file, in both float types."""
    engine = get_engine("julia")
    models = {"built_in": get_model(name), "own": pyvda.julia_model(str(FILES / f"{name}.jl"))}
    model = models["built_in"]
    step = 0.1 * (steps - 1) * model.state_size
    rows = []
    for dtype in ("float64", "float32"):
        x, y, mask = (a.astype(dtype) for a in problem(model, windows, steps))
        best = dict.fromkeys(models, np.inf)
        ends: dict[str, Any] = {}
        for turn in range(1 + repeats):  # the first compiles
            for which, one in models.items():
                start = time.perf_counter()
                ends[which] = engine.descend(
                    one, CostSettings(model.time_step), x, y, mask, step=step,
                    iterations=iterations if turn else 2,
                )  # fmt: skip
                if turn:
                    best[which] = min(best[which], time.perf_counter() - start)
        difference = np.abs(ends["own"] - ends["built_in"]).max() / np.abs(ends["built_in"]).max()
        each = {which: t / iterations / windows * 1e6 for which, t in best.items()}
        rows.append(
            {
                "case": f"FSGD {name} in a user's file, {dtype}",
                "own_us": each["own"],
                "built_in_us": each["built_in"],
                "ratio": each["own"] / each["built_in"],
                "difference": float(difference),
            }
        )
    return rows


def main() -> None:
    """Run everything, print the table, write the JSON."""
    rows = [row for case in CASES for row in compare(*case)]
    print("| case | user's file, µs | built-in, µs | ratio |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['case']} | {row['own_us']:.3g} | {row['built_in_us']:.3g} | "
            f"{row['ratio']:.2f} |"
        )
    print(f"written to {store.write('own_models', {'rows': rows})}")


if __name__ == "__main__":
    main()
