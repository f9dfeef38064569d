"""What commands refuse to write to, before any work, and what they say when nothing was found."""

import os
import shutil

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.names import Status
from tests.command_line import run

WITH = ("--model", "lorenz63", "--engine", "torch", "--iterations", 2, "--set", "step=1.0")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write a truth, observations, and links to them; go to their folder."""
    monkeypatch.chdir(tmp_path)
    values = 10 * np.random.default_rng(0).normal(size=(2, 20, 3))
    truth = xr.Dataset({"truth": (("window", "time", "state"), values)})
    truth = truth.assign_coords(time=0.01 * np.arange(20))
    pyvda.save_analysis(truth, "truth.nc")
    observed = pyvda.observe(truth, "lorenz63", 2)
    pyvda.save_analysis(observed, "obs.nc")
    pyvda.save_analysis(observed, "obs.zarr")
    os.symlink("obs.nc", "soft.nc")
    os.link("obs.nc", "hard.nc")
    os.symlink("obs.zarr", "soft.zarr")
    return tmp_path


@pytest.mark.parametrize("output", ["obs.nc", "soft.nc", "hard.nc", "./obs.nc", "truth.nc"])
def test_assimilate_does_not_replace_its_inputs(folder, monkeypatch, capsys, output):
    before = {name: (folder / name).read_bytes() for name in ("obs.nc", "truth.nc")}
    arguments = ("assimilate", "obs.nc", *WITH, "--truth", "truth.nc", "-o", output)
    assert run(monkeypatch, *arguments) == 2
    assert (
        "which would be lost; choose another name, or pass --overwrite" in capsys.readouterr().err
    )
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert run(monkeypatch, *arguments, "--overwrite") == 0
    with xr.open_dataset(output) as found:
        assert "analysis" in found


@pytest.mark.parametrize("output", ["obs.zarr", "soft.zarr", "obs.zarr/inside.nc"])
def test_assimilate_does_not_write_into_a_store_that_it_reads(folder, monkeypatch, capsys, output):
    assert run(monkeypatch, "assimilate", "obs.zarr", *WITH, "-o", output) == 2
    assert "which would be lost" in capsys.readouterr().err
    with xr.open_dataset("obs.zarr", engine="zarr") as found:
        assert "observation" in found


def test_other_commands_do_not_replace_their_inputs(folder, monkeypatch, capsys):
    assert run(monkeypatch, "observe", "truth.nc", "--preset", "lorenz63", "-o", "truth.nc") == 2
    assert run(monkeypatch, "assimilate", "obs.nc", *WITH, "-o", "a.nc") == 0
    assert run(monkeypatch, "forecast", "a.nc", "--steps", 2, "-o", "a.nc") == 2
    assert run(monkeypatch, "plot", "a.nc", "-o", "a.nc") == 2
    assert run(monkeypatch, "score", "a.nc", "--truth", "truth.nc", "--json", "truth.nc") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert sum(line.endswith("or pass --overwrite") for line in said) >= 2
    with xr.open_dataset("truth.nc") as found:
        assert "truth" in found


@pytest.mark.parametrize("name", ["a.csv", "a.nc.gz", "missing/a.nc"])
def test_names_that_do_not_fit_are_refused_before_the_work(folder, monkeypatch, capsys, name):
    for arguments in (
        ("assimilate", "obs.nc", *WITH), ("observe", "truth.nc", "--preset", "lorenz63"),
        ("simulate", "lorenz63"),
    ):  # fmt: skip
        assert run(monkeypatch, *arguments, "-o", name) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"pyvda: cannot write {name}: ")
        assert said.count("\n") == 1


def test_an_attribute_that_cannot_be_written_is_refused_before_the_work(
    folder, monkeypatch, capsys
):
    def too_late(*_, **__):
        raise AssertionError("the work was begun")

    opened = pyvda.io.netcdf.open_observations

    def with_object(*arguments, **keywords):
        return opened(*arguments, **keywords).assign_attrs(made_by=object())

    monkeypatch.setattr(pyvda.io.netcdf, "open_observations", with_object)
    monkeypatch.setattr("pyvda.methods.fsgd.solve", too_late, raising=False)
    assert run(monkeypatch, "assimilate", "obs.nc", *WITH, "-o", "a.nc") == 2
    assert "the attribute made_by is" in capsys.readouterr().err


@pytest.mark.parametrize("quiet", [(), ("-q",)])
@pytest.mark.parametrize(
    ("change", "step"), [(1.0, 3600.0), (1e300, 0.01)], ids=["time step", "huge data"]
)
def test_a_run_in_which_every_window_diverged_fails(
    folder, monkeypatch, capsys, quiet, change, step
):
    with xr.open_dataset("obs.nc") as ds:
        pyvda.save_analysis(ds.load() * change, "bad.nc")
    arguments = ("assimilate", "bad.nc", *WITH, "--time-step", step, "-o", "a.nc", *quiet)
    assert run(monkeypatch, *arguments) == 1
    said = capsys.readouterr()
    assert "every window (2) diverged" in said.err
    assert "--time-step" in said.err
    assert "0.01" in said.err
    assert bool(said.out) != bool(quiet)
    with xr.open_dataset("a.nc") as found:
        assert (found.status == Status.DIVERGED).all()


def test_a_truth_that_no_disk_holds_is_refused_before_the_simulation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def simulate(*_, **__):
        pytest.fail("simulated before the space was looked at")

    monkeypatch.setattr("pyvda.twin.simulate", simulate)
    line = ("simulate", "lorenz96", "--windows", 10**14, "--steps", 100, "-o", "truth.nc")
    assert run(monkeypatch, *line) == 2
    said = capsys.readouterr().err
    # 40 components of 8 bytes, of which compression saves half at most
    needed = 10**14 * 100 * 40 * 8 / 2 / 1e6
    assert "no space left writing truth.nc; free space or choose another folder" in said
    assert f"(at least {needed:.0f} MB are needed" in said


def test_observations_that_do_not_fit_are_refused_before_writing(folder, monkeypatch, capsys):
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    line = ("observe", "truth.nc", "--variance", 1, "--every", 1, "-o", "new.nc")
    assert run(monkeypatch, *line) == 2
    assert "no space left writing new.nc" in capsys.readouterr().err
    assert not (folder / "new.nc").exists()


def test_a_tilde_is_resolved_where_no_shell_did(folder, monkeypatch):
    (folder / "home").mkdir()
    monkeypatch.setenv(
        "XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    )
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert run(monkeypatch, "assimilate", "obs.nc", *WITH, "-o", "~/a.nc") == 0
    assert (folder / "home" / "a.nc").is_file()
    assert not (folder / "~").exists()


def test_a_refusal_is_one_sentence_and_a_result_has_the_notices(folder, monkeypatch, capsys):
    """What is said of a file before it is refused would be a second line."""
    with xr.open_dataset("obs.nc") as ds:
        turned = ds.load().isel(time=slice(None, None, -1))
    turned.to_netcdf("turned.nc")
    assert run(monkeypatch, "assimilate", "turned.nc", *WITH, "-o", "a.nc") == 0
    assert "pyvda: time decreases along the file" in capsys.readouterr().err
    turned.isel(time=[0, 1, 1, 2, 3]).to_netcdf("twice.nc")
    assert run(monkeypatch, "assimilate", "twice.nc", *WITH, "-o", "a.nc") == 2
    said = capsys.readouterr().err.strip()
    assert "occurs twice" in said
    assert "\n" not in said
