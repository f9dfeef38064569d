"""Analyses of fields with their truth, for the tests of figures."""

import numpy as np
import xarray as xr

T, Y, X = 4, 6, 8
LAND = np.zeros((Y, X), bool)
LAND[2, 3:5] = True


def made(land=LAND, variables=("sst",), time=None, windows=1, seed=0):
    """Return an analysis (window, time, y, x) with errors, spread and a few observations."""
    rng = np.random.default_rng(seed)
    time = ("time", np.arange(4.0), {"units": "1"}) if time is None else ("time", time)
    coords = {
        "time": time,
        "lat": ("lat", 50.0 + 0.5 * np.arange(Y), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(X) * 1.0, {"units": "degrees_east"}),
    }
    dims, shape = ("window", "time", "lat", "lon"), (windows, T, Y, X)
    data, truth = {}, {}
    for k, name in enumerate(variables):
        true = np.where(land, np.nan, 10.0 * k + rng.normal(size=shape))
        found = true + 0.1 * rng.normal(size=shape)
        seen = rng.random(shape) < 0.1
        seen[:, -1] = False
        innovation = np.where(seen, 0.5, np.nan) + 0 * found
        truth[name] = (dims, true)
        data[name] = (dims, found, {"units": "K"})
        data[f"{name}_innovation"] = (dims, innovation)
        data[f"{name}_stdev"] = (
            dims,
            np.where(land, np.nan, 0.1 + 0.01 * np.arange(X)) + 0 * found,
        )
    return xr.Dataset(data, coords), xr.Dataset(truth, coords)
