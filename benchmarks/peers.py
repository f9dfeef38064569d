"""pyvda compared with JAX and DAPPER on the same files, in one run: `make bench-peers`.

    python benchmarks/peers.py [--quick] [--only CASE]

Strong-constraint 4D-Var is compared with a short JAX program (benchmarks/peers/
strong_constraint_jax.py), with blocks of windows under vmap and with one window at a time; the
ensemble smoother with DAPPER's EnKS (benchmarks/peers/enks_dapper.py) and the same members; the
LETKF with DAPPER's (benchmarks/peers/letkf_dapper.py) on DAPPER's own twin experiment of an ocean
(`qg/` beside the folder that PYVDA_DATA names), where a "window" is an analysis with the forecast
before it and R is that of the later half of them. The peers have a separate environment,
.venv-peers, and read the observations from the same netCDF file.

Every side uses all cores: Julia threads here, threads over blocks of windows in JAX, one process
per core in DAPPER. Times are wall times of the best of several runs, from observations in memory to
trajectories in memory. Compilation is reported separately as "first call", which on pyvda's side
includes starting Julia. pyvda's times include the standard deviation, the cost (4) and the checks
of the input, the peers' do not. "core ms" is processor time of all cores, less sensitive to other
load. Each case starts with the pyvda line that is set up like the peer (for JAX: the same
background, start and growth; for DAPPER: one pass, members that are not mixed), followed by the
defaults. Ratios are relative to the wall time of that first line, whose R-score is repeated for the
windows of each line, which may be fewer.

Prints one table and writes benchmarks/results/peers.json, each row with its machine and date.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import letkf
import numpy as np
import store
import xarray as xr

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.climate.library import LOW_DIMENSIONAL
from pyvda.engine import CostSettings, get_engine
from pyvda.methods.ensemble_smoother import members
from pyvda.methods.letkf import LETKFOptions, first_members
from pyvda.methods.problem import Problem
from pyvda.models.registry import get_model, get_preset
from pyvda.state.batch import Batch
from pyvda.state.windows import to_batch

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers/bin/python"
TRUTH_SEED, OBSERVATION_SEED = 631, 632  # neither of a training nor of the test sets
GROWTH = 16
LIKE_JAX = {"starts": "mean", "growth": GROWTH, "background_lead": 0}
LIKE_DAPPER = {"depth": 0, "mixing": 0}
REPEATS = 5


class Strong(NamedTuple):
    """Windows of pyvda and of JAX in blocks (the fastest of 1 to 256 here) and one at a time."""

    preset: str
    windows: int
    block: int
    one_at_a_time: int


class Smoother(NamedTuple):
    """Windows of pyvda and of DAPPER, and the options of both."""

    preset: str
    windows: int
    dapper_windows: int
    members: int
    inflation: float


STRONG = (
    Strong("lorenz63", 2000, 16, 128),
    Strong("lorenz63-blanked", 2000, 16, 128),
    Strong("lorenz96", 16, 4, 0),
)
SMOOTHERS = (
    Smoother("lorenz63", 512, 64, 100, 1.0),
    Smoother("lorenz63-blanked", 512, 64, 100, 1.0),
    Smoother("lorenz96", 16, 8, 400, 1.03),
)


class Ocean(NamedTuple):
    """Times and members of the LETKF on the quasi-geostrophic ocean, and the options of both."""

    times: int
    members: int
    radius: float
    inflation: float


OCEAN = Ocean(60, 45, 10.0, 1.02)
CASES = {"strong-constraint": STRONG, "smoother": SMOOTHERS, "ocean": (OCEAN,)}


class Files(NamedTuple):
    """A case's observations, in memory and as a file, and its truth (window, time, state)."""

    observed: xr.Dataset
    path: Path
    truth: np.ndarray


def files(preset: str, windows: int, folder: Path) -> Files:
    """Simulate and observe a case."""
    truth = pyvda.simulate(preset, windows, TRUTH_SEED)
    observed = pyvda.observe(truth, preset, OBSERVATION_SEED)
    path = folder / f"{preset}-{windows}.nc"
    observed.to_netcdf(path)
    return Files(observed, path, truth["truth"].values)


def line(
    program: str, case: str, x: np.ndarray, truth: np.ndarray, found: dict[str, Any]
) -> dict[str, Any]:
    """Return a line of the table from an analysis and the times that it took."""
    windows = len(x)
    error = ((x - truth[:windows]) ** 2).reshape(windows, -1).mean(1)
    return {
        "program": program,
        "case": case,
        "windows": windows,
        "r_mean": float(error.mean()),
        "r_median": float(np.median(error)),
        "ms_a_window": float(min(found["seconds"])) / windows * 1e3,
        "core_ms_a_window": float(min(found["core_seconds"])) / windows * 1e3,
        "first_call_seconds": found.get("first_call"),
        "version": found["version"],
        "errors": error,
    }


