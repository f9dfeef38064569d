"""DAPPER's LETKF on its quasi-geostrophic twin experiment; benchmarks/peers.py runs it.

    .venv-peers/bin/python benchmarks/peers/letkf_dapper.py SETTING OBSERVATIONS OUT

DAPPER 1.7.1 with its own Fortran model (build_ocean.sh), its own LETKF and its own batches of 2 x 2
points for the local analyses, a process for every core with one BLAS thread each. Members, radius
and inflation are the setting's. The times are those of the file, whose data are read from it: the
observed points are the same as DAPPER's own.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ["MPLBACKEND"] = "agg"

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import dapper.mods as modelling
import numpy as np
import xarray as xr
from dapper.da_methods import LETKF
from dapper.dpr_config import rc
from dapper.tools import progressbar
from dapper.tools.localization import nd_Id_localization
from pathos.multiprocessing import ProcessPool

progressbar.disable_progbar = True
rc.liveplotting = False
rc.comps["error_only"] = True


def ocean(members: np.ndarray, folder: str):
    """Return DAPPER's module of the ocean, which reads a sample of states when it is imported."""
    rc.dirs.samples = Path(folder)
    np.savez(rc.dirs.samples / "QG_samples.npz", sample=members)
    from dapper.mods import QG

    return QG


def main() -> None:
    setting_path, observations_path, out = sys.argv[1:]
    setting = np.load(setting_path)
    members, times, cores = setting["members"], int(setting["times"]), int(setting["cores"])
    with xr.open_dataset(observations_path) as ds:
        psi = ds["psi_obs"].values[:times].reshape(times, -1)
    seen = [np.flatnonzero(np.isfinite(field)) for field in psi]
    with tempfile.TemporaryDirectory() as folder:
        QG = ocean(members, folder)
        model = QG.model_config("peers", {}, mp=cores)

        def operator(k: int):
            at = seen[k]
            localizer = nd_Id_localization(QG.shape[::-1], [2, 2], at, periodic=False)
            return modelling.Operator(
                M=len(at), model=modelling.ens_compatible(lambda E: E[at]),
                noise=modelling.GaussRV(C=float(setting["variance"]) * np.eye(len(at))),
                localizer=localizer,
            )  # fmt: skip

        step = model.prms["dtout"]
        hmm = modelling.HiddenMarkovModel(
            {"M": members.shape[1], "model": model.step, "noise": 0},
            {"time_dependent": operator},
            modelling.Chronology(dt=step, dko=1, K=times),
            modelling.RV(M=members.shape[1], func=lambda count: members.copy()),
        )
        data = np.empty(times, dtype=object)
        data[:] = [field[at] for field, at in zip(psi, seen, strict=True)]
        method = LETKF(
            N=len(members), loc_rad=float(setting["radius"]), infl=float(setting["inflation"]),
            mp=cores,
        )  # fmt: skip
        begun, used = time.perf_counter(), sum(os.times()[:4])
        method.assimilate(hmm, np.zeros((times + 1, members.shape[1])), data, store_u=True)
        seconds = time.perf_counter() - begun
        # The workers of pathos's pool of this size; their time counts once they have ended.
        ProcessPool(cores).clear()
        used = sum(os.times()[:4]) - used
    np.savez(
        out, analysis=np.array(method.stats.mu.a), seconds=seconds, core_seconds=used,
        version=f"dapper {version('dapper')}, numpy {version('numpy')}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
