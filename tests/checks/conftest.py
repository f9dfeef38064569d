"""A file of the user's to check derivatives on."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.names import DIMENSIONS


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """A mostly unobserved series of 120 steps with errors and an arbitrary start time."""
    rng = np.random.default_rng(5)
    y = np.where(rng.random((120, 3)) < 0.2, 10 * rng.standard_normal((120, 3)) + 5, np.nan)
    y[:, 2] = np.nan
    ds = xr.Dataset(
        {
            "observation": (DIMENSIONS[1:], y),
            "observation_error": (DIMENSIONS[1:], 0.5 + rng.random((120, 3))),
        },
        {"time": 3.0 + 0.02 * np.arange(120)},
    )
    path = tmp_path_factory.mktemp("series") / "series.nc"
    pyvda.save_analysis(ds, path)
    return path
