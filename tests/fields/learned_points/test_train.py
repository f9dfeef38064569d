"""Whole trainings on passes, small: they learn or fall back, resume, and are used."""

import json

import numpy as np
import pytest
import torch
import yaml
from command_line import run
from point_networks import configuration, left_out, passes, scaled

import pyvda
from pyvda.fields.learned_points.description import read_description
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.train import train_points
from pyvda.notices import Notice

GRID = "0:400:100,0:400:100"
GROUPS = {"within_days": 20.0, "group_days": 5.0}
AS_TRAINED = {"method": "oi", "nearest": 6, "nearest_other": 2, **GROUPS}
SHORT = 0.3  # of the lengths and times of a covariance, which the pattern outlasts


def analysis(ds, **how):
    return pyvda.assimilate(ds, variable="sst", grid=GRID, engine="torch", **how)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """A file with a fifth of the passes marked, and a network that corrects a wrong covariance."""
    folder = tmp_path_factory.mktemp("wrong")
    ds = passes(count=60, each=12, steady=True)
    ds = ds.assign(out=("obs", left_out(ds).astype(np.int8)))
    ds.to_netcdf(folder / "tracks.nc")
    settings = configuration(
        folder / "tracks.nc",
        SHORT,
        {"epochs": 12, "averaging": 0.9},
        withhold="out",
        variable="sst",
        **GROUPS,
    )
    train_points(settings, folder / "run", engine="torch")
    return folder


def test_a_network_corrects_a_wrong_covariance(wrong) -> None:
    made = json.loads((wrong / "run/training.json").read_text())
    assert made["validation"]["high"] < 1
    assert made["best_epoch"] == min(made["curve"], key=lambda e: e["rmse"])["epoch"]
    described = read_description(wrong / "run")
    assert described.corrects
    assert described.scores.rmse < described.scores.first_guess
    found = pyvda.crossvalidate(
        wrong / "tracks.nc", ["oi", str(wrong / "run")], variable="sst", withhold="out",
        options={"oi": {"covariance": scaled(SHORT), "nearest": 6, "nearest_other": 2, **GROUPS}},
        engine="torch",
    )  # fmt: skip
    row = found["variables"]["sst"][str(wrong / "run")]
    assert row["compared"]["ratio"] < 0.97
    assert found["seen"] == []
    with pytest.warns(Notice, match=r"its score is too good; withhold .* \(points.withhold\)"):
        seen = pyvda.crossvalidate(
            wrong / "tracks.nc", [str(wrong / "run")], variable="sst", draws=1, engine="torch"
        )
    assert seen["seen"] == [str(wrong / "run")]


def test_it_corrects_on_a_grid_and_at_the_data_from_the_command_line(wrong, monkeypatch) -> None:
    monkeypatch.chdir(wrong)
    given = ("tracks.nc", "--variable", "sst", "--grid", GRID, "--engine", "torch")
    assert run(monkeypatch, "assimilate", *given, "--checkpoint", "run", "-o", "a.nc") == 0
    import xarray as xr

    found = xr.open_dataset("a.nc").load()
    first = analysis("tracks.nc", covariance=scaled(SHORT), **AS_TRAINED)
    for name in ("sst", "sst_point"):
        assert float(abs(found[name] - first[name]).max()) > 0.05
        np.testing.assert_allclose(found[f"{name}_stdev"], first[f"{name}_stdev"], rtol=1e-4)
    of = json.loads(found.attrs["pyvda_configuration"])["variables"]["sst"]
    assert of["checkpoint"] == read_description("run").sha256


def test_where_harm_is_not_excluded_the_estimate_is_the_interpolation(tmp_path) -> None:
    ds = passes(count=24, each=8)
    ds.to_netcdf(tmp_path / "tracks.nc")
    settings = configuration(tmp_path / "tracks.nc", 1.0, {"epochs": 1}, variable="sst", **GROUPS)
    with pytest.warns(Notice, match="harm is not excluded: the corrections are not used"):
        train_points(settings, tmp_path / "run", engine="torch")
    described = read_description(tmp_path / "run")
    assert described.scores.high >= 1
    assert not described.corrects
    one = analysis(ds, checkpoint=tmp_path / "run")
    other = analysis(ds, covariance=scaled(1.0), **AS_TRAINED)
    np.testing.assert_array_equal(one.sst, other.sst)
    np.testing.assert_array_equal(one.sst_point, other.sst_point)


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_a_resumed_training_gives_the_same_weights(tmp_path) -> None:
    passes(count=12, each=5).to_netcdf(tmp_path / "tracks.nc")
    settings = configuration(
        tmp_path / "tracks.nc", training={"epochs": 3, "averaging": 0.9}, variable="sst", draws=2
    )
    train_points(settings, tmp_path / "whole", engine="torch")

    class Stop(Exception):
        pass

    def stop(epoch) -> None:
        if epoch["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train_points(settings, tmp_path / "parts", engine="torch", report=stop)
    train_points(settings, tmp_path / "parts", resume=True, engine="torch")
    one, other = (PointModel.load(tmp_path / n).state_dict() for n in ("whole", "parts"))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_the_command_trains_on_the_section_points(tmp_path, monkeypatch, capsys) -> None:
    passes(count=12, each=5).to_netcdf(tmp_path / "tracks.nc")
    settings = configuration(tmp_path / "tracks.nc", variable="sst", training={"epochs": 1})
    path = tmp_path / "tracks.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    out = tmp_path / "run"
    assert run(monkeypatch, "train", path, "--out", out, "--engine", "torch") == 0
    assert f"--checkpoint {out}" in capsys.readouterr().out
    assert run(monkeypatch, "train", path, "--out", out, "--engine", "torch") == 2
    assert "holds a training already" in capsys.readouterr().err
