"""Training again what is shipped."""

import json
from pathlib import Path

import pytest
from paper_models import model, small

from pyvda.learned import shipped
from pyvda.learned.model import LearnedModel
from pyvda.paper import (
    retraining,
    rows,
    tables,
)
from pyvda.paper.held_out import check_not_trained_on
from pyvda.training.configuration import Configuration, read_configuration
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]


def tiny(**training) -> dict:
    """Return the configuration of a very short training."""
    path = ROOT / "experiments" / "lorenz63_genn_conv_supervised.yaml"
    values = read_configuration(path).model_dump(mode="json")
    values["data"] |= {"windows": 8, "validation": 4, "steps": None}
    values["training"] |= {"epochs": 2, "pretraining": 0, "batch_size": 4, "iterations": {0: 1}}
    values["training"] |= training
    values["optimiser"]["schedule"] = "constant"
    return values


def test_training_again_is_the_shipped_training(weights, tmp_path, monkeypatch) -> None:
    """In full, a row's model is trained as its record says, in the folder of the results."""
    small(monkeypatch, "table1", "genn-conv")
    values = tiny()
    folder = weights / "lorenz63-blanked-genn-conv"
    (folder / "training.json").write_text(json.dumps({"configuration": values}))
    common = {"retrain": True, "windows": 2}
    found = tables.reproduce_table("table1", tmp_path / "out", **common)
    entry = found["rows"][0]["results"]["lorenz63-blanked"]
    trained = tmp_path / "out" / "trainings" / "lorenz63-blanked-genn-conv"
    assert entry["sha256"] == LearnedModel.load(trained).digest()
    assert entry["sha256"] != shipped.load("lorenz63-blanked-genn-conv").digest()
    assert entry["training"]["distinct_windows_seen"] == 8
    assert tables.reproduce_table("table1", tmp_path / "out", **common) == found


def test_weights_of_two_runs_are_trained_by_two_again(weights, tmp_path, monkeypatch) -> None:
    """The second from the weights of the first, which was stopped before its last epoch."""
    first, second = tiny(epochs=3), tiny(seed=1, iterations={0: 2})
    from pyvda.training.train import train

    by_hand = [tmp_path / "first", tmp_path / "second"]

    def stopped(epoch: dict) -> None:
        if epoch["epoch"] == 1:
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        train(validated(Configuration, first, "x"), by_hand[0], report=stopped)
    wanted = train(validated(Configuration, second, "x"), by_hand[1], start=by_hand[0])
    name = "lorenz63-blanked-genn-conv"
    record = json.loads((by_hand[1] / "training.json").read_text())
    assert record["started_from"]["epochs"] == 2
    (weights / name / "training.json").write_text(json.dumps(record))

    small(monkeypatch, "table1", "genn-conv")
    told: list[str] = []
    common = {"retrain": True, "windows": 2, "say": told.append}
    found = tables.reproduce_table("table1", tmp_path / "out", **common)
    entry = found["rows"][0]["results"]["lorenz63-blanked"]
    trainings = tmp_path / "out" / "trainings"
    assert sorted(path.name for path in trainings.iterdir()) == [name, f"{name}-1"]
    assert LearnedModel.load(trainings / f"{name}-1").digest() == record["started_from"]["sha256"]
    assert entry["sha256"] == wanted.digest()
    assert entry["training"]["epochs"] == 4
    assert sum("training" in line for line in told) == 4

    # Both are resumed: nothing of the first is left to do, the second lost its state.
    told.clear()
    for path in (trainings / name).iterdir():
        path.unlink()
    again = tables.reproduce_table("table1", tmp_path / "out", **common)
    assert again["rows"][0]["results"]["lorenz63-blanked"]["sha256"] == wanted.digest()
    assert [line.split(",")[0] for line in told if "training" in line] == [
        f"training {name}: epoch {n} of 2" for n in (1, 2)
    ]


def test_an_earlier_run_that_is_shipped_too_is_trained_once(weights) -> None:
    shipped_name = "lorenz63-blanked-genn-conv"
    earlier = {"configuration": tiny(), "sha256": shipped.load(shipped_name).digest()}
    later = {"configuration": tiny(), "started_from": earlier}
    model("lorenz63").save(weights / "lorenz63-genn-conv")
    (weights / "lorenz63-genn-conv" / "training.json").write_text(json.dumps(later))
    (row,) = (row for row in rows.TABLES["table1"].rows if row.key == "genn-conv")
    stages = retraining._stages("lorenz63", row, "lorenz63-genn-conv")
    assert [one.name for one in stages] == [shipped_name, "lorenz63-genn-conv"]


def test_the_weights_of_several_runs_have_records_of_all() -> None:
    """Each shipped model can be trained again: its record holds every run, none on test windows."""
    for name in shipped.names():
        record = shipped.read_json(shipped.FOLDER / name, shipped.TRAINING_FILE)
        for run in retraining.runs(record):
            check_not_trained_on(run["configuration"])
            found = validated(Configuration, run["configuration"], name)
            assert run.get("epochs", 0) <= found.training.epochs
