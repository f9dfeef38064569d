"""The speed of the engine compared with baselines, in one run: `make bench`.

Prints one table and writes benchmarks/results/engine.json. Every line is a ratio on the same
windows, with the same float type and all cores; times are the best of several.

    FSGD        Julia against autograd descent in PyTorch (the torch engine)
    simulation  Julia against a loop over scipy.integrate.solve_ivp(method="RK45")
    peak        operations of a descent against the measured fused multiply-add peak
    memory      peak memory of a descent, in arrays of the state's size, and of a process that
                computes the posterior means of 2000 windows, including the library (Linux)
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import store
from scipy.integrate import solve_ivp

import pyvda
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.julia.start_libjulia import julia_command
from pyvda.models.registry import get_preset
from pyvda.state import windows

# preset, windows, iterations timed on Julia and on torch
CASES = (("lorenz63", 2000, 2000, 8), ("lorenz96", 256, 300, 6))


def best(f: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest of several runs, in seconds, after a warm-up."""
    f()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def kernels() -> dict[str, float]:
    """Return the machine's peak and the operations of an iteration, from kernels.jl."""
    threads = get_engine("julia").info.threads
    command = [julia_command() or "julia", f"--threads={threads}", "--startup-file=no"]
    script = Path(__file__).with_name("kernels.jl")
    out = subprocess.run([*command, str(script)], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def descent(preset: str, count: int, julia_iterations: int, torch_iterations: int) -> list[dict]:
    """Time FSGD on both engines, in both float types."""
    model = get_preset(preset).model
    truth = pyvda.simulate(preset, count, 1)
    observed = pyvda.observe(truth, preset, 2)
    batch = windows.to_batch(observed, climatology(model).mean)
    settings = CostSettings(model.time_step)
    step = 0.1 * (batch.first_guess[0].size - model.state_size)
    rows = []
    for dtype in ("float64", "float32"):
        x, y, mask = (a.astype(dtype) for a in (batch.first_guess, batch.observation, batch.mask))
        per = {}
        for name, iterations in (("julia", julia_iterations), ("torch", torch_iterations)):
            engine = get_engine(name)

            def run(engine=engine, iterations=iterations, x=x, y=y, mask=mask) -> object:
                return engine.descend(model, settings, x, y, mask, step=step, iterations=iterations)

            per[name] = best(run) / iterations / count * 1e6
        rows.append(
            {
                "case": f"FSGD {preset}, {dtype}",
                "pyvda_us": per["julia"],
                "baseline_us": per["torch"],
                "ratio": per["torch"] / per["julia"],
            }
        )
    return rows


def simulation(preset: str, rhs: Callable, count: int) -> dict:
    """Time the simulation of some windows of 20 time units, at the same tolerance."""
    model = get_preset(preset).model
    rng = np.random.default_rng(0)
    start = 5.0 + rng.standard_normal((count, model.state_size))
    steps = round(20.0 / model.time_step)
    times = np.arange(steps) * model.time_step
    engine = get_engine("julia")
    many = np.repeat(start, 16, 0)
    ours = best(lambda: engine.simulate(model, many, time_step=model.time_step, steps=steps))
    ours /= 16

    def loop() -> None:
        for x in start:
            solve_ivp(rhs, (0, times[-1]), x, method="RK45", t_eval=times, rtol=1e-9, atol=1e-9)

    theirs = best(loop, repeats=1)
    return {
        "case": f"simulation {preset}, rtol 1e-9",
        "pyvda_us": ours / count * 1e6,
        "baseline_us": theirs / count * 1e6,
        "ratio": theirs / ours,
    }


def memory() -> dict:
    """Measure the peak memory of a descent of 40 000 windows, in a separate process."""
    script = """
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model

def kib(field):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[field].split()[0])

engine, model = get_engine("julia"), get_model("lorenz63")
def run(x, y, mask):
    return engine.descend(model, CostSettings(0.01), x, y, mask, step=60.0, iterations=2, out=x)

x = np.random.default_rng(0).standard_normal((40_000, 200, 3))
y, mask = np.ones_like(x), np.zeros_like(x)
mask[:, ::8, 0] = 1
run(x[:64], y[:64], mask[:64])
without = kib("VmRSS") - 3 * x.nbytes / 1024
open("/proc/self/clear_refs", "w").write("5")   # the peak counts from here
run(x, y, mask)
print((kib("VmHWM") - without) * 1024 / x.nbytes, kib("VmHWM") / 1024)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    arrays, peak = out.stdout.split()
    return {"arrays_of_the_states_size": float(arrays), "peak_rss_mib": float(peak)}


def posterior_mean() -> dict:
    """Time the posterior means of 2000 windows in a separate process, with its peak memory."""
    script = """
import resource, time
import pyvda

observed = pyvda.observe(pyvda.simulate("lorenz63", 2000, 1), "lorenz63", 2)
start = time.perf_counter()
pyvda.assimilate(observed, model="lorenz63", method="posterior-mean")
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, peak = out.stdout.split()
    return {"first_call_s": float(seconds), "peak_rss_mib": float(peak)}


def lorenz63_rhs(_: float, x: np.ndarray) -> list[float]:
    """Return eq. (15) as a user of SciPy would write it."""
    return [10.0 * (x[1] - x[0]), x[0] * (28.0 - x[2]) - x[1], x[0] * x[1] - 8.0 / 3.0 * x[2]]


def lorenz96_rhs(_: float, x: np.ndarray) -> np.ndarray:
    """Return eq. (16) as a user of SciPy would write it."""
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0


def main() -> None:
    """Run everything, print the table, write the JSON."""
    print(f"{get_engine('julia').info}; {store.machine()['vector_instructions']}\n")
    rows = [row for case in CASES for row in descent(*case)]
    rows.append(simulation("lorenz63", lorenz63_rhs, 4))
    rows.append(simulation("lorenz96", lorenz96_rhs, 4))
    counted = kernels()
    for row in rows[:3:2]:
        flops = counted[row["case"].split()[1].rstrip(",")] / row["pyvda_us"] * 1e6
        row["share_of_fma_peak"] = flops / counted["fma_peak"]
    print("| case | pyvda, µs | baseline, µs | ratio | share of the FMA peak |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        share = f"{row['share_of_fma_peak']:.0%}" if "share_of_fma_peak" in row else ""
        print(
            f"| {row['case']} | {row['pyvda_us']:.3g} | {row['baseline_us']:.3g} | "
            f"{row['ratio']:.0f} | {share} |"
        )
    used = memory()
    print(
        f"\nFSGD holds {used['arrays_of_the_states_size']:.2f} arrays of the state's size "
        f"(x, y and mask are 3); peak RSS {used['peak_rss_mib']:.0f} MiB"
    )
    limit = posterior_mean()
    print(
        f"posterior mean of 2000 lorenz63 windows: {limit['first_call_s']:.1f} s with compilation "
        f"and library, peak RSS {limit['peak_rss_mib']:.0f} MiB"
    )
    print(f"FMA peak {counted['fma_peak'] / 1e9:.1f} Gflop/s in float64, all threads")
    results = {"rows": rows, "kernels": counted, "memory": used, "posterior_mean": limit}
    print(f"written to {store.write('engine', results)}")


if __name__ == "__main__":
    main()
