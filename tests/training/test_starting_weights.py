"""Trainings that start from other weights."""

import json

import pytest
import torch
from small_trainings import quick

from pyvda.errors import InputError
from pyvda.learned.model import LearnedModel
from pyvda.training.train import train


def test_training_goes_on_from_other_weights(tmp_path) -> None:
    train(quick(), tmp_path / "first")
    start = LearnedModel.load(tmp_path / "first")
    still = {"solver_rate": 0.0, "prior_rate": 0.0, "pretraining_rate": 0.0}
    further = quick(optimiser=still, data={"preset": "lorenz63-blanked"})
    train(further, tmp_path / "second", start=tmp_path / "first")
    found = LearnedModel.load(tmp_path / "second")
    for name, value in start.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0)
    written = json.loads((tmp_path / "second" / "training.json").read_text())["started_from"]
    assert written["sha256"] == start.digest()
    assert written["configuration"]["data"]["preset"] == "lorenz63"


def test_weights_of_another_architecture_are_no_start(tmp_path) -> None:
    train(quick(), tmp_path / "first")
    other = quick(solver={"kind": "lstm", "hidden": 4})
    with pytest.raises(InputError, match="another architecture"):
        train(other, tmp_path / "second", start=tmp_path / "first")
    assert not (tmp_path / "second").exists()
