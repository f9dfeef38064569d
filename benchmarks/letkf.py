"""The local ensemble transform Kalman filter on DAPPER's quasi-geostrophic twin experiment.

    python benchmarks/letkf.py [PART ...]    # or make bench-ocean, all parts

300 observations with variance 4 at each of 300 times, read from `qg/` beside the folder that
PYVDA_DATA names (default ../shared/data). Members are states of the model's climatology. Scores are
root mean square errors of the analysis over all points, the walls included: means after the 50th
time. Seconds are those of an analysis with the forecast before it, everything included, and "core"
its processor time, which other work on the machine (load) disturbs less. Each part takes less than
five minutes on two cores and is added to benchmarks/results/letkf.json. DAPPER's
LETKF, with radius 10 and inflation 1.02-1.04: 0.64 with 25 members, 0.52 with 45, 3.0 s.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import store
import xarray as xr

import pyvda

DATA = Path(os.environ.get("PYVDA_DATA", Path(__file__).parents[2] / "shared/data")).parent / "qg"
STEP, FIRST, VARIANCE = 5.0, 50, 4.0
MODEL = "quasi-geostrophic"

PARTS = {
    "25 members": {"members": 25, "radius": 10},
    "45 members": {"members": 45, "radius": 10},
    "45 members, lag 2": {"members": 45, "radius": 10, "lag": 2},
    "45 members, inflation 1.02": {"members": 45, "radius": 10, "inflation": 1.02},
    "45 members, inflation 1.02, lag 2": {
        "members": 45, "radius": 10, "inflation": 1.02, "lag": 2,
    },
    "45 members, stride 4": {"members": 45, "radius": 10, "stride": 4},
}  # fmt: skip


def main() -> None:
    """Run the parts that were named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--times", type=int, default=300)
    arguments = parser.parse_args()
    if not (DATA / "truth.nc").exists():
        raise SystemExit(f"{DATA} has no truth.nc and obs.nc; set PYVDA_DATA")
    rows = {}
    for name in arguments.parts or PARTS:
        rows[name] = scored(PARTS[name], arguments.times)
        print(name, rows[name], flush=True)
        if arguments.times == 300:
            store.write("letkf", {"parts": {**kept(), **rows}})


def kept() -> dict[str, dict[str, float]]:
    """Return the parts that were run before."""
    path = Path(__file__).parent / "results" / "letkf.json"
    found: dict[str, dict[str, float]] = {}
    if path.exists():
        found = json.loads(path.read_text("utf-8")).get("parts", {})
    return found


def experiment(times: int) -> tuple[np.ndarray, xr.Dataset]:
    """Return the truth (times + 1, y, x) and the observations, whose first time has none."""
    with xr.open_dataset(DATA / "truth.nc") as ds:
        truth = ds["psi"].values[: times + 1].astype(float)
    psi = np.full_like(truth, np.nan)
    with xr.open_dataset(DATA / "obs.nc") as ds:
        psi[1:] = ds["psi_obs"].values[:times]
    axis = {"time": STEP * np.arange(times + 1)}
    return truth, xr.Dataset({"psi": (("time", "y", "x"), psi)}, axis)


def timed(observed: xr.Dataset, options: dict[str, object]) -> tuple[xr.Dataset, float, float]:
    """Return the analysis, its seconds and its processor time, without those of the first call."""
    how = {"model": MODEL, "method": "letkf", "observation_variance": VARIANCE, **options}
    pyvda.assimilate(observed.isel(time=slice(0, 3)), **how)
    began, used = time.perf_counter(), time.process_time()
    analysis = pyvda.assimilate(observed, final_ensemble=False, **how)
    return analysis, time.perf_counter() - began, time.process_time() - used


def scored(options: dict[str, object], times: int) -> dict[str, float]:
    """Return the scores of one run over the first `times` observation times."""
    truth, observed = experiment(times)
    analysis, seconds, used = timed(observed, options)
    error = np.nan_to_num(analysis["psi"].values) - truth
    stdev = np.nan_to_num(analysis["psi_stdev"].values)
    rmse, spread = (np.sqrt((a**2).mean((1, 2))) for a in (error, stdev))
    later = slice(1 + min(FIRST, times // 2), None)
    return {
        "rmse": round(float(rmse[later].mean()), 4),
        "spread": round(float(spread[later].mean()), 4),
        "(error/spread)^2": round(
            float((rmse[later] ** 2).mean() / (spread[later] ** 2).mean()), 3
        ),
        "seconds": round(seconds / times, 4),
        "core": round(used / times, 4),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
