"""An analysis says how it was made, and the same run gives the same bits."""

import json

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.notices import Notice
from pyvda.rerun import _variables, differences
from pyvda.settings import Settings
from tests.command_line import run

PLAIN = {"engine": "torch", "iterations": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Go to a folder with a series of observations of three components."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    values = 5 * rng.normal(size=(60, 3))
    values[1::2] = np.nan
    dims = ("time", "state")
    ds = xr.Dataset({"temp": (dims, values, {"units": "K"}), "other": (dims, values + 1)})
    ds.assign_coords(time=0.01 * np.arange(60)).to_netcdf("obs.nc")
    return tmp_path


def configuration(path):
    with xr.open_dataset(path) as ds:
        return json.loads(ds.attrs["pyvda_configuration"]), ds.attrs["history"]


COMMANDS = {
    "series": ("--window", 20, "--overlap", 5, "--block", 1, "--set", "tolerance=0.001"),
    "configuration": ("--config", "run.yaml", "--parameter", "rho=27"),
}


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_repeated_to_the_bit(folder, monkeypatch, capsys, options):
    (folder / "run.yaml").write_text("window: 30\nlambda1: 0.5\n")
    asked = (
        "assimilate", "obs.nc", "--variable", "temp", "--model", "lorenz63", "--engine", "torch",
        "--iterations", 3, *options,
    )  # fmt: skip
    assert run(monkeypatch, *asked, "-o", "a.nc") == 0
    stated, history = configuration("a.nc")
    assert stated["run"]["command"] == [*map(str, asked), "-o", "a.nc"]
    assert "pyvda assimilate obs.nc --variable temp --model lorenz63" in history
    assert set(stated["run"]["settings"]) == set(Settings.model_fields) - {"report", "state"}
    monkeypatch.chdir("/")
    assert run(monkeypatch, "rerun", folder / "a.nc", "-o", folder / "b.nc") == 0
    assert "the same bits as" in capsys.readouterr().out
    with xr.open_dataset(folder / "a.nc") as one, xr.open_dataset(folder / "b.nc") as other:
        xr.testing.assert_equal(one, other)
        assert differences(one, other) == []


CALLS = {
    "path and variable": lambda: (pyvda.open_observations("obs.nc", "temp"), {}),
    "two settings": lambda: (
        xr.open_dataset("obs.nc"), {"variable": "temp", "window": 20, "lambda1": 0.5},
    ),
    "chunks": lambda: (
        pyvda.open_observations("obs.nc", "temp", chunks={"time": 10}), {"window": 15},
    ),
    "a model with parameters": lambda: (
        xr.open_dataset("obs.nc"),
        {"variable": "temp", "model": pyvda.get_model("lorenz63", rho=27.0)},
    ),
    "numpy": lambda: (
        xr.open_dataset("obs.nc"),
        {"variable": "temp", "climatology": (np.zeros(3), np.eye(3)), "lambda2": np.float64(2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kept", [{"good_flags": "all"}, {"good_flags": "good"}])
def test_what_a_file_was_opened_with_is_repeated(folder, kept):
    with xr.open_dataset("obs.nc") as ds:
        flags = np.tile(np.array([0, 1, 0], np.int8), (ds.sizes["time"], 1))
        described = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "good bad"}
        ds["temp"].attrs["ancillary_variables"] = "temp_qc"
        ds.assign(temp_qc=(ds.temp.dims, flags, described)).to_netcdf("flags.nc")
    model = pyvda.get_model("lorenz63", rho=27.0)
    ds = pyvda.open_observations("flags.nc", "temp", model=model, **kept)
    made = pyvda.assimilate(ds, model="lorenz63", **PLAIN)
    assert differences(made, pyvda.rerun(made)) == []


def test_a_file_sets_no_other_environment_variables():
    given = {"LD_PRELOAD": "evil.so", "PYVDA_JULIA": "/tmp/evil", "PYVDA_KERNELS": "torch"}
    known = _variables({"engine": "torch", "environment": given})
    assert known == {"PYVDA_ENGINE": "torch", "PYVDA_KERNELS": "torch"}


def test_the_julia_is_that_of_now(folder, monkeypatch):
    monkeypatch.setenv("PYVDA_JULIA", "/recorded/julia")
    analysed()
    stated, _ = configuration("a.nc")
    assert "/recorded/julia" not in json.dumps(stated["run"])


def test_a_record_that_says_nothing_of_a_state_is_repeated(folder, monkeypatch):
    asked = ("assimilate", "obs.nc", "--variable", "temp", "--model", "lorenz63")
    assert run(monkeypatch, *asked, "--engine", "torch", "--iterations", 3, "-o", "a.nc") == 0
    made = xr.load_dataset("a.nc")
    stated = json.loads(made.attrs["pyvda_configuration"])
    del stated["run"]["keeps_state"]
    made.attrs["pyvda_configuration"] = json.dumps(stated)
    assert differences(made, pyvda.rerun(made)) == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_is_repeated_to_the_bit(folder, monkeypatch, call):
    observations, keywords = call()
    made = pyvda.assimilate(observations, **{"model": "lorenz63", **PLAIN, **keywords})
    pyvda.save_analysis(made, "a.nc")
    assert "pyvda assimilate" not in configuration("a.nc")[1]  # which is a command line
    monkeypatch.chdir("/")
    again = pyvda.rerun(folder / "a.nc", folder / "b.nc")
    assert differences(xr.open_dataset(folder / "a.nc"), xr.open_dataset(folder / "b.nc")) == []
    np.testing.assert_array_equal(again.analysis, made.analysis)


def analysed(**keywords):
    ds = pyvda.open_observations("obs.nc", "temp")
    pyvda.save_analysis(pyvda.assimilate(ds, model="lorenz63", **PLAIN, **keywords), "a.nc")


def test_an_input_that_changed_or_is_gone_is_refused(folder):
    analysed()
    kept = (folder / "obs.nc").read_bytes()
    (folder / "obs.nc").write_bytes(kept + b"\0")
    with pytest.raises(InputError, match=r"obs\.nc, which the run has read, changed since"):
        pyvda.rerun("a.nc")
    (folder / "obs.nc").unlink()
    with pytest.raises(InputError, match=r"cannot be found in"):
        pyvda.rerun("a.nc")
    (folder / "obs.nc").write_bytes(kept)
    pyvda.rerun("a.nc")


def test_a_folder_may_be_moved_as_a_whole_without_its_state(folder, monkeypatch, capsys):
    inner = folder / "inner"
    inner.mkdir()
    (folder / "obs.nc").rename(inner / "obs.nc")
    (inner / "run.yaml").write_text("state: descent.npz\n")
    monkeypatch.chdir(inner)
    asked = ("obs.nc", "--variable", "temp", "--model", "lorenz63", "--engine", "torch")
    more = ("--iterations", 3, "--set", "step=1", "--config", "run.yaml", "-o", "a.nc")
    assert run(monkeypatch, "assimilate", *asked, *more) == 0
    (inner / "descent.npz").unlink()
    inner.rename(folder / "moved")
    monkeypatch.chdir(folder)
    assert run(monkeypatch, "rerun", "moved/a.nc") == 0
    assert not list(folder.rglob("descent.npz"))
    assert "the same bits" in capsys.readouterr().out


def test_other_versions_are_mentioned():
    analysed()
    with xr.open_dataset("a.nc") as ds:
        found = ds.load()
    stated = json.loads(found.attrs["pyvda_configuration"])
    stated["run"]["versions"]["pyvda"] = "0.0.1"
    found.attrs["pyvda_configuration"] = json.dumps(stated)
    with pytest.warns(Notice, match=r"was made with pyvda 0\.0\.1 \(now "):
        pyvda.rerun(found)


def test_a_result_that_differs_fails(monkeypatch, capsys):
    analysed()
    with xr.open_dataset("a.nc") as ds:
        changed = ds.load().copy()
    changed["analysis"][0, 0] += 1e-12
    pyvda.save_analysis(changed, "b.nc")
    assert run(monkeypatch, "rerun", "b.nc") == 1
    assert "the result differs from b.nc in analysis;" in capsys.readouterr().err


def test_observations_in_memory_are_given_again():
    ds = pyvda.open_observations("obs.nc", "temp")
    ds.encoding = {}
    made = pyvda.assimilate(ds, model="lorenz63", **PLAIN)
    with pytest.raises(InputError, match=r"in memory; give them again in Python"):
        pyvda.rerun(made)
    assert differences(made, pyvda.rerun(made, observations=ds)) == []


def test_other_files_are_refused(monkeypatch, capsys):
    with pytest.raises(InputError, match="does not say how it was made"):
        pyvda.rerun("obs.nc")
    assert run(monkeypatch, "rerun", "obs.nc", "-o", "obs.nc") == 2
    assert "which would be lost" in capsys.readouterr().err


def test_an_input_that_was_replaced_by_the_analysis_is_named(folder, monkeypatch, capsys):
    asked = ("assimilate", "obs.nc", "--variable", "temp", "--model", "lorenz63", "--engine",
             "torch", "--iterations", 3, "-o", "obs.nc", "--overwrite")  # fmt: skip
    assert run(monkeypatch, *asked) == 0
    capsys.readouterr()
    assert run(monkeypatch, "rerun", "obs.nc") == 2
    assert "obs.nc, which the run has read, changed since" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["b.nc", "a.nc"], "table.csv", "[ab].nc"])
def test_all_files_of_a_call_are_read_again(folder, given):
    with xr.open_dataset("obs.nc") as ds:
        ds[["temp"]].isel(time=slice(30)).to_netcdf("a.nc")
        ds[["temp"]].isel(time=slice(30, None)).to_netcdf("b.nc")
        table = ds.temp.to_pandas().set_axis(["x", "y", "z"], axis=1)
        table.to_csv("table.csv")
    made = pyvda.assimilate(given, model="lorenz63", **PLAIN)
    assert made.sizes["time"] == 60
    assert differences(made, pyvda.rerun(made)) == []
    files = json.loads(made.attrs["pyvda_configuration"])["run"]["files"]
    assert len(files) == (1 if given == "table.csv" else 2)


def test_a_part_of_a_file_in_memory_is_given_again(folder):
    """Of a selection, and of files that xarray joined, the path is that of other data."""
    with xr.open_dataset("obs.nc") as ds:
        part = ds[["temp"]].isel(time=slice(40)).load()
    made = pyvda.assimilate(part, model="lorenz63", **PLAIN)
    with pytest.raises(InputError, match=r"time=40, but .*obs.nc has time=60; give the obs"):
        pyvda.rerun(made)
    assert differences(made, pyvda.rerun(made, observations=part)) == []
