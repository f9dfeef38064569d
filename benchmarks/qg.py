"""The quasi-geostrophic ocean at 129 x 129 points: scores of cycled 4D-Var, and costs.

    python benchmarks/qg.py [PART ...] [--again]    # or make bench-ocean, all parts

Without names all parts are run that are missing in benchmarks/results/qg.json, to which each part
is added when it is finished. A cycle that was interrupted goes on after its last window
(benchmarks/results/qg/). Scores are root mean square errors over all points, the walls included,
means over windows after the 50th time.

Run a is DAPPER's twin experiment, read from `qg/` beside the folder that PYVDA_DATA names (default
../shared/data): 300 observations with variance 4 every 5 time units. Run b is another realisation
of the same recipe, and run c a third one, from whose errors of forecasts B is fitted.
Each window starts from the forecast of the window before; the first background is the truth with an
error of covariance B, or the climatological mean (cold).

| part | what |
| --- | --- |
| covariance | B from run c: 30 windows of 20 times with a flat B |
| a20, b20 | windows of 20 times |
| a40, a60 | two windows of 40 times, and one of 60 |
| flat | run a, 20 times, with the flat B |
| cold | run a, 12 times from the climatological mean |
| default | run a, windows of 20 times from the climatology, by the defaults of a cycle |
| spread | run a, windows 1-8 of 20 times with the standard deviation |
| eda | run a, windows 1-3 of 20 times, hybrid B from an ensemble of 4D-Vars |
| speed, gradient, memory, cycles, cores, growth | see qg_cost.py |
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qg_cost
import store
import xarray as xr

import pyvda
from pyvda.covariances.state_covariance import StateCovariance
from pyvda.operators import Spectral, power

DATA = Path(os.environ.get("PYVDA_DATA", Path(__file__).parents[2] / "shared/data")).parent / "qg"
FOLDER = store.RESULTS / "qg"
MODEL, N, STEP, TIMES, VARIANCE, OBSERVED = "qg", 129, 5.0, 300, 4.0, 300
SPIN_UP = 50  # times
INFLATION = 0.8
# Of the fit of B: points over which variances are averaged, and the share of their mean added.
SMOOTHING, FLOOR = 4, 0.09
# The spectrum of the errors of forecasts, in sine wave numbers, and a deviation for all points.
SCALE, EXPONENT, FLAT = 29, 3.75, 0.55


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--again", action="store_true", help="also parts that have a result")
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        if part in results() and not arguments.again:
            print(f"{part}: {json.dumps(results()[part])}")
            continue
        found = PARTS[part]()
        print(f"{part}: {json.dumps(found)}", flush=True)
        made = {"date": store.machine()["date"], "machine": store.in_words()}
        kept = {**results(), part: {**found, **made}}
        store.write("qg", {name: kept[name] for name in PARTS if name in kept})


def results() -> dict[str, Any]:
    """Return the results of the parts that were run."""
    path = store.RESULTS / "qg.json"
    return json.loads(path.read_text()) if path.exists() else {}


# --- runs -----------------------------------------------------------------------------------------


def run_a() -> tuple[np.ndarray, np.ndarray]:
    """Return truth (301, N, N) and observations (300, N, N) of DAPPER's experiment."""
    if not (DATA / "truth.nc").exists():
        raise SystemExit(f"{DATA} has no truth.nc and obs.nc; set PYVDA_DATA")
    with xr.open_dataset(DATA / "truth.nc") as truth, xr.open_dataset(DATA / "obs.nc") as observed:
        return truth["psi"].values.astype(float), observed["psi_obs"].values.astype(float)


