"""DAPPER's ensemble Kalman smoother on windows of a file; benchmarks/peers.py runs it.

    .venv-peers/bin/python benchmarks/peers/enks_dapper.py SETTING OBSERVATIONS OUT

DAPPER 1.7.1 as installed (nothing to repair with numpy 2), its own models, its own EnKS("Sqrt")
with all lags. It is set for speed: no progress bar, no plots, of its statistics the mean and its
error alone, the operators of a window built before the clock starts, a process for every core with
one BLAS thread each. No rotation of the members: EnKS would apply it to the newest states and not
to the earlier ones that it goes on to smooth.

Two of its conventions are worked around. It has no observation at its first time: here its time 0
holds the members, and its first step, which leaves them as they are, leads to the window's first.
And its observation times start after one interval and never pause: `Window` gives the file's own.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ["MPLBACKEND"] = "agg"

import multiprocessing
import sys
import time
from importlib.metadata import version

import dapper.mods as modelling
import numpy as np
import xarray as xr
from dapper.da_methods import EnKS
from dapper.dpr_config import rc
from dapper.mods import Lorenz63, Lorenz96
from dapper.tools import progressbar

progressbar.disable_progbar = True
rc.liveplotting = False
rc.comps["error_only"] = True


class Window(modelling.Chronology):
    """Times of a window of K steps, observed at `observed` (1 to K)."""

    def __init__(self, time_step: float, steps: int, observed: np.ndarray):
        self._observed = observed
        super().__init__(dt=time_step, dko=1, K=steps)

    kko = property(lambda self: self._observed)
    Ko = property(lambda self: len(self._observed) - 1)


_windows: list[tuple] = []  # what the forked processes find in their memory


def prepare(setting_path: str, observations_path: str) -> None:
    """Put model, data and method of each window of the file in place."""
    setting = np.load(setting_path)
    members = setting["members"]
    step = {"lorenz63": Lorenz63.step, "lorenz96": Lorenz96.step}[str(setting["model"])]
    h = float(setting["time_step"])

    def forecast(E, t, dt):
        return E if t < h / 2 else step(E, t, dt)

    with xr.open_dataset(observations_path) as ds:
        observation = ds["observation"].values[: int(setting["windows"])]
        variance = ds.attrs["observation_error_variance"]
    _, steps, size = observation.shape
    start = modelling.RV(M=size, func=lambda count: members.copy())
    for y in observation:
        at = np.flatnonzero(np.isfinite(y).any(1))
        seen = [np.flatnonzero(np.isfinite(y[t])) for t in at]
        operators = [
            modelling.Operator(**modelling.partial_Id_Obs(size, j), noise=variance) for j in seen
        ]
        hmm = modelling.HiddenMarkovModel(
            {"M": size, "model": forecast, "noise": 0},
            {"time_dependent": operators.__getitem__},
            Window(h, steps, at + 1),
            start,
            name="window",
        )
        data = np.empty(len(at), dtype=object)
        data[:] = [y[t, j] for t, j in zip(at, seen, strict=True)]
        method = EnKS("Sqrt", N=len(members), Lag=steps, infl=float(setting["inflation"]))
        _windows.append((method, hmm, np.zeros((steps + 1, size)), data))


def smooth(window: int) -> tuple[np.ndarray, float]:
    """Return the smoothed mean (T, D) and the seconds of processor time that it took."""
    used = time.process_time()
    method, hmm, no_truth, data = _windows[window]
    method.assimilate(hmm, no_truth, data, store_u=True)  # the mean of every step, not of some
    return np.array(method.stats.mu.u[1:]), time.process_time() - used


def main() -> None:
    setting_path, observations_path, out = sys.argv[1:]
    setting = np.load(setting_path)
    prepare(setting_path, observations_path)
    seconds, core_seconds = [], []
    with multiprocessing.get_context("fork").Pool(int(setting["cores"])) as pool:
        for _ in range(int(setting["repeats"])):
            start = time.perf_counter()
            found = pool.map(smooth, range(len(_windows)), chunksize=1)
            seconds.append(time.perf_counter() - start)
            core_seconds.append(sum(used for _, used in found))
    np.savez(
        out, analysis=np.stack([x for x, _ in found]), seconds=seconds, core_seconds=core_seconds,
        version=f"dapper {version('dapper')}, numpy {version('numpy')}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
