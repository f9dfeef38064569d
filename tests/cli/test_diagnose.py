"""`pyvda diagnose`, from a file of an analysis to a text, JSON and a figure."""

import json

import numpy as np
import pytest
import xarray as xr

import pyvda
from tests.command_line import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write an analysis whose observations have a third of their stated errors."""
    monkeypatch.chdir(tmp_path)
    truth = pyvda.simulate("lorenz63", 16, 3, steps=60)
    observed = pyvda.observe(truth, "lorenz63", 4, every=2, variance=0.2)
    observed.attrs["observation_error_variance"] = 2.0
    pyvda.save_analysis(observed, "obs.nc")
    return tmp_path


def test_diagnosis_is_printed_and_written(folder, monkeypatch, capsys):
    with_errors = ("--method", "gauss-newton", "--set", "form=statistical")
    arguments = ("obs.nc", *with_errors, "-o", "a.nc", "--json", "at_once.json")
    assert run(monkeypatch, "assimilate", *arguments) == 0
    assert "overstated" in capsys.readouterr().out
    assert run(monkeypatch, "diagnose", "a.nc", "--json", "r.json", "-o", "d.png") == 0
    printed = capsys.readouterr().out
    report = json.loads((folder / "r.json").read_text())
    assert json.loads((folder / "at_once.json").read_text()) == report
    with xr.open_dataset("a.nc") as analysis:
        assert report["status"] == {"doubtful": 16}
        assert report["doubts"]["whole_file"] == 16
        assert report["fit"]["mean"] == pytest.approx(float(np.mean(analysis["fit"])), rel=0.2)
        assert analysis.attrs["pyvda_report"] in printed
    assert "overstated" in report["findings"][0]
    assert (folder / "d.png").stat().st_size > 10_000


def test_a_report_that_cannot_be_is_refused(folder, monkeypatch, capsys):
    assert run(monkeypatch, "assimilate", "obs.nc", "-o", "a.nc", "--json", "obs.nc") == 2
    arguments = ("obs.nc", "--method", "oi", "-o", "a.nc", "--json", "r.json")
    assert run(monkeypatch, "assimilate", *arguments) == 2
    assert "--json would have no effect" in capsys.readouterr().err


def test_other_files_are_refused(folder, monkeypatch, capsys):
    assert run(monkeypatch, "diagnose", "obs.nc") == 2
    assert "assimilate the observations again" in capsys.readouterr().err
    assert run(monkeypatch, "diagnose", "obs.nc", "-o", "obs.nc") == 2
