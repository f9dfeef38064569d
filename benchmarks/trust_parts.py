"""Gross errors, estimates of error statistics, and the cost of the judgements, as tables and JSON.

    python benchmarks/trust_parts.py [--part robust|estimates|cost] [--method TEXT] [--again]

robust: R of `robust=True` with 10 % of gross errors over R without these data, and on good data
over R of the same analysis without `robust`; the bad data found and the good ones rejected.
estimates: estimates of error statistics over their true values, on each standard setting.
cost: processor time of the judgements over that of everything else in the same call, the least of
several.

256 windows of Lorenz-63 (32 for FSGD), 32 of Lorenz-96, one core. Each row is kept in
benchmarks/results/trust_parts.json when it is there, and not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trust
import xarray as xr

import pyvda
from pyvda import block_task
from pyvda.io.writing.atomic import replacing
from pyvda.machine import machine
from pyvda.names import Flag

OUT = Path(__file__).parent / "results" / "trust_parts.json"
WINDOWS, REPEATS = 256, 5
FSGD = {"method": "fsgd", "iterations": 10_000}
ROBUST = trust.STATING | {"fsgd": FSGD}
Row = dict[str, float]
Work = tuple[str, str, Callable[[], Row]]


def robust() -> Iterator[Work]:
    """Yield the rows of gross errors of 5 and 10, and of good data (0)."""
    for size in (10, 5, 0):
        for method, options in ROBUST.items():
            yield f"+-{size}" if size else "good data", method, lambda s=size, o=options: _row(s, o)


def _row(size: int, options: dict[str, Any]) -> Row:
    name = f"10 % gross errors of {size}" if size else "standard lorenz63"
    windows = WINDOWS // 8 if options is FSGD else WINDOWS
    seed = trust.SEED + list(trust.CASES).index(name)
    given, truth, keywords = trust.made(trust.CASES[name], windows, seed)
    good = given
    if size:
        good = trust.made(trust.CASES[f"10 % left out, those of {size}"], windows, seed)[0]
    usable = good["observation"].notnull().values
    bad = given["observation"].notnull().values & ~usable

    def assimilated(ds: xr.Dataset, **more: Any) -> tuple[float, xr.Dataset]:
        found = pyvda.assimilate(ds, **keywords, **options, **more)
        return float(((found["analysis"].values - truth) ** 2).mean()), found

    best, spoilt = assimilated(good)[0], assimilated(given)[0]
    began = time.process_time()
    own, found = assimilated(given, robust=True)
    seconds = time.process_time() - began
    rejected = found["flag"].values == Flag.REJECTED
    return {
        "R left out": best, "R with": spoilt, "R robust": own, "ratio": own / best,
        "found": float(rejected[bad].mean()) if bad.any() else float("nan"),
        "false": float(rejected[usable].mean()), "core s": seconds,
    }  # fmt: skip


def cost() -> Iterator[Work]:
    """Yield the rows of the standard settings."""
    for name, case in trust.CASES.items():
        if case.standard and name.startswith("standard"):
            for method, options in case.methods.items():
                yield name, method, lambda c=case, o=options: _cost(c, o)


def _cost(case: trust.Case, options: dict[str, Any]) -> Row:
    windows = int(WINDOWS * case.share)
    given, _, keywords = trust.made(case, windows, trust.SEED)
    spent = 0.0
    original = block_task.judged_solution

    def timed(*args: Any, **more: Any) -> Any:
        nonlocal spent
        began = time.process_time()
        try:
            return original(*args, **more)
        finally:
            spent += time.process_time() - began

    block_task.judged_solution = timed
    least = (float("inf"), 0.0)
    try:
        for _ in range(REPEATS + 1):
            spent, began = 0.0, time.process_time()
            pyvda.assimilate(given, **keywords, **options)
            least = min(least, (time.process_time() - began, spent))
    finally:
        block_task.judged_solution = original
    total, spent = least
    return {"core ms a window": 1e3 * total / windows, "judgements": spent / (total - spent)}


PARTS = {"robust": robust, "cost": cost}


def main() -> None:
    """Compute the rows that are missing, print all, keep them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=PARTS, help="default: all")
    parser.add_argument("--method", default="", help="methods whose name contains this")
    parser.add_argument("--again", action="store_true", help="compute rows that are there")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    kept = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {"rows": {}}
    for part in [given.part] if given.part else PARTS:
        for case, method, work in PARTS[part]():
            if given.method not in method:
                continue
            key = f"{part}/{case}/{method}"
            if given.again or key not in kept["rows"]:
                kept["rows"][key] = work()
                kept["machine"] = machine()
                with replacing(OUT) as temporary:
                    temporary.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
            values = ", ".join(f"{n} {v:.4g}" for n, v in kept["rows"][key].items())
            print(f"{part:10s} {case:26s} {method:20s} {values}", flush=True)


if __name__ == "__main__":
    main()
