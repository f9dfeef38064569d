import numpy as np
import xarray as xr
from adao import adaoBuilder


def lorenz63(state):
    x, y, z = state
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def to_the_next_observation(state, h=0.01):
    state = np.ravel(state)
    for _ in range(8):
        k1 = lorenz63(state)
        k2 = lorenz63(state + h / 2 * k1)
        k3 = lorenz63(state + h / 2 * k2)
        k4 = lorenz63(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


with xr.open_dataset("case.nc") as case:
    background, y = case["background"].values, case["y"].values

case = adaoBuilder.New()
case.set(
    "AlgorithmParameters",
    Algorithm="4DVAR",
    Parameters={"MaximumNumberOfIterations": 100, "CostDecrementTolerance": 1e-9},
)
case.set("Background", Vector=background)
case.set("BackgroundError", ScalarSparseMatrix=1.0)
case.set("Observation", VectorSerie=[[value] for value in y])
case.set("ObservationError", ScalarSparseMatrix=2.0)
case.set("ObservationOperator", Matrix=[[1, 0, 0]])
case.set(
    "EvolutionModel",
    OneFunction=to_the_next_observation,
    Parameters={"DifferentialIncrement": 1e-6},
)
case.execute()
print(case.get("Analysis")[-1].tolist())
