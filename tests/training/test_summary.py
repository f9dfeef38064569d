"""The record of a training counts the weights of its parts and names what made it."""

import json
from importlib.metadata import version

import torch
from small_trainings import quick

from pyvda.training.train import train


def test_a_record_is_ready_for_json(tmp_path) -> None:
    configuration = quick(training={"epochs": 2, "iterations": {0: 1}, "pretraining": 0})
    model = train(configuration, tmp_path)
    found = json.loads((tmp_path / "training.json").read_text())
    assert found["configuration"] == json.loads(configuration.model_dump_json())
    assert found["epochs"] == 2
    assert found["steps"] == 2 * 3  # of 12 windows, four a batch
    assert found["finished"] is True
    assert found["versions"]["torch"] == version("torch")
    assert found["hardware"]["torch_threads"] == torch.get_num_threads()
    counts = found["parameters"]
    assert counts["prior"] == sum(p.numel() for p in model.prior.parameters())
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    assert found["distinct_windows_seen"] == 24  # fresh ones every epoch
    assert len(found["curve"]) == 2
