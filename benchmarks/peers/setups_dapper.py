"""A set-up that DAPPER publishes: its data as netCDF and its methods' scores; setups.py runs it.

    .venv-peers/bin/python benchmarks/peers/setups_dapper.py SETUP SEED OUT

Truth and observations are DAPPER's own (`HMM.simulate`), its methods those that the set-up's module
suggests, with the scores that it lists. A score is the mean over the analysis times after the
burn-in of the root mean square error over components: DAPPER's rmse.a. The file has `truth` and
`observation` (time, state), NaN where nothing was observed, and the attributes `burn_in` (model
time), `observation_error_variance` and `scores` (JSON).
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ["MPLBACKEND"] = "agg"

import json
import sys
import time

import dapper as dpr
import dapper.da_methods as da
import dapper.mods as modelling
import numpy as np
import xarray as xr
from dapper.dpr_config import rc
from dapper.mods.Lorenz63 import bocquet2012, sakov2012, wiljes2017
from dapper.mods.Lorenz96 import sakov2008
from dapper.tools import progressbar

progressbar.disable_progbar = True
rc.liveplotting = False
rc.comps["error_only"] = True


# As the module has it, it cannot be simulated with DAPPER 1.7.1: an operator depends on time there.
wiljes2017.HMM.Obs = modelling.TimeDependentOperator(**wiljes2017.Obs)


def every(model: modelling.HiddenMarkovModel, interval: int, times: int):
    """Return a copy that is observed every so many steps."""
    found = model.copy()
    dt = found.tseq.dt
    found.tseq = modelling.Chronology(dt, dko=interval, Ko=times, BurnIn=8.0)
    return found


# The model, and the methods with the score that DAPPER lists for each (none: not listed).
SETUPS = {
    "lorenz63-sakov2012": (
        sakov2012.HMM,
        [("iEnKS N=10", da.iEnKS("Sqrt", N=10, infl=1.02, rot=True), 0.31),
         ("PartFilt N=800", da.PartFilt(N=800, reg=0.9, NER=0.2), 0.28)],
    ),
    "lorenz63-wiljes2017": (
        wiljes2017.HMM,
        [("EnKF-N N=30", da.EnKF_N(N=30, rot=True), 2.52),
         ("PartFilt N=35", da.PartFilt(N=35, reg=1.4, NER=0.3), 2.05),
         ("PartFilt N=2000", da.PartFilt(N=2000, reg=0.7, NER=0.1), None)],
    ),
    "lorenz63-bocquet2012": (
        bocquet2012.HMM,
        [("iEnKS N=10", da.iEnKS("Sqrt", N=10, infl=1.02, rot=True), 0.22),
         ("PartFilt N=800", da.PartFilt(N=800, reg=0.9, NER=0.2), None)],
    ),
    "lorenz96-sakov2008": (
        sakov2008.HMM,
        [("EnKF-N N=24", da.EnKF_N(N=24, rot=True), 0.21),
         ("iEnKS N=24", da.iEnKS("Sqrt", N=24, Lag=1, infl=1.02, rot=True), None)],
    ),
    "lorenz96-dto0.2": (
        every(sakov2008.HMM, 4, 500),
        [("iEnKS N=20, lag 4", da.iEnKS("Sqrt", N=20, Lag=4, xN=2), 0.31)],
    ),
    "lorenz96-dto0.4": (
        every(sakov2008.HMM, 8, 500),
        [("iEnKS N=25", da.iEnKS("Sqrt", N=25, Lag=1, xN=2, rot=True), None)],
    ),
}  # fmt: skip


def main() -> None:
    """Simulate, assimilate, save."""
    name, seed, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    model, methods = SETUPS[name]
    dpr.set_seed(seed)
    x, y = model.simulate()
    tseq = model.tseq
    scores = []
    for label, method, listed in methods:
        dpr.set_seed(seed + 1)
        began = time.process_time()
        method.assimilate(model, x, y, liveplots=False)
        seconds = time.process_time() - began
        error = np.asarray(method.stats.err.rms.a)[tseq.masko]
        row = {"method": label, "listed": listed, "rmse": float(error.mean()), "core s": seconds}
        scores.append(row)
    observed = np.full(x.shape, np.nan)
    operator = model.Obs(0)
    seen = np.flatnonzero(np.abs(operator.linear(x[0])).sum(0) > 0)
    for k, value in zip(tseq.kko, y, strict=True):
        observed[k, seen] = value
    xr.Dataset(
        {"truth": (("time", "state"), x), "observation": (("time", "state"), observed)},
        {"time": tseq.tt},
        {
            "burn_in": tseq.BurnIn,
            "observation_error_variance": float(np.diag(operator.noise.C.full)[0]),
            "scores": json.dumps(scores),
        },
    ).to_netcdf(out)


if __name__ == "__main__":
    main()
