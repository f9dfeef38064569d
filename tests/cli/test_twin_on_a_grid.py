"""A twin experiment with a field, from the command line: simulate, observe, assimilate, score."""

import json

import numpy as np
import pytest
import xarray as xr
from command_line import run

pytestmark = pytest.mark.julia


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("twin")


@pytest.fixture(scope="module")
def truth(folder):
    with pytest.MonkeyPatch.context() as patch:
        assert run(
            patch, "simulate", "qg", "--parameter", "n=17", "--windows", 1, "--steps", 9,
            "--seed", 1, "-o", folder / "truth.nc", "--quiet",
        ) == 0  # fmt: skip
    return folder / "truth.nc"


@pytest.mark.parametrize("options", [["qg-tracks"], ["qg-altimetry", "--set", "passes=20"]])
def test_an_ocean_observed_along_tracks(truth, folder, options, monkeypatch, capsys):
    observations, out, scores = (folder / name for name in ("obs.nc", "out.nc", "scores.json"))
    assert run(
        monkeypatch, "observe", truth, "--preset", *options, "--variance", 0.25, "--seed", 2,
        "-o", observations,
    ) == 0  # fmt: skip
    with xr.open_dataset(observations) as ds:
        assert ds.attrs["model"] == "quasi-geostrophic"
        said = f"{ds.sizes['obs']} observations in 1 window"
    assert said in capsys.readouterr().out
    assert run(
        monkeypatch, "assimilate", observations, "--model", "qg", "--parameter", "n=17",
        "--method", "incremental", "--set", "members=0", "-o", out,
    ) == 0  # fmt: skip
    assert "data of 'psi' lie on land and are not used" in capsys.readouterr().err
    with xr.open_dataset(out) as found, xr.open_dataset(truth) as true:
        assert found["psi"].dims[-3:] == ("time", "y", "x")
        for name in ("time", "y", "x"):
            np.testing.assert_allclose(found[name], true[name])
        inside = np.s_[..., 1:-1, 1:-1]
        assert np.isnan(found["psi"].values).sum() == 9 * (17**2 - 15**2)
        psi = true["psi"].values.squeeze()[inside]
        error = np.sqrt(np.mean((found["psi"].values.squeeze()[inside] - psi) ** 2))
    assert error < 0.8 * psi.std()
    assert run(monkeypatch, "score", out, "--truth", truth, "--json", scores, "--quiet") == 0
    assert json.loads(scores.read_text())


def test_tracers_around_islands(folder, monkeypatch):
    truth, observations, out = (folder / f"{name}.nc" for name in ("tracers", "obs", "analysis"))
    own = ["--parameter", "n=8", "--parameter", "decay=0.02"]
    steps = (
        ["simulate", "advection-diffusion", *own, "--windows", 1, "--steps", 9, "-o", truth],
        ["observe", truth, "--variance", 0.01, "--every", 2, "-o", observations],
        ["assimilate", observations, "--model", "advection-diffusion", *own, "--method",
         "incremental", "--set", "covariance=0.04", "--set", "members=4", "-o", out],
        ["score", out, "--truth", truth],
    )  # fmt: skip
    for step in steps:
        assert run(monkeypatch, *step, "--quiet") == 0
    with xr.open_dataset(out) as found, xr.open_dataset(truth) as true:
        assert np.isnan(true["a"]).any()
        for name in ("a", "b"):
            missing = np.isnan(true[name].values.squeeze())
            np.testing.assert_array_equal(np.isnan(found[name].values.squeeze()), missing)
            flags = found[f"{name}_flag"].values.squeeze()
            np.testing.assert_array_equal(flags == 3, missing)
        error = float(np.sqrt(((found["a"] - true["a"]) ** 2).mean()))
    assert error < 0.14  # the background has 0.2 or more, half of the data the error 0.1