def drawn(seed: int, n: int = N, times: int = TIMES) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and observations of another realisation, made as DAPPER's.

    The state after the spin-up is the truth at time 0; at each time every 55th or 56th point is
    observed, from a random one on.
    """
    truth = pyvda.simulate(pyvda.get_model(MODEL, n=n), windows=1, steps=times + 1, seed=seed)
    psi = np.nan_to_num(truth["psi"].values[0])
    rng = np.random.default_rng(seed)
    count = OBSERVED
    tracks = np.floor(np.arange(count) * n**2 / count).astype(int)
    observed = np.full((times, n * n), np.nan)
    for t in range(times):
        at = tracks + rng.integers(n**2 // count)
        observed[t, at] = psi[t + 1].ravel()[at] + np.sqrt(VARIANCE) * rng.normal(size=count)
    return psi, observed.reshape(times, n, n)


def flat_covariance(n: int = N, stdev: float = FLAT) -> Spectral:
    """Return B with one standard deviation."""
    spectrum = power((n - 1) / (SCALE * np.pi), EXPONENT)
    return Spectral((n, n), spectrum, stdev, boundary="wall", uniform=False)


def trained_covariance() -> StateCovariance:
    """Return the B that the part `covariance` found."""
    path = FOLDER / "B.nc"
    if not path.exists():
        PARTS["covariance"]()
    return StateCovariance.read(path)


def cycled(
    name: str,
    run: tuple[np.ndarray, np.ndarray],
    length: int,
    *,
    times: int = TIMES,
    **options: Any,
) -> tuple[dict[str, Any], xr.Dataset]:
    """Return the scores of a cycle from a background with the error B, and its analysis."""
    truth, _ = run
    B = options.pop("covariance", None) or trained_covariance()
    error = B.sample(np.random.default_rng(0), 1).reshape(truth.shape[1:])
    how = {
        "method": "incremental", "background": truth[1] + error, "covariance": B,
        "inflation": INFLATION, "growth": growth(length), "iterations": 4,
        **({} if "ensemble" in options else {"members": 0}), **options,
    }  # fmt: skip
    return scored(name, run, length, times, how)


def scored(
    name: str,
    run: tuple[np.ndarray, np.ndarray],
    length: int,
    times: int,
    options: dict[str, Any],
) -> tuple[dict[str, Any], xr.Dataset]:
    """Return the scores of a cycle with some options, and its analysis."""
    truth, observed = run
    axis = STEP * np.arange(1, times + 1)
    ds = xr.Dataset({"psi": (("time", "y", "x"), observed[:times])}, {"time": axis})
    FOLDER.mkdir(exist_ok=True, parents=True)
    core = time.process_time()
    analysis = pyvda.assimilate(
        ds, model=pyvda.get_model(MODEL, n=truth.shape[-1]), cycle=length,
        observation_variance=VARIANCE, state=FOLDER / name, **options,
    )  # fmt: skip
    core = time.process_time() - core
    errors = np.nan_to_num(analysis["psi"].values) - truth[1 : times + 1]
    rmse = np.sqrt((errors**2).mean((1, 2)))
    bounds = [*analysis["window_start"].values, times]
    windows = [rmse[a:b] for a, b in itertools.pairwise(bounds)]
    after = [w for w, a in zip(windows, bounds, strict=False) if a + length > SPIN_UP] or windows
    said = {
        "start": np.mean([w[0] for w in after]),
        "middle": np.mean([w[len(w) // 2] for w in after]),
        "end": np.mean([w[-1] for w in after]),
        "mean": np.mean(np.concatenate(after)),
        "chi_square": float(analysis["chi_square"].mean()),
        "core_seconds_a_window": core / len(windows),
    }
    found: dict[str, Any] = {key: round(float(value), 4) for key, value in said.items()}
    found["ends"] = [round(float(w[-1]), 3) for w in windows]
    found["iterations"] = analysis["iterations"].values.tolist()
    found["status"] = analysis["status"].values.tolist()
    return found, analysis


def growth(length: int) -> tuple[int, ...]:
    """Return the lengths through which a window grows: 10, 20, 30, ... times."""
    return tuple(range(10, length, 10))


# --- parts ----------------------------------------------------------------------------------------


def covariance() -> dict[str, Any]:
    """Fit B to the errors of the backgrounds of run c, as `pyvda covariance` does."""
    times = 600
    run = drawn(30, times=times)
    scores, analysis = cycled(
        "c20", run, 20, times=times, covariance=flat_covariance(), inflation=1.1
    )
    starts = analysis["window_start"].values[2:]
    error = np.nan_to_num(analysis["psi_background"].values[starts]) - run[0][starts + 1]
    samples = xr.Dataset({"psi": (("time", "y", "x"), error)})
    B = pyvda.fit_covariance(samples, smoothing=SMOOTHING, floor=FLOOR)
    B.save(FOLDER / "B.nc")
    stdev = np.sqrt(B.variance().reshape(N, N)[1:-1, 1:-1])
    levels = {
        "least": stdev.min(), "largest": stdev.max(), "rms": np.sqrt((stdev**2).mean()),
        "length": B.dataset["psi_spectrum"].attrs["length_scale"],
    }  # fmt: skip
    return {"windows": len(starts), "end_of_run_c": scores["end"],
            **{name: round(float(value), 3) for name, value in levels.items()}}  # fmt: skip


def cold() -> dict[str, Any]:
    """Analyse 12 times from the climatological mean, by the defaults of a cycle."""
    truth, observed = run_a()
    axis = STEP * np.arange(1, 13)
    ds = xr.Dataset({"psi": (("time", "y", "x"), observed[:12])}, {"time": axis})
    core = time.process_time()
    analysis = pyvda.assimilate(
        ds, model=MODEL, method="incremental", cycle=12, covariance=flat_covariance(),
        observation_variance=VARIANCE, members=0,
    )  # fmt: skip
    error = np.sqrt(((np.nan_to_num(analysis["psi"].values) - truth[1:13]) ** 2).mean((1, 2)))
    return {"end": round(float(error[-1]), 4), "mean": round(float(error.mean()), 4),
            "status": int(analysis["status"].values[0]),
            "core_seconds": round(time.process_time() - core, 1)}  # fmt: skip


def default() -> dict[str, Any]:
    """Cycle from the climatology by the defaults, and compare errors with standard deviations."""
    times = 100
    return with_ratios(*scored("default", run_a(), 20, times, {}), times)


def spread() -> dict[str, Any]:
    """Compare errors with standard deviations."""
    times = 160
    return with_ratios(*cycled("spread", run_a(), 20, times=times, members=30), times)


def with_ratios(found: dict[str, Any], analysis: xr.Dataset, times: int) -> dict[str, Any]:
    """Add ratios of errors and standard deviations over all points but the walls, after spin-up."""
    inside = np.s_[SPIN_UP:times, 1:-1, 1:-1]
    error = (analysis["psi"].values - run_a()[0][1 : times + 1])[inside]
    sigma = analysis["psi_stdev"].values[inside]
    by_time = ((error / sigma) ** 2).mean((1, 2))
    found["ratio"] = round(float(((error / sigma) ** 2).mean()), 3)
    found["ratio_of_sums"] = round(float((error**2).sum() / (sigma**2).sum()), 3)
    found["ratio_by_step"] = [round(float(r), 2) for r in by_time[10:].reshape(-1, 20).mean(0)]
    return found


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "covariance": covariance,
    "a20": lambda: cycled("a20", run_a(), 20)[0],
    "b20": lambda: cycled("b20", drawn(31), 20)[0],
    "a40": lambda: cycled("a40", run_a(), 40, times=80)[0],
    "a60": lambda: cycled("a60", run_a(), 60, times=60)[0],
    "flat": lambda: cycled("flat", run_a(), 20, covariance=flat_covariance(), inflation=1.0)[0],
    "cold": cold,
    "default": default,
    "spread": spread,
    "eda": lambda: cycled("eda", run_a(), 20, times=60, ensemble=10, ensemble_of="analyses")[0],
    **qg_cost.PARTS,
}


if __name__ == "__main__":
    main()
