import json

import numpy as np
import pytest
from command_line import run
from gappy import as_mapping, field
from scipy.stats import norm

import pyvda
from pyvda.errors import InputError
from pyvda.fields.crossvalidation import Predictions, crossvalidate, distances, ratio, scores
from pyvda.fields.field import opened

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def predictions(scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.repeat(np.arange(20), 10)
    error = scale * (rng.normal(size=200) + np.repeat(rng.normal(size=20), 10))
    return Predictions(np.zeros(200, int), time, error, np.full(200, 2 * scale**2), np.ones(200))


def test_scores_are_those_of_a_normal_distribution() -> None:
    one = predictions()
    found = scores(one)
    np.testing.assert_allclose(found["nll"], -norm(0, np.sqrt(2)).logpdf(one.error).mean())
    assert 0.7 < found["calibration"] < 1.3
    assert found["count"] == 200


def test_a_ratio_has_an_interval_over_times() -> None:
    found = ratio(predictions(0.8), predictions(1.0, seed=0), 0)
    np.testing.assert_allclose(found["ratio"], 0.8)
    np.testing.assert_allclose([found["low"], found["high"]], 0.8)
    other = ratio(predictions(1.0, seed=1), predictions(1.0, seed=2), 0)
    assert other["low"] < other["ratio"] < other["high"]


def test_distances_to_the_nearest_datum() -> None:
    found = opened(field(land=False, cloud=0.0)[0])
    left = np.zeros((6, 20), bool)
    left[0, 0] = left[1, [3, 7]] = True
    at = np.zeros_like(left)
    at[0, 4] = at[1, 4] = at[2, 4] = True
    km = np.linalg.norm(found.places.position - found.places.position[4], axis=-1)
    np.testing.assert_allclose(distances(found, left, at), [km[0], min(km[3], km[7]), np.inf])


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
