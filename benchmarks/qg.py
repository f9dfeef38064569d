"""4D-Var of the quasi-geostrophic ocean, cycled over DAPPER's twin experiment.

    python benchmarks/qg.py [--windows 15]

The experiment's truth and observations, made by DAPPER, are read from `qg/` beside the folder that
PYVDA_DATA names (default ../shared/data): 300 observations with variance 4 every 5 time units. Each
window has 20 observation times and starts from the last state of the window before, with a
covariance that is the same for all: a spectrum (1 + (K/29)²)^−3.75 and one standard deviation. The
first background is the truth with an error of that covariance. Scores are root mean square errors
over all points, the walls included, means over windows after the first two. With all windows it
writes benchmarks/results/qg.json.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import store
import xarray as xr

import pyvda
from pyvda.operators import Spectral, power

DATA = Path(os.environ.get("PYVDA_DATA", Path(__file__).parents[2] / "shared/data")).parent / "qg"
N, STEP, LENGTH, WINDOWS, STDEV, FIRST = 129, 5.0, 20, 15, 0.55, 2


def main() -> None:
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=WINDOWS)
    arguments = parser.parse_args()
    if not (DATA / "truth.nc").exists():
        raise SystemExit(f"{DATA} has no truth.nc and obs.nc; set PYVDA_DATA")
    rows = list(cycled(arguments.windows))
    means = {
        name: round(float(np.mean([row[name] for row in rows[FIRST:]])), 4)
        for name in ("start", "middle", "end", "mean", "seconds")
    }
    print("mean", *(f"{name} {value}" for name, value in means.items()))
    if arguments.windows == WINDOWS:
        print(f"written to {store.write('qg', {'windows': rows, 'mean': means})}")


def cycled(windows: int):
    """Yield the scores of one window after the other."""
    truth = read("truth.nc", "psi")
    observed = read("obs.nc", "psi_obs")
    B = Spectral((N, N), power((N - 1) / (29 * np.pi), 3.75), STDEV, boundary="wall", uniform=False)
    background = truth[0] + B.sample(np.random.default_rng(0), 1).reshape(N, N)
    for number in range(windows):
        times = slice(number * LENGTH, (number + 1) * LENGTH)
        psi = np.full((LENGTH + 1, N, N), np.nan)
        psi[1:] = observed[times]
        axis = STEP * np.arange(times.start, times.stop + 1)
        ds = xr.Dataset({"psi": (("time", "y", "x"), psi)}, {"time": axis})
        began = time.perf_counter()
        analysis = pyvda.assimilate(
            ds, model="quasi-geostrophic", method="incremental", background=background,
            covariance=B, observation_variance=4.0, growth=10, iterations=3, members=0,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        found = np.nan_to_num(analysis["psi"].values)
        here = truth[times.start : times.stop + 1]
        error = np.sqrt(((found - here) ** 2).mean((1, 2)))
        row = {
            "start": error[0], "middle": error[LENGTH // 2], "end": error[-1],
            "mean": error[1:].mean(), "seconds": seconds,
            "outer loops": int(analysis["iterations"].values.ravel()[0]),
        }  # fmt: skip
        row = {name: round(float(value), 4) for name, value in row.items()}
        print(number, *(f"{name} {value}" for name, value in row.items()), flush=True)
        yield row
        background = found[-1]


def read(file: str, variable: str) -> np.ndarray:
    """Return a variable of a file as float64."""
    with xr.open_dataset(DATA / file) as ds:
        return ds[variable].values.astype(float)


if __name__ == "__main__":
    main()
