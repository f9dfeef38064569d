"""What a training writes beside its weights."""

import json

import pytest
import yaml
from small_trainings import quick, r_score

from pyvda.learned.model import LearnedModel
from pyvda.training.configuration import Configuration
from pyvda.training.train import train
from pyvda.validation_errors import validated


def test_what_is_written_beside_the_weights(tmp_path) -> None:
    configuration = quick()
    train(configuration, tmp_path)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["distinct_windows_seen"] == 6 * 12
    assert record["steps"] == 6 * 3
    assert record["finished"]
    assert record["wall_seconds"] > 0
    assert record["hardware"]["cores"] >= 1
    assert {"pyvda", "torch", "numpy"} <= record["versions"].keys()
    assert [e["iterations"] for e in record["curve"]] == [0, 2, 2, 3, 3, 3]
    best = min((e for e in record["curve"] if "r_score" in e), key=lambda e: e["r_score"])
    assert record["best_epoch"] == best["epoch"]
    kept = record["validation"]["scores"]["r_score"]["mean"]
    assert kept == pytest.approx(best["r_score"], rel=1e-9)
    assert r_score(configuration.data, LearnedModel.load(tmp_path)) == pytest.approx(kept, rel=1e-4)
    stored = yaml.safe_load((tmp_path / "configuration.yaml").read_text())
    assert validated(Configuration, stored, "stored") == configuration
