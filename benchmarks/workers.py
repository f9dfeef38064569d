"""Many workers: weak scaling, the cost of a task, and the memory of a worker. `make bench`.

Prints one table and writes benchmarks/results/workers.json. Workers are processes of this machine
with one thread each; times are the best of several.

    scaling   the same windows for each worker, on one worker and on two
    tasks     windows of almost no work, so that a task costs what dask and pyvda add
    memory    a zarr store that is made, read and written chunk by chunk; the largest resident size
              of a worker above that before its first block

    python benchmarks/workers.py --part large --windows 2000000     # a store of 9.6 GB
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import dask.config
import numpy as np
import store
import xarray as xr
from distributed import Client, LocalCluster

import pyvda
from pyvda.state import chunking

STEPS, SIZE = 200, 3
# method, options, windows for each worker
CASES = (
    ("fsgd", {"iterations": 2000}, 400),
    ("strong-constraint", {"observation_variance": 2.0}, 2000),
)
TASKS = 200
FEW: Any = {"iterations": 10, "step": 1e-3}  # little work, so that reading and writing count


@contextmanager
def workers(count: int) -> Iterator[Client]:
    """Yield a client of as many processes with one thread each."""
    os.environ["PYVDA_THREADS"] = "1"
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # as `--workers` does
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as using,
    ):
        yield using


def observations(windows: int) -> xr.Dataset:
    """Return windows of the published setting, a few different ones repeated."""
    some = pyvda.observe(pyvda.simulate("lorenz63", 64, 1), "lorenz63", 2)["observation"].values
    values = np.resize(some, (windows, STEPS, SIZE))
    return xr.Dataset(
        {"observation": (("window", "time", "state"), values)}, {"time": 0.01 * np.arange(STEPS)}
    )


def seconds(ds: xr.Dataset, repeats: int = 2, **options: object) -> float:
    """Return the shortest time of an analysis on the running workers, of which the cost returns."""
    times = []
    for _ in range(repeats + 1):  # the first compiles
        analysis = pyvda.assimilate(ds, model="lorenz63", **options)
        start = time.perf_counter()
        analysis["cost"].compute()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def scaling() -> list[dict]:
    """Time the same windows for each worker on one worker and on two."""
    rows = []
    for method, options, windows in CASES:
        row = {"case": f"weak scaling, {method}", "windows_per_worker": windows}
        for count in (1, 2):
            with workers(count):
                ds = observations(count * windows).chunk(window=windows // 8).persist()
                row[f"seconds_{count}"] = seconds(ds, method=method, **options)
        row["efficiency"] = row["seconds_1"] / row["seconds_2"]
        rows.append(row)
    return rows


def tasks() -> dict:
    """Time blocks of one window that are hardly worked on."""
    with workers(2):
        ds = observations(TASKS).chunk(window=1).persist()
        on_workers = seconds(ds, iterations=0)
    one = observations(1)
    started = time.perf_counter()
    for _ in range(20):
        pyvda.assimilate(one, model="lorenz63", iterations=0)
    alone = (time.perf_counter() - started) / 20
    return {
        "tasks_per_second": TASKS / on_workers,
        "milliseconds_per_task_and_worker": 2 * on_workers / TASKS * 1e3,
        "milliseconds_of_one_window_without_dask": alone * 1e3,
    }


def _kib(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines[field].split()[0])


def _forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _kib("VmRSS")


def memory(windows: int, folder: str | None) -> dict:
    """Assimilate a large store with two workers; return their memory and the speed."""
    place = Path(tempfile.mkdtemp(dir=folder))
    size = chunking.shared_size(STEPS * SIZE * 8, windows)
    some = observations(64)["observation"].values
    values = dask.array.map_blocks(
        lambda block_info=None: np.resize(some, block_info[None]["chunk-shape"]),
        chunks=(dask.array.core.normalize_chunks(size, (windows,))[0], (STEPS,), (SIZE,)),
        dtype=float,
    )
    ds = xr.Dataset({"observation": (("window", "time", "state"), values)})
    ds = ds.assign_coords(time=0.01 * np.arange(STEPS))
    try:
        pyvda.save_analysis(ds, place / "obs.zarr")
        with workers(2) as using:
            # The time that a first block takes to load and compile is not counted.
            pyvda.save_analysis(observations(2 * 64), place / "few.zarr")
            few = pyvda.open_observations(place / "few.zarr", chunks={"window": 64})
            few = pyvda.assimilate(few, model="lorenz63", **FEW)
            pyvda.save_analysis(few, place / "few_analysis.zarr")
            before = using.run(_forget_peak)
            observed = pyvda.open_observations(place / "obs.zarr", chunks={"window": size})
            started = time.perf_counter()
            analysis = pyvda.assimilate(observed, model="lorenz63", **FEW)
            pyvda.save_analysis(analysis, place / "analysis.zarr")
            took = time.perf_counter() - started
            peaks = using.run(_kib, "VmHWM")
        return {
            "windows": windows,
            "megabytes": windows * STEPS * SIZE * 8 / 1e6,
            "windows_per_block": size,
            "seconds": took,
            "windows_per_second": windows / took,
            "megabytes_per_worker": max(peaks[w] - before[w] for w in before) * 1024 / 1e6,
            "megabytes_before": max(before.values()) * 1024 / 1e6,
        }
    finally:
        shutil.rmtree(place)


PARTS = {"rows": scaling, "tasks": tasks, "large": memory}


def main() -> None:
    """Run the parts that are chosen, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, help="alone; the others are kept")
    parser.add_argument("--windows", type=int, default=100_000, help="of the large store")
    parser.add_argument("--folder", help="for the large store; default: that of temporary files")
    chosen = parser.parse_args()
    found = json.loads((store.RESULTS / "workers.json").read_text()) if chosen.part else {}
    earlier = found.pop("machine", None)
    measured = found.setdefault("measured", dict.fromkeys(found, earlier))
    for part in [chosen.part] if chosen.part else PARTS:
        arguments = (chosen.windows, chosen.folder) if part == "large" else ()
        found[part] = PARTS[part](*arguments)
        measured[part] = store.machine()
    rows, cost, large = (found[part] for part in PARTS)
    print("| case | windows per worker | 1 worker, s | 2 workers, s | efficiency |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['case']} | {row['windows_per_worker']} | {row['seconds_1']:.2f} | "
            f"{row['seconds_2']:.2f} | {row['efficiency']:.0%} |"
        )
    print(
        f"\n{cost['tasks_per_second']:.0f} tasks a second on 2 workers, "
        f"{cost['milliseconds_per_task_and_worker']:.1f} ms for a task on its worker "
        f"({cost['milliseconds_of_one_window_without_dask']:.1f} ms for one window without dask)"
    )
    print(
        f"{large['windows']} windows ({large['megabytes']:.0f} MB): "
        f"{large['megabytes_per_worker']:.0f} MB for a worker above the "
        f"{large['megabytes_before']:.0f} MB before, "
        f"{large['windows_per_second']:.0f} windows a second"
    )
    print(f"written to {store.write('workers', found)}")


if __name__ == "__main__":
    main()
