"""Costs of the quasi-geostrophic ocean: time of its steps, gradients beside JAX, memory, growth.

The parts of benchmarks/qg.py that measure no scores. Times are medians of the processor time of one
thread, which other work on the machine disturbs less than it does the time of day.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.interface import Engine
from pyvda.models.model import Model

MODEL, STEP, N = "qg", 5.0, 129
PEERS = Path(__file__).parents[1] / ".venv-peers/bin/python"
CACHED = 1 << 30  # bytes: all linearisations of a short run


def problem(n: int, steps: int) -> tuple[Engine, Model, CostSettings, np.ndarray]:
    """Return the engine, the model and a trajectory (1, steps, n²) of smooth states."""
    engine, model, cost = get_engine("julia"), pyvda.get_model(MODEL, n=n), CostSettings(STEP)
    y, x = np.meshgrid(*(np.pi * np.arange(n) / (n - 1),) * 2, indexing="ij")
    start = sum(
        np.sin(k * y) * np.sin(m * x) * a
        for k, m, a in ((1, 1, -15.0), (2, 3, 6.0), (5, 4, 3.0), (11, 9, 1.0))
    )
    start = np.asarray(start).reshape(1, -1)
    start[:, ~np.asarray(model.sea)] = 0.0
    return engine, model, cost, engine.run(model, cost, start, steps)


def median(call: Callable[[], Any], repeats: int = 7) -> float:
    """Return the median of seconds of processor time, after a call that is not counted."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return float(np.median(taken))


def of_runs(n: int, steps: int, repeats: int = 7) -> dict[str, float]:
    """Return milliseconds an output of a run, its tangent linear and its adjoint."""
    engine, model, cost, x = problem(n, steps + 1)
    v = np.random.default_rng(0).normal(size=x.shape)
    small = itertools.count(1e-9, 1e-9)
    calls = {
        # From another state each time: a run about which the model is linearised costs nothing.
        "forward": lambda: engine.run(model, cost, x[:, 0] * (1 + next(small)), steps + 1),
        "tangent": lambda: engine.tangent_run(model, cost, x, v[:, 0], CACHED),
        "adjoint": lambda: engine.adjoint_run(model, cost, x, v, CACHED),
    }
    return {name: 1e3 * median(call, repeats) / steps for name, call in calls.items()}


def speed() -> dict[str, Any]:
    """Time the steps beside a matrix product of NumPy and DAPPER's Fortran, on one core.

    The time of the solver's products at the speed of NumPy's, over that of a whole output, is the
    least share of that speed at which they run.
    """
    found: dict[str, Any] = {f"{name}_ms": round(ms, 3) for name, ms in of_runs(N, 20).items()}
    a = np.random.default_rng(0).normal(size=(1024, 1024))
    peak = 2 * 1024**3 / median(lambda: a @ a) / 1e9
    # Of 16 solves by products with sines in place of fast transforms: 127 rows, folded by parity to
    # 64 x 64 and 63 x 63, to modes and back.
    flops = 16 * 2 * 2 * 127 * (64**2 + 63**2)
    found["gemm_peak_gflops"] = round(peak, 1)
    alone = 1e3 * flops / (peak * 1e9)
    found["products_alone_at_peak_ms"] = round(alone, 3)
    found["least_share_of_peak"] = round(alone / found["forward_ms"], 3)
    return found | _fortran(found["forward_ms"])


