"""Outputs of windows that are arrays get the dimensions and coordinates that they need."""

import numpy as np
import xarray as xr

from pyvda.io.writing.optional_outputs import labelled, separated
from pyvda.models.registry import get_model


def test_arrays_are_told_from_one_value_a_window() -> None:
    given = {"objective": np.ones(2), "final_covariance": np.ones((2, 3, 3)),
             "parameter_analysis": np.ones((2, 3))}  # fmt: skip
    values, arrays = separated(given)
    assert set(values) == {"objective"}
    assert set(arrays) == {"final_covariance", "parameter_analysis"}


def test_they_are_labelled() -> None:
    analysis = xr.Dataset(
        {"analysis": (("window", "time", "state"), np.zeros((2, 4, 3)), {"units": "K"})}
    )
    arrays = {"final_covariance": np.ones((2, 3, 3)), "parameter_analysis": np.full((2, 3), 7)}
    found = labelled(analysis.copy(), get_model("lorenz63"), arrays)
    assert found["final_covariance"].dims == ("window", "state1", "state2")
    assert found["final_covariance"].attrs["units"] == "(K)2"
    assert found["parameter"].values.tolist() == ["sigma", "rho", "beta"]
    assert found["parameter_analysis"].dtype == float
    without = labelled(analysis.copy(), get_model("lorenz63"), {})
    assert set(without.variables) == {"analysis"}
