"""Steps of a training: losses and gradients that are not finite, stopping, precisions."""

import json

import numpy as np
import pytest
import torch
from small_trainings import curve, quick, r_scores

from pyvda.errors import TrainingError
from pyvda.learned.model import LearnedModel
from pyvda.training import losses
from pyvda.training.data import TwinData
from pyvda.training.train import train


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path, monkeypatch) -> None:
    right = losses.supervised

    truths = []

    def poisoned(model, z, batch, weights):
        loss = right(model, z, batch, weights)
        if len(truths) == 7:
            loss = loss * torch.tensor([1.0, float("nan"), 1.0, 1.0])
        truths.append(model.to_physical(batch.truth[1]).numpy())
        return loss

    monkeypatch.setattr(losses, "supervised", poisoned)
    fixed = quick(data={"fresh": False, "symmetries": False}, training={"pretraining": 0})
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"not finite at step 7 \(epoch 2, ") as stopped:
        train(fixed, out)
    # The window is the one among the training states whose loss was spoilt.
    far = np.abs(TwinData(fixed.data).states - truths[7]).max((1, 2))
    assert np.sort(far)[:2] == pytest.approx([0.0, 5.0], abs=4.99)
    assert f", window {far.argmin()}, learning rates: solver 0.0" in str(stopped.value)
    assert len(curve(out)) == 2
    LearnedModel.load(out)
    monkeypatch.undo()
    whole = train(fixed, tmp_path / "whole")
    assert train(fixed, out, resume=True).digest() == whole.digest()


def test_a_gradient_that_is_not_finite_stops_the_training(tmp_path, monkeypatch) -> None:
    """The loss is finite, its derivative is not: sqrt at zero."""
    monkeypatch.setattr(
        losses, "supervised", lambda model, z, batch, weights: (z - z).flatten(1).sum(1).sqrt()
    )
    with pytest.raises(TrainingError, match=r"gradient of .* is not finite at step 0"):
        train(quick(training={"pretraining": 0}), tmp_path)


def test_early_stopping(tmp_path) -> None:
    """Learning rates of zero bring nothing better after the first epoch."""
    still = {"solver_rate": 0.0, "prior_rate": 0.0}
    training = {"epochs": 9, "pretraining": 0, "iterations": {0: 2}, "patience": 2, "averaging": 0}
    train(quick(optimiser=still, training=training), tmp_path)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["epochs"] == 3
    assert record["finished"]


def test_early_stopping_counts_from_the_end_of_pretraining(tmp_path) -> None:
    training = {"epochs": 9, "pretraining": 5, "iterations": {0: 2}, "patience": 2, "averaging": 0}
    still = {"solver_rate": 0.0, "prior_rate": 0.0}
    assert train(quick(optimiser=still, training=training), tmp_path) is not None
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["best_epoch"] == 5
    assert record["epochs"] == 8


def test_the_model_makes_the_iterations_that_it_was_scored_with(tmp_path) -> None:
    """Not the last: without learning, more iterations of random weights lead further away."""
    still = {"solver_rate": 0.0, "prior_rate": 0.0}
    training = {"epochs": 3, "pretraining": 0, "iterations": {0: 2, 2: 9}, "averaging": 0}
    model = train(quick(optimiser=still, training=training), tmp_path)
    assert json.loads((tmp_path / "training.json").read_text())["best_epoch"] == 0
    assert model is not None
    assert model.iterations == 2


def test_a_fixed_prior_is_not_trained(tmp_path) -> None:
    fixed = quick(optimiser={"prior_rate": 0.0}, training={"pretraining": 0, "averaging": 0.0})
    model = train(fixed, tmp_path)
    torch.manual_seed(fixed.training.seed)
    start = LearnedModel(model.architecture, model.pattern, model.mean, model.std, 2)
    for after, before in zip(model.prior.parameters(), start.prior.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0)
    moved = zip(model.solver.parameters(), start.solver.parameters(), strict=True)
    assert any(not torch.equal(after, before) for after, before in moved)


def test_other_precisions(tmp_path) -> None:
    """Close to float32, as far away as their rounding makes them, and kept as what was trained."""
    found = {}
    for precision in ("32-true", "64-true", "bf16-mixed"):
        settings = {"precision": precision, "checkpoint_every": 1, "pretraining": 0, "epochs": 2}
        model = train(quick(training=settings), tmp_path / precision)
        assert model is not None
        expected = torch.float64 if precision == "64-true" else torch.float32
        assert {p.dtype for p in model.parameters()} == {expected}
        found[precision] = np.array(r_scores(tmp_path / precision))
    far = {k: np.abs(v / found["32-true"] - 1).max() for k, v in found.items()}
    assert 0 < far["64-true"] < 1e-4
    assert 1e-4 < far["bf16-mixed"] < 0.1
