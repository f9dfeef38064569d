import dapper as dpr
import dapper.mods as modelling
import numpy as np
import xarray as xr
from dapper.da_methods import EnKS
from dapper.mods import Lorenz63

with xr.open_dataset("case.nc") as case:
    background, y = case["background"].values, case["y"].values[1:]

tseq = modelling.Chronology(dt=0.01, dko=8, Ko=len(y) - 1)
first = modelling.GaussRV(mu=background, C=1.0, M=3)
observed = modelling.partial_Id_Obs(3, [0])
observed["noise"] = 2.0
dynamics = {"M": 3, "model": Lorenz63.step, "noise": 0}
HMM = modelling.HiddenMarkovModel(dynamics, observed, tseq, first)

dpr.set_seed(1)
no_truth = np.zeros((tseq.K + 1, 3))  # only for statistics
smoother = EnKS("Sqrt", N=100, Lag=len(y), infl=1.0)
smoother.assimilate(HMM, no_truth, y[:, None], store_u=True)
print(smoother.stats.mu.u[1].tolist())
