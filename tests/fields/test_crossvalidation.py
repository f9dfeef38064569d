import json

import pytest
from command_line import run
from gappy import as_mapping, field

import pyvda
from pyvda.errors import InputError
from pyvda.fields.crossvalidation import crossvalidate

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def test_oi_beats_a_single_mode_on_its_own_covariance() -> None:
    ds, _ = field(times=12, seed=8)
    options = {"oi": {"covariance": as_mapping(), "nearest": 3}, "eof": {"modes": 1}}
    found = crossvalidate(ds, draws=2, times=4, seed=1, options=options, engine="torch")
    rows = found["variables"]["sst"]
    assert rows["oi"]["rmse"] < rows["eof"]["rmse"]
    assert rows["eof"]["compared"]["ratio"] > 1
    assert rows["oi"]["count"] == sum(d["count"] for d in rows["oi"]["by_draw"])
    assert rows["oi"]["count"] == sum(d["count"] for d in rows["oi"]["by_distance"])
    assert found == crossvalidate(ds, draws=2, times=4, seed=1, options=options, engine="torch")


def test_the_command_writes_table_json_and_figure(tmp_path, monkeypatch, capsys) -> None:
    field(times=8)[0].to_netcdf(tmp_path / "sst.nc")
    monkeypatch.chdir(tmp_path)
    arguments = ["crossvalidate", "sst.nc", "--method", "eof", "--set", "eof.modes=1", "--draws", 1,
                 "--times", 3, "--json", "s.json", "-o", "s.png", "--engine", "torch"]  # fmt: skip
    assert run(monkeypatch, *arguments) == 0
    assert "RMSE" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["variables"]["sst"]["eof"]["rmse"] > 0
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_methods_with_a_model_are_refused() -> None:
    with pytest.raises(InputError, match="fsgd is no method for fields"):
        pyvda.crossvalidate(field()[0], ["fsgd"])