def ours(program: str, case: str, method: str, given: Files, repeats: int, **options: Any) -> dict:
    """Time `pyvda.assimilate`."""
    model = given.observed.attrs["model"]
    seconds, core_seconds = [], []
    for _ in range(repeats + 1):
        start, used = time.perf_counter(), time.process_time()
        analysis = pyvda.assimilate(given.observed, model=model, method=method, **options)
        seconds.append(time.perf_counter() - start)
        core_seconds.append(time.process_time() - used)
    found = {
        "seconds": seconds[1:],
        "core_seconds": core_seconds[1:],
        "first_call": seconds[0],
        "version": f"pyvda {pyvda.__version__}",
    }
    row = line(program, case, analysis["analysis"].values, given.truth, found)
    if "objective" in analysis:
        row["objective_mean"] = float(analysis["objective"].mean())
    return row


def theirs(
    program: str, case: str, script: str, given: Files, folder: Path, **setting: Any
) -> dict[str, Any]:
    """Run a peer in its own environment."""
    setting_path, out = folder / "setting.npz", folder / "out.npz"
    np.savez(setting_path, **setting)
    command = [str(PEERS), str(HERE / "peers" / script), str(setting_path), str(given.path)]
    ran = subprocess.run([*command, str(out)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{script} failed:\n{ran.stderr}")
    with np.load(out, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    for name in ("first_call", "version"):
        if name in found:
            found[name] = found[name].item()
    row = line(program, case, found["analysis"], given.truth, found)
    if "objective" in found:
        row["objective_mean"] = float(found["objective"].mean())
    return row


def strong_constraint(case: Strong, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Compare strong-constraint 4D-Var."""
    given = files(case.preset, case.windows, folder)
    name = f"strong constraint, {case.preset}"
    model = get_preset(case.preset).model
    rows = [ours("pyvda, as JAX", name, "strong-constraint", given, repeats, **LIKE_JAX)]
    if model.state_size <= LOW_DIMENSIONAL:  # else these are the defaults
        rows.append(ours("pyvda", name, "strong-constraint", given, repeats))
    known = climatology(model)
    cores = len(os.sched_getaffinity(0))
    setting = {
        "model": model.name,
        "time_step": model.time_step,
        "mean": known.mean,
        "covariance": known.covariance,
        "growth": GROWTH,
        "cores": cores,
        "repeats": repeats,
    }
    for program, windows, block in (
        ("JAX, vmap", case.windows, min(case.block, max(2, case.windows // cores))),
        ("JAX, one at a time", case.one_at_a_time, 1),
    ):
        if windows:
            chosen = {**setting, "windows": windows, "block": block}
            script = "strong_constraint_jax.py"
            rows.append(theirs(program, name, script, given, folder, **chosen))
    return rows


def smoother(case: Smoother, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Compare ensemble smoothers that start from the same members."""
    given = files(case.preset, case.windows, folder)
    name = f"ensemble smoother of {case.members}, {case.preset}"
    model = get_preset(case.preset).model
    options = {"members": case.members, "inflation": case.inflation}
    rows = [
        ours(program, name, "ensemble-smoother", given, repeats, **options, **like)
        for program, like in (("pyvda, as DAPPER", LIKE_DAPPER), ("pyvda", {}))
    ]
    batch = to_batch(given.observed.isel(window=slice(0, 1)), climatology(model).mean)
    problem = Problem(batch, model, CostSettings(model.time_step), get_engine())
    setting = {
        "model": model.name,
        "time_step": model.time_step,
        "members": members(problem, case.members, 0),
        "inflation": case.inflation,
        "cores": len(os.sched_getaffinity(0)),
        "repeats": min(repeats, 2),
        "windows": case.dapper_windows,
    }
    return [*rows, theirs("DAPPER EnKS", name, "enks_dapper.py", given, folder, **setting)]


def ocean(case: Ocean, folder: Path) -> list[dict[str, Any]]:
    """Compare LETKFs of the ocean that start from the same members; without the peer, no line."""
    data = letkf.DATA
    built = list(PEERS.parents[1].glob("lib/python*/site-packages/dapper/mods/QG/f90/py_mod*.so"))
    for there, said in (
        ((data / "obs.nc").exists(), f"{data} has no obs.nc; set PYVDA_DATA"),
        (built, "DAPPER's model is not built; see benchmarks/peers/build_ocean.sh"),
    ):
        if not there:
            print(f"LETKF of the ocean left out: {said}")
            return []
    name = f"LETKF of {case.members}, ocean of 129 x 129"
    options = {"members": case.members, "radius": case.radius, "inflation": case.inflation}
    truth, observed = letkf.experiment(case.times)
    model = get_model(letkf.MODEL)
    none = np.zeros((1, 1, model.state_size))
    problem = Problem(Batch(none, none, none), model, CostSettings(model.time_step), get_engine())
    setting_path, out = folder / "setting.npz", folder / "out.npz"
    np.savez(
        setting_path, members=first_members(problem, LETKFOptions(**options)), radius=case.radius,
        inflation=case.inflation, times=case.times, variance=letkf.VARIANCE,
        cores=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    found = []
    for program, more in (("pyvda, as DAPPER", {}), ("pyvda", {"inflation": "adaptive"})):
        analysis, seconds, used = letkf.timed(observed, {**options, **more})
        x = np.nan_to_num(analysis["psi"].values[1:])
        found.append((program, x, seconds, used, f"pyvda {pyvda.__version__}"))
    command = [str(PEERS), str(HERE / "peers/letkf_dapper.py"), str(setting_path)]
    ran = subprocess.run(
        [*command, str(data / "obs.nc"), str(out)], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"letkf_dapper.py failed:\n{ran.stderr}")
    with np.load(out, allow_pickle=False) as file:
        x = file["analysis"].reshape(case.times, *truth.shape[1:])
        seconds, used = float(file["seconds"]), float(file["core_seconds"])
        found.append(("DAPPER LETKF", x, seconds, used, str(file["version"])))
    later = case.times // 2
    share = (case.times - later) / case.times  # all analyses take as long
    return [
        line(
            program, name, x[later:, None], truth[1 + later :, None],
            {"seconds": [share * seconds], "core_seconds": [share * used], "version": version},
        )
        for program, x, seconds, used, version in found
    ]  # fmt: skip


def replaced(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return earlier rows, with their machines, without the cases of `rows`, and then these."""
    new = {row["case"] for row in rows}
    return [row for row in before if row["case"] not in new] + rows


def main() -> None:
    """Run everything, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the windows, two runs")
    parser.add_argument(
        "--only", choices=CASES, help="these cases alone; the lines of the others stay"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    divisor, repeats = (8, 2) if quick else (1, REPEATS)
    if not PEERS.exists():
        raise SystemExit(f"no {PEERS.relative_to(HERE.parent)}; make it with `make bench-peers`")
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    print(f"{get_engine('julia').info}; {cores} cores for each side; load {load:.1f} before\n")
    print(
        "| case | program | windows | R mean / median | first line's R there | "
        "ms a window | core ms | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows, machine = [], store.machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in CASES[arguments.only] if arguments.only else sum(CASES.values(), ()):
            if isinstance(case, Ocean):
                found = ocean(case._replace(times=case.times // divisor), folder)
            elif isinstance(case, Strong):
                windows = max(4, case.windows // divisor)
                alone = case.one_at_a_time // divisor
                strong = case._replace(windows=windows, one_at_a_time=alone)
                found = strong_constraint(strong, folder, repeats)
            else:
                windows = max(4, case.windows // divisor)
                fewer = max(2, case.dapper_windows // divisor)
                ensemble = case._replace(windows=windows, dapper_windows=fewer)
                found = smoother(ensemble, folder, repeats)
            errors = [row.pop("errors") for row in found]
            for row in found:
                row["ratio"] = row["ms_a_window"] / found[0]["ms_a_window"]
                row["r_mean_of_first_line"] = float(errors[0][: row["windows"]].mean())
                print(
                    f"| {row['case']} | {row['program']} | {row['windows']} | "
                    f"{row['r_mean']:.3f} / {row['r_median']:.3f} | "
                    f"{row['r_mean_of_first_line']:.3f} | {row['ms_a_window']:.3g} | "
                    f"{row['core_ms_a_window']:.3g} | {row['ratio']:.2g} |",
                    flush=True,
                )
            rows += [{**row, "machine": machine, "load_before": load} for row in found]
    print(
        "\nfirst calls, s: "
        + ", ".join(
            f"{row['program']} {row['first_call_seconds']:.1f}"
            for row in rows
            if row["first_call_seconds"] is not None
        )
    )
    if not quick:
        path = store.RESULTS / "peers.json"
        if arguments.only and path.exists():
            rows = replaced(json.loads(path.read_text("utf-8"))["rows"], rows)
        results = {"cores_a_side": cores, "rows": rows}
        print(f"written to {store.write('peers', results)}")


if __name__ == "__main__":
    main()
