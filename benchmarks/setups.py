"""pyvda on set-ups that DAPPER publishes, on DAPPER's data: `make bench-peers`.

    python benchmarks/setups.py [--only TEXT] [--again]

DAPPER simulates truth and observations of each set-up and runs its own methods
(benchmarks/peers/setups_dapper.py, in .venv-peers). pyvda reads its netCDF file and gives scores

as filter: the last step of windows that end at an analysis time, with no data after it; and, of
    models of a few components, the posterior mean in a cycle with a window for each observation;
as smoother: windows that overlap by half, at the same times.

A score is DAPPER's rmse.a: the mean over analysis times after the burn-in of the root mean square
error over components. The filter takes every n-th of these times, so that all set-ups take some
ten minutes on one core; `interval` is the half width of the mean's 95 % interval, with times taken
as independent. Rows are kept in benchmarks/results/setups.json when they are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import store
import xarray as xr

import pyvda
from pyvda.climate.library import LOW_DIMENSIONAL
from pyvda.models.registry import get_model

HERE = Path(__file__).parent
OUT = store.RESULTS / "setups.json"
PEERS = HERE.parent / ".venv-peers/bin/python"
SEED = 3001  # of data on which neither method nor window was chosen


class Setup(NamedTuple):
    """A model, and how pyvda assimilates.

    Filter windows of `window` steps end at every `stride`-th analysis time. The smoother has
    windows of `smoothed` steps over the first `steps` of the series.
    """

    model: str
    window: int
    stride: int
    smoothed: int
    steps: int


METHOD = "annealed"
SETUPS = {
    "lorenz63-sakov2012": Setup("lorenz63", 451, 1, 1001, 25_000),
    "lorenz63-wiljes2017": Setup("lorenz63", 481, 8, 961, 48_000),
    "lorenz63-bocquet2012": Setup("lorenz63", 451, 1, 1001, 25_000),
    "lorenz96-sakov2008": Setup("lorenz96", 81, 5, 121, 1000),
    "lorenz96-dto0.2": Setup("lorenz96", 121, 4, 161, 2000),
    "lorenz96-dto0.4": Setup("lorenz96", 161, 4, 201, 4000),
}


def data_of(name: str, folder: Path) -> xr.Dataset:
    """Return what DAPPER makes of a set-up."""
    path = folder / f"{name}.nc"
    command = [str(PEERS), "-W", "ignore", str(HERE / "peers/setups_dapper.py"), name, str(SEED)]
    ran = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"setups_dapper.py failed:\n{ran.stderr}")
    with xr.open_dataset(path) as ds:
        return ds.load()


def analysis_times(ds: xr.Dataset) -> np.ndarray:
    """Return the steps with observations after the burn-in."""
    seen = ds["observation"].notnull().any("state").values
    return np.flatnonzero(seen & (ds["time"].values > float(ds.attrs["burn_in"])))


def scored(x: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the score of states (n, D)."""
    error = np.sqrt(((x - truth) ** 2).mean(1))
    interval = 1.96 * error.std(ddof=1) / np.sqrt(len(error))
    return {"rmse": float(error.mean()), "interval": float(interval), "times": len(error)}


def as_filter(ds: xr.Dataset, setup: Setup) -> dict[str, float]:
    """Return the score at the last step of windows."""
    last = analysis_times(ds)
    last = last[last >= setup.window - 1][:: setup.stride]
    steps = last[:, None] + np.arange(1 - setup.window, 1)
    windows = xr.Dataset(
        {"observation": (("window", "time", "state"), ds["observation"].values[steps])},
        {"time": ds["time"].values[: setup.window]},
        {"observation_error_variance": ds.attrs["observation_error_variance"]},
    )
    began = time.process_time()
    found = pyvda.assimilate(windows, model=setup.model, method=METHOD)
    seconds = time.process_time() - began
    row = scored(found["analysis"].values[:, -1], ds["truth"].values[last])
    return {**row, "core s": seconds}


def as_cycle(ds: xr.Dataset, setup: Setup) -> dict[str, float]:
    """Return the score of the posterior mean, cycled: no datum of a later time is used."""
    times = analysis_times(ds)
    between = int(times[1] - times[0])
    first = int(times[0]) % between  # each window begins with its observations
    began = time.process_time()
    found = pyvda.assimilate(
        ds.drop_vars("truth").isel(time=slice(first, None)), model=setup.model,
        method="posterior-mean", cycle=between,
    )  # fmt: skip
    seconds = time.process_time() - began
    row = scored(found["analysis"].values[times - first], ds["truth"].values[times])
    return {**row, "core s": seconds}


def as_smoother(ds: xr.Dataset, setup: Setup) -> dict[str, float]:
    """Return the score of windows that overlap, at the analysis times."""
    series = ds.isel(time=slice(0, setup.steps))
    times = analysis_times(series)
    began = time.process_time()
    found = pyvda.assimilate(
        series.drop_vars("truth"), model=setup.model, method=METHOD, window=setup.smoothed,
        overlap=setup.smoothed // 2,
    )  # fmt: skip
    seconds = time.process_time() - began
    row = scored(found["analysis"].values[times], series["truth"].values[times])
    return {**row, "core s": seconds}


def works(setup: Setup) -> list[tuple[str, str, Callable[[xr.Dataset, Setup], dict[str, float]]]]:
    """Return method and kind of each row of pyvda, and what computes it."""
    found = [(METHOD, "filter", as_filter), (METHOD, "smoother", as_smoother)]
    if get_model(setup.model).state_size <= LOW_DIMENSIONAL:
        found.insert(1, ("posterior-mean", "filter", as_cycle))
    return found


def main() -> None:
    """Compute the rows that are missing, print all, keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="set-ups whose name contains this")
    parser.add_argument("--again", action="store_true", help="compute rows that are there")
    given = parser.parse_args()
    if not PEERS.exists():
        raise SystemExit(f"no {PEERS.relative_to(HERE.parent)}; make it with `make bench-peers`")
    warnings.simplefilter("ignore")
    rows: dict[str, Any] = {}
    if OUT.is_file():
        rows = json.loads(OUT.read_text("utf-8"))["rows"]
    with tempfile.TemporaryDirectory() as folder:
        for name, setup in SETUPS.items():
            if given.only not in name:
                continue
            ds: xr.Dataset | None = None
            for method, kind, work in works(setup):
                key = f"{name}/pyvda {method}/{kind}"
                if key in rows and not given.again:
                    continue
                if ds is None:
                    ds = data_of(name, Path(folder))
                    for score in json.loads(ds.attrs["scores"]):
                        rows[f"{name}/DAPPER {score.pop('method')}/filter"] = score
                rows[key] = work(ds, setup)
                store.write("setups", {"rows": rows})
            for key, row in rows.items():
                if key.startswith(f"{name}/"):
                    print(key, *(f"{n} {v:.4g}" for n, v in row.items() if v is not None))


if __name__ == "__main__":
    main()
