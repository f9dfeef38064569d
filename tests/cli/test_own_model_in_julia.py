"""A twin experiment with a user's Julia file, from simulation to forecast, by commands alone."""

import json

import numpy as np
import pytest
import xarray as xr
from command_line import run
from julia_files import ROSSLER

pytestmark = pytest.mark.julia


def test_from_simulation_to_forecast(tmp_path, monkeypatch, capsys):
    names = ("rossler.jl", "truth.nc", "obs.nc", "analysis.nc", "scores.json", "forecast.nc")
    model, truth, observations, analysis, scores, forecast = (tmp_path / name for name in names)
    model.write_text(ROSSLER)
    own = ["--model", model, "--parameter", "c=6.0"]
    for command in (
        ["simulate", model, *own[2:], "--windows", 2, "--steps", 41, "--seed", 1, "-o", truth],
        ["observe", truth, "--variance", 0.01, "--every", 2, "--seed", 2, "-o", observations],
        ["assimilate", observations, *own, "--method", "gauss-newton",
         "--set", "form=statistical", "--set", "observation_variance=0.01",
         "--set", "model_error=1e-6", "-o", analysis],
        ["score", analysis, *own, "--truth", truth, "--json", scores],
        ["forecast", analysis, *own, "--steps", 3, "-o", forecast],
    ):  # fmt: skip
        assert run(monkeypatch, *command) == 0, capsys.readouterr().err
    assert 0 < json.loads(scores.read_text())["scores"]["r_score"]["mean"] < 0.01
    with xr.open_dataset(analysis) as found, xr.open_dataset(forecast) as later:
        used = json.loads(found.attrs["pyvda_configuration"])["model"]["parameters"]
        assert used == [0.2, 0.2, 6.0]
        x, ahead = (np.stack([ds[name] for name in "xyz"], -1) for ds in (found, later))
        x = x[:, -1]
    a, b, c = used

    def tendency(x):
        u, v, w = x.T
        return np.stack((-v - w, u + a * v, b + w * (u - c)), -1)

    for t in range(3):  # a Runge-Kutta step
        k1 = tendency(x)
        k2 = tendency(x + 0.025 * k1)
        k3 = tendency(x + 0.025 * k2)
        k4 = tendency(x + 0.05 * k3)
        x = x + 0.05 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        np.testing.assert_allclose(ahead[:, t], x, rtol=1e-10)
