"""Trainings of seconds: what must become better does, and a killed one ends where it would have."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from command_line import run
from small_trainings import configured, curve, held_out, quick, r_score

from pyvda.engine import CostSettings, get_engine
from pyvda.learned.model import LearnedModel
from pyvda.methods import METHODS, Problem
from pyvda.training.configuration import Data
from pyvda.training.data import TwinData
from pyvda.training.train import train

PLAIN = {"lambda1": 0.01, "lambda2": 1.0, "learnable": False}


PRETRAINED = {"training": {"pretraining": 1}}


BILINEAR = {
    "optimiser": {"pretraining_rate": 1.0}, "training": {"pretraining": 10, "epochs": 24},
}  # fmt: skip


CELLS = {"prior": {"every": 8, "width": 5}, "solver": {"every": 8, "hidden": [10, 16]}}


SMALL = {"data": {"preset": "lorenz96", "steps": 16, "windows": 32, "validation": 16}}


# R on the held-out windows: of the first guess, and of FSGD after 20 iterations, which is four
# times as many as the trained solvers make. Its limit is 3.3 and 2.8, which is out of reach of
# trainings of seconds; `test_supervised_training_beats_a_converged_descent` trains for longer.
KNOWN = {"lorenz63": (49.43, 45.98), "lorenz96": (8.87, 6.89)}


# The score that each stays below: what it was when this was written, and 3 to 20 % more.
ROWS = [
    ("rk4", "lstm", 45.0, {}),
    ("euler", "lstm", 45.0, {}),
    ("bilinear-rk4", "lstm", 35.0, BILINEAR),
    ("genn", "lstm", 28.0, PRETRAINED),
    ("two-scale-genn", "conv", 25.0, PRETRAINED),
    ("autoencoder", "conv", 32.0, PRETRAINED),
    ("genn", "conv", 43.0, PRETRAINED | CELLS),
    ("rk4", "conv", 5.8, SMALL | {"training": {"epochs": 8}}),
    ("two-scale-genn", "conv", 8.2, SMALL | PRETRAINED | {
        "prior": {"width": 5, "features": 12, "latent": 8, "merge": 8},
    }),
    ("autoencoder", "conv", 8.4, SMALL | PRETRAINED | {"prior": {"features": 12}}),
]  # fmt: skip


def windows_of(preset: str) -> Data:
    small = SMALL["data"] if preset == "lorenz96" else {}
    return held_out(configured("rk4", "lstm", "supervised", data=small).data)


@pytest.mark.parametrize("preset", KNOWN)
def test_what_the_scores_are_compared_with(preset) -> None:
    data = windows_of(preset)
    windows = TwinData(data).validation
    guess, fsgd = KNOWN[preset]
    found = np.square(np.asarray(windows.first_guess) - windows.truth).mean()
    assert found == pytest.approx(guess, rel=0.01)
    assert r_score(data, None, 20) == pytest.approx(fsgd, rel=0.01)


@pytest.mark.parametrize(("prior", "solver", "score", "sections"), ROWS)
def test_every_architecture_trains(prior, solver, score, sections, tmp_path) -> None:
    """To the stated score, and below the same model with the weights that it started from."""
    configuration = configured(prior, solver, "supervised", **sections)
    model = train(configuration, tmp_path)
    data = held_out(configuration.data)
    trained = r_score(data, model)
    torch.manual_seed(configuration.training.seed)
    untrained = r_score(
        data,
        LearnedModel(model.architecture, model.pattern, model.mean, model.std, model.iterations),
    )
    assert trained < score
    assert trained < (0.8 if data.preset == "lorenz63" else 0.97) * untrained


@pytest.mark.slow
def test_supervised_training_beats_a_converged_descent(tmp_path) -> None:
    """On windows of 48 steps whose first 16 are not observed, which the weak constraint has to
    extrapolate to. The windows of Table 1 are like that at both ends, and have 200 steps.
    """
    configuration = configured(
        "two-scale-genn",
        "lstm",
        "supervised",
        data={"preset": "lorenz63-blanked", "windows": 384, "symmetries": True},
        solver={"hidden": 30},
        optimiser={"prior_rate": 0.003, "pretraining_rate": 0.003},
        training={"epochs": 16, "batch_size": 16, "pretraining": 1},
    )
    model = train(configuration, tmp_path)
    data = held_out(configuration.data)
    assert r_score(data, model) < 0.95 * r_score(data, None, 20_000)


@pytest.mark.parametrize("solver", ["lstm", "conv"])
def test_unsupervised_training_lowers_the_cost_itself(solver, tmp_path) -> None:
    """Well below that of the first guess, and below FSGD with four times as many iterations."""
    configuration = configured(
        "rk4", solver, "unsupervised", cost=PLAIN, training={"epochs": 16, "select": "cost"},
        data={"steps": 41},  # the first and the last are observed
    )  # fmt: skip
    model = train(configuration, tmp_path)
    data = TwinData(configuration.data)
    batch = data.validation
    cost = CostSettings(0.01)
    engine = get_engine()
    with torch.no_grad():
        x = model(batch.to(dtype=torch.float64)).x.numpy()
    fsgd = METHODS["fsgd"]
    problem = Problem(batch, data.setting.model, cost, engine)
    descended = fsgd.solve(problem, fsgd.options(iterations=4 * model.iterations)).x

    def u(states: np.ndarray) -> float:
        arguments = (data.setting.model, cost, states, batch.observation, batch.mask)
        return float(engine.cost(*arguments, gradient=False).total.mean())

    assert u(x) < 0.6 * u(descended)
    assert u(x) < 0.5 * u(np.asarray(batch.first_guess))
    best = curve(tmp_path)[json.loads((tmp_path / "training.json").read_text())["best_epoch"]]
    assert best["cost"] == pytest.approx(u(x), rel=1e-3)


@pytest.mark.slow
def test_the_equation_is_found_from_data_alone(tmp_path) -> None:
    configuration = configured(
        "bilinear-rk4",
        "gradient-descent",
        "identification",
        data={"windows": 96},
        optimiser={"prior_rate": 1.0, "clip": None},
        training={"epochs": 60, "batch_size": 2},
    )
    model = train(configuration, tmp_path)
    own, neighbour, product = (p.detach().numpy().astype(float) for p in model.prior.parameters())
    assert own[0] == pytest.approx(-10.0, rel=0.01)  # -sigma
    assert neighbour[0] == pytest.approx(10.0, rel=0.01)  # sigma
    assert neighbour[1] == pytest.approx(28.0, rel=0.01)  # rho
    assert own[2] == pytest.approx(-8.0 / 3.0, rel=0.01)  # -beta
    assert own[1] == pytest.approx(-1.0, abs=0.05)
    assert neighbour[2] == pytest.approx(0.0, abs=0.01)
    assert product == pytest.approx([0.0, -1.0, 1.0], abs=0.01)
    scores = json.loads((tmp_path / "training.json").read_text())["validation"]["scores"]
    assert scores["ode_score"]["mean"] < 1e-4


def test_the_command_line_trains(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(yaml.safe_dump(quick().model_dump(mode="json")))
    assert run(monkeypatch, "train", path, "--out", tmp_path / "run") == 0
    assert "the best weights" in capsys.readouterr().out
    LearnedModel.load(tmp_path / "run")


def test_weights_to_start_from_and_a_state_to_resume_exclude_each_other(
    tmp_path, monkeypatch, capsys
) -> None:
    options = ["--out", tmp_path, "--resume", "--from", "lorenz63-conv"]
    assert run(monkeypatch, "train", tmp_path / "configuration.yaml", *options) == 2
    said = capsys.readouterr().err
    assert "--from lorenz63-conv would have no effect; leave out one of them" in said


def test_ctrl_c_ends_a_training_in_words(tmp_path) -> None:
    path, out = tmp_path / "configuration.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(quick(training={"epochs": 1000}).model_dump(mode="json")))
    script = "import sys; from pyvda.cli.main import main; main()"
    command = [sys.executable, "-c", script, "train", str(path), "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, **pipes, env=env) as running:
        assert running.stdout is not None
        while not running.stdout.readline().startswith("epoch 1"):
            assert running.poll() is None
        os.kill(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=600)
    assert running.returncode == 1
    hint, end = said.strip().splitlines()[-2:]
    assert (hint, end) == (
        f"pyvda: {out} has the epochs so far; go on with --resume", "pyvda: interrupted",
    )  # fmt: skip
    assert len(curve(out)) >= 2


def test_a_run_is_no_standard_output(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "train", "any.yaml", "--out", "-") == 2
    assert "cannot write to standard output" in capsys.readouterr().err