def _fortran(forward_ms: float) -> dict[str, Any]:
    """Time an output of DAPPER's model, where `make bench-peers` built it."""
    if not list(PEERS.parents[1].glob("lib/python*/site-packages/dapper/mods/QG/f90/py_mod*.so")):
        return {"skipped": "DAPPER's Fortran is not built; see benchmarks/peers/build_ocean.sh"}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "state.npy", problem(N, 2)[3][0, 0].reshape(N, N))
        script = Path(__file__).parent / "peers/ocean_dapper.py"
        ran = subprocess.run(
            [str(PEERS), str(script), str(Path(folder) / "state.npy"), "40"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ran.returncode:
        raise SystemExit(f"ocean_dapper.py failed:\n{ran.stderr}")
    theirs = json.loads(ran.stdout.splitlines()[-1])
    return {
        "fortran_ms": round(theirs["ms"], 2), "fortran": theirs["version"],
        "fortran_over_forward": round(theirs["ms"] / forward_ms, 1),
    }  # fmt: skip


def gradient() -> dict[str, Any]:
    """Time the gradient of a cost over 20 outputs, beside JAX in the same process, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # JAX has no option for its threads
    try:
        return _beside_jax()
    finally:
        os.sched_setaffinity(0, cores)


def _beside_jax() -> dict[str, Any]:
    try:
        import jax
    except ImportError:
        return {"skipped": "jax is not installed; pip install jax"}
    import jax.numpy as jnp

    steps = 20
    engine, model, cost, x = problem(N, steps + 1)
    rng = np.random.default_rng(1)
    seen = rng.random(x.shape) < 0.02
    y = x + rng.normal(size=x.shape)
    start = x[:, 0] + 0.1 * rng.normal(size=x[:, 0].shape) * np.asarray(model.sea)

    def ours() -> tuple[float, np.ndarray]:
        run = engine.run(model, cost, start, steps + 1)
        force = seen * (run - y)
        back = engine.adjoint_run(model, cost, run, force, CACHED)
        return 0.5 * float((force**2).sum()), back[0, 0]

    jax.config.update("jax_enable_x64", True)
    step = jax_step(jnp, jax, dict(model.fields))

    def J(psi: Any) -> Any:
        def one(psi: Any, data: Any) -> Any:
            later = step(psi)
            seen, y = data
            return later, 0.5 * ((seen * (later - y)) ** 2).sum()

        data = (seen[0].reshape(-1, N, N), y[0].reshape(-1, N, N))
        first = 0.5 * ((data[0][0] * (psi - data[1][0])) ** 2).sum()
        return first + jax.lax.scan(one, psi, (data[0][1:], data[1][1:]))[1].sum()

    theirs = jax.jit(jax.value_and_grad(J))
    psi = jnp.asarray(start.reshape(N, N))
    value, g = theirs(psi)
    inside = np.asarray(model.sea)
    mine = ours()
    difference = np.abs(np.asarray(g).ravel() - mine[1])[inside].max() / np.abs(mine[1]).max()
    if difference > 1e-8 or abs(float(value) - mine[0]) > 1e-9 * mine[0]:
        raise SystemExit(f"the gradients differ by {difference:.1e}, expected the same")
    ours_s, jax_s = median(ours), median(lambda: jax.block_until_ready(theirs(psi)))
    return {
        "ours_ms": round(1e3 * ours_s, 1), "jax_ms": round(1e3 * jax_s, 1),
        "ratio": round(jax_s / ours_s, 2), "difference": float(f"{difference:.1e}"),
        "jax": jax.__version__,
    }  # fmt: skip


def jax_step(jnp: Any, jax: Any, fields: dict[str, Any]) -> Callable[[Any], Any]:
    """Return an output of four Runge-Kutta steps of fields (N, N), with products as the solver."""
    F, r, kappa = (fields[name] for name in ("F", "r", "kappa"))
    m, h = N - 1, STEP / 4
    k = np.arange(1, m)
    sines = jnp.asarray(np.sqrt(2 / m) * np.sin(np.pi / m * np.outer(k, k)))
    eigenvalues = -((2 * m * np.sin(np.pi * k / (2 * m))) ** 2)
    inverse = jnp.asarray(1 / (eigenvalues[:, None] + eigenvalues - F))
    wind = jnp.asarray(2 * np.pi * np.sin(2 * np.pi * k / m)[:, None])

    def at(f: Any, y: int, x: int) -> Any:
        return f[1 + y : N - 1 + y, 1 + x : N - 1 + x]

    def laplacian(f: Any) -> Any:
        around = at(f, 1, 0) + at(f, -1, 0) + at(f, 0, 1) + at(f, 0, -1)
        return jnp.pad(m**2 * (around - 4 * at(f, 0, 0)), 1)

    def jacobian(a: Any, b: Any) -> Any:
        plus = (at(a, 0, 1) - at(a, 0, -1)) * (at(b, 1, 0) - at(b, -1, 0)) - (
            at(a, 1, 0) - at(a, -1, 0)
        ) * (at(b, 0, 1) - at(b, 0, -1))
        outer = (
            at(a, 0, 1) * (at(b, 1, 1) - at(b, -1, 1))
            - at(a, 0, -1) * (at(b, 1, -1) - at(b, -1, -1))
            - at(a, 1, 0) * (at(b, 1, 1) - at(b, 1, -1))
            + at(a, -1, 0) * (at(b, -1, 1) - at(b, -1, -1))
        )
        corners = (
            at(a, 1, 1) * (at(b, 1, 0) - at(b, 0, 1))
            - at(a, -1, -1) * (at(b, 0, -1) - at(b, -1, 0))
            - at(a, 1, -1) * (at(b, 0, -1) * -1 + at(b, 1, 0))
            + at(a, -1, 1) * (at(b, 0, 1) - at(b, -1, 0))
        )
        return m**2 / 12 * (plus + outer + corners)

    def rate(psi: Any) -> Any:
        z = laplacian(psi)
        slope = 0.5 * m * (at(psi, 0, 1) - at(psi, 0, -1))
        friction = at(laplacian(laplacian(z)), 0, 0)
        f = -r * jacobian(psi, z - F * psi) - slope - kappa * friction - wind
        return jnp.pad(sines @ ((sines @ f @ sines) * inverse) @ sines, 1)

    def one(psi: Any, _: Any) -> Any:
        k1 = rate(psi)
        k2 = rate(psi + h / 2 * k1)
        k3 = rate(psi + h / 2 * k2)
        k4 = rate(psi + h * k3)
        return psi + h / 6 * (k1 + 2 * (k2 + k3) + k4), None

    return lambda psi: jax.lax.scan(one, psi, None, length=4)[0]


MEMORY = """
import json, pathlib, sys
import numpy as np
sys.path.insert(0, "benchmarks")
import pyvda, qg, qg_cost, xarray as xr
kind, n, times, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
of_kind = {
    "incremental": {"members": 0, "iterations": 1, "inner_iterations": 3, "memory": memory},
    "letkf": {"members": 45, "radius": 6.0, "final_ensemble": True},
}
given, folder = of_kind[kind.split()[0]], pathlib.Path(sys.argv[5])
def peak():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
rng = np.random.default_rng(0)
def ds(n, times):
    psi = np.full((times, n, n), np.nan)
    psi[:, 5::12, 5::12] = rng.normal(size=psi[:, 5::12, 5::12].shape)
    data = xr.Dataset({"psi": (("time", "y", "x"), psi)}, {"time": 5.0 * np.arange(times)})
    if not kind.endswith("cycle"):
        return data
    data.to_netcdf(folder / f"{n}.nc", encoding={"psi": {"chunksizes": (20, n, n)}})
    given.update(cycle=20, state=folder / f"{n}.cycle")
    return xr.open_dataset(folder / f"{n}.nc", chunks={"time": 20})  # as on the command line
def analysed(data):
    n = data.sizes["x"]
    found = pyvda.assimilate(
        data, model=pyvda.get_model(qg_cost.MODEL, n=n), method=kind.split()[0],
        covariance=qg.flat_covariance(n), background=np.zeros(n * n), observation_variance=4.0,
        **given)
    if kind.endswith("cycle"):
        pyvda.save_analysis(found, folder / "analysis.nc")
    return found
analysed(ds(17, 41))  # what the first analysis of a process loads
data = ds(n, times)
open("/proc/self/clear_refs", "w").write("5")
before = peak()
found = analysed(data)
cost = found.objective.values.ravel()[0] if "objective" in found else np.nan
print(json.dumps({"gib": peak() - before,
                  "objective": None if np.isnan(cost) else float(cost)}))
"""


def memory() -> dict[str, Any]:
    """Measure the peak of memory of windows, beside what the process had before it.

    Of `letkf`, which has no limit, beside the size of its 45 members.
    """
    return _peaks(
        {
            "129, memory 0.15": ("incremental", 129, 40, 0.15),
            "129, memory 1.0": ("incremental", 129, 40, 1.0),
            "513, memory 1.7": ("incremental", 513, 40, 1.7),
            "129, letkf": ("letkf", 129, 40, 0.0),
        }
    )


def cycles() -> dict[str, Any]:
    """Measure the peak of memory of cycles over a file, written to a file."""
    return _peaks(
        {
            f"129, cycle of {windows} windows, memory 0.15": (
                "incremental cycle", 129, 20 * windows + 1, 0.15,
            )
            for windows in (8, 16, 32)
        }
    )  # fmt: skip


def _peaks(cases: dict[str, tuple[str, int, int, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (kind, n, times, limit) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, kind, str(n), str(times), str(limit), folder],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr.strip().splitlines()[-1])
        one = json.loads(done.stdout.splitlines()[-1])
        sizes = {"states_of_the_window_gib": round(8 * times * n**2 / 2**30, 3)}
        if kind.startswith("letkf"):
            sizes["members_gib"] = round(8 * 45 * n**2 / 2**30, 4)
        found[name] = {
            "peak_gib": round(one["gib"], 3), **sizes, "objective": one["objective"],
        }  # fmt: skip
    return found


CORES = """
import json, sys, time
import numpy as np
sys.path.insert(0, "benchmarks")
import qg_cost
engine, model, cost, x = qg_cost.problem(qg_cost.N, 2)
members = x[0, 0] * np.linspace(0.9, 1.1, 16)[:, None]
engine.run(model, cost, members, 3)
taken = []
for _ in range(5):
    began = time.perf_counter()
    engine.run(model, cost, members, 11)
    taken.append(time.perf_counter() - began)
print(json.dumps([min(taken), engine.info.threads]))
"""


def cores() -> dict[str, Any]:
    """Time runs of 16 members over 10 outputs with one thread and with two, by the clock."""
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    for threads in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", CORES], capture_output=True, text=True, check=False,
            env={**os.environ, "PYVDA_THREADS": str(threads), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr.strip().splitlines()[-1])
        seconds, used = json.loads(done.stdout.splitlines()[-1])
        if used != threads:
            raise SystemExit(f"{threads} threads were asked for, {used} ran")
        found[f"{threads}_threads_ms"] = round(1e3 * seconds / 160, 3)
    found["ratio"] = round(found["1_threads_ms"] / found["2_threads_ms"], 2)
    return found


def growth() -> dict[str, Any]:
    """Time an output on grids of 65 to 513 points, per Runge-Kutta step, unknown and log N."""
    found: dict[str, Any] = {}
    for n, steps in ((65, 40), (129, 20), (257, 6), (513, 3)):
        number = 4 * max(1, (n - 1) // 128)
        found[str(n)] = {"runge_kutta_steps": number}
        for name, ms in of_runs(n, steps, repeats=5).items():
            each = 1e6 * ms / number / n**2 / np.log2(n**2)
            found[str(n)][name] = {
                "ms": round(ms, 3), "ns_per_step_unknown_and_log": round(each, 3),
            }  # fmt: skip
    return found


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "speed": speed,
    "gradient": gradient,
    "memory": memory,
    "cycles": cycles,
    "cores": cores,
    "growth": growth,
}
