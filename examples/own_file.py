"""Assimilate a file that was made without pyvda, in a notebook's few lines.

python examples/own_file.py
"""

import numpy as np
import xarray as xr

import pyvda

# Six-hourly observations of the first of three components, with dates and gaps, in metres.
truth = pyvda.simulate("lorenz63", windows=4, seed=3)["truth"]
rng = np.random.default_rng(0)
level = truth + np.sqrt(2.0) * rng.standard_normal(truth.shape)
every_8_steps = truth.time.copy(data=np.arange(200) % 8 == 0)
level = level.where((truth.state == 0) & every_8_steps)
file = xr.Dataset({"level": level.assign_attrs(units="m")}).assign_coords(
    time=np.datetime64("2020-01-01", "ns") + np.arange(200) * np.timedelta64(6, "h")
)

# Dates do not say how much model time passes between two steps: time_step does.
analysis = pyvda.assimilate(file, model="lorenz63", time_step=0.01, iterations=5000)

error = (analysis["analysis"].values - truth.values) ** 2
print(analysis[["cost", "status", "iterations"]].to_dataframe())
print(f"mean squared error {error.mean():.3g}")
