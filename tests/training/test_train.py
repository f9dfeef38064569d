"""Trainings of seconds: what must become better does, and a killed one ends where it would have."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.plugins import MixedPrecision
from safetensors import safe_open
from safetensors.torch import save_file

from pyvda.cli.main import main
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError, TrainingError
from pyvda.learned.model import LearnedModel
from pyvda.methods import METHODS, Problem
from pyvda.state.batch import Batch
from pyvda.training import losses
from pyvda.training.configuration import Configuration, Data
from pyvda.training.data import TwinData
from pyvda.training.module import Assimilator
from pyvda.training.state import RESUME_FILE
from pyvda.training.train import train
from pyvda.validation_errors import validated

PLAIN = {"lambda1": 0.01, "lambda2": 1.0, "learnable": False}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def configured(prior: str, solver: str, loss: str, /, **sections: Any) -> Configuration:
    """A training of seconds on short windows; `sections` change single keys."""
    values: dict[str, Any] = {
        "data": {"steps": 48, "windows": 64, "validation": 32},
        "prior": {"kind": prior},
        "solver": {"kind": solver},
        "loss": {"kind": loss},
        "optimiser": {
            "solver_rate": 0.01, "prior_rate": 0.002, "pretraining_rate": 0.005, "clip": 1.0,
        },
        "training": {"epochs": 6, "batch_size": 8, "iterations": {0: 5}},
    }  # fmt: skip
    for name, keys in sections.items():
        values[name] = values.get(name, {}) | keys
    return validated(Configuration, values, "here")


def held_out(data: Data) -> Data:
    """Return the same setting with other windows in place of those that select the weights."""
    return data.model_copy(update={"validation_seed": 3})


def r_score(data: Data, model: LearnedModel | None, iterations: int = 0) -> float:
    """R-score on the validation windows of `data`, of a learned model or of FSGD."""
    found = TwinData(data)
    batch = found.validation
    if model is None:
        problem = Problem(
            batch, found.setting.model, CostSettings(found.setting.model.time_step), get_engine()
        )
        fsgd = METHODS["fsgd"]
        x = fsgd.solve(problem, fsgd.options(iterations=iterations)).x
    else:
        with torch.no_grad():
            x = model(batch.to(dtype=torch.float32)).x.numpy()
    return float(np.mean((x - batch.truth) ** 2))


def curve(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "training.json").read_text())["curve"]


def r_scores(out: Path) -> list[float]:
    return [epoch["r_score"] for epoch in curve(out) if "r_score" in epoch]


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
    ("rk4", "conv", 36.0, {"data": {"windows": 128}, "training": {"epochs": 14}}),
    ("euler", "lstm", 45.0, {}),
    ("bilinear-rk4", "lstm", 35.0, BILINEAR),
    ("genn", "lstm", 28.0, PRETRAINED),
    ("two-scale-genn", "lstm", 28.0, PRETRAINED),
    ("two-scale-genn", "conv", 25.0, PRETRAINED),
    ("autoencoder", "conv", 32.0, PRETRAINED),
    ("genn", "conv", 43.0, PRETRAINED | CELLS),
    ("rk4", "lstm", 7.8, SMALL),
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


QUICK: dict[str, Any] = {
    "data": {"steps": 16, "windows": 12, "validation": 4, "fresh": True, "symmetries": True},
    "training": {"epochs": 6, "batch_size": 4, "iterations": {0: 2, 3: 3}, "averaging": 0.9,
                 "pretraining": 1},
}  # fmt: skip


def quick(**sections: Any) -> Configuration:
    merged = {name: QUICK.get(name, {}) | keys for name, keys in (QUICK | sections).items()}
    return configured("genn", "lstm", "supervised", **merged)


@pytest.mark.parametrize("fresh", [True, False])  # fixed windows are made an epoch ahead
def test_a_killed_training_resumes_to_the_same_curve(fresh, tmp_path) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(yaml.safe_dump(quick(data={"fresh": fresh}).model_dump(mode="json")))
    whole = train(path, tmp_path / "whole")

    # The process stops inside the fourth epoch and is then killed there.
    waits = (
        "import sys, time, torch; torch.set_num_threads(1)\n"
        "from pyvda.training.module import Assimilator\n"
        "step = Assimilator.training_step\n"
        "def wait(self, batch, i):\n"
        "    if self.progress.epoch == 3 and i == 1:\n"
        "        print('inside', flush=True); time.sleep(600)\n"
        "    return step(self, batch, i)\n"
        "Assimilator.training_step = wait\n"
        "from pyvda.training.train import train\n"
        f"train({str(path)!r}, {str(tmp_path / 'killed')!r})\n"
    )
    with subprocess.Popen([sys.executable, "-c", waits], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"inside\n"
        os.kill(process.pid, signal.SIGKILL)
    assert len(curve(tmp_path / "killed")) == 3
    resumed = train(path, tmp_path / "killed", resume=True)
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert resumed.digest() == whole.digest()
    # And once more at the end, where nothing is left to do.
    assert train(path, tmp_path / "killed", resume=True).digest() == whole.digest()


def test_an_epoch_has_its_own_windows_in_their_order(tmp_path, monkeypatch) -> None:
    seen: list[list[int]] = []
    truths: list[np.ndarray] = []
    step = Assimilator.training_step

    def noted(self, batch, index):
        if index == 0:
            seen.append([])
        seen[-1] += batch["number"].tolist()
        truths.extend(batch["truth"].numpy())
        return step(self, batch, index)

    monkeypatch.setattr(Assimilator, "training_step", noted)
    monkeypatch.setattr("pyvda.training.data._BLOCK", 5)  # of 12 windows
    fixed = quick(data={"fresh": False, "symmetries": False}, training={"epochs": 3})
    train(fixed, tmp_path)
    data = TwinData(fixed.data)
    assert seen == [data.epoch(epoch)[1].tolist() for epoch in range(3)]
    assert len({tuple(numbers) for numbers in seen}) == 3
    np.testing.assert_allclose(truths, data.states[np.concatenate(seen)], rtol=1e-5, atol=1e-5)


def test_blocks_of_an_epoch_are_put_together_in_their_order(monkeypatch) -> None:
    whole = TwinData(Data(windows=12, validation=7)).epoch(1)
    monkeypatch.setattr("pyvda.training.data._BLOCK", 5)
    blocks = TwinData(Data(windows=12, validation=7)).epoch(1)
    np.testing.assert_array_equal(blocks[1], whole[1])
    for name in ("observation", "mask", "first_guess", "truth"):
        np.testing.assert_array_equal(getattr(blocks[0], name), getattr(whole[0], name))


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


def scaled_training(on: str, monkeypatch) -> Configuration:
    """A training in float16, whose loss is scaled: Lightning does that on a GPU alone."""
    if on == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        return quick(training={"precision": "16-mixed", "accelerator": "gpu"})
    trainer = lightning.Trainer

    def with_scaler(*, precision, **options):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
        return trainer(**options, plugins=[MixedPrecision(precision, "cpu", scaler)])

    monkeypatch.setattr(lightning, "Trainer", with_scaler)
    return quick(training={"precision": "16-mixed", "accelerator": "cpu"})


@pytest.mark.parametrize("on", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_training_with_a_scaled_loss_resumes_with_its_scale(on, tmp_path, monkeypatch) -> None:
    configuration = scaled_training(on, monkeypatch)
    whole = train(configuration, tmp_path / "whole")
    assert whole is not None

    class Stopped(Exception):
        pass

    def stop(epoch: dict[str, Any]) -> None:
        if epoch["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(configuration, tmp_path / "stopped", report=stop)

    def scaler(out: str) -> dict[str, Any]:
        with safe_open(tmp_path / out / RESUME_FILE, "pt") as file:
            return json.loads(file.metadata()["pyvda"])["progress"]["scaler"]

    middle = scaler("stopped")
    assert middle["_growth_tracker"] or middle["scale"] != 1024.0  # else it need not be kept
    resumed = train(configuration, tmp_path / "stopped", resume=True)
    assert resumed is not None
    assert scaler("stopped") == scaler("whole")
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    assert resumed.digest() == whole.digest()


def test_resuming_what_cannot_be_resumed(tmp_path, monkeypatch, capsys) -> None:
    path, out = tmp_path / "configuration.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(quick().model_dump(mode="json")))
    train(path, out)

    def refused(*extra: str) -> str:
        monkeypatch.setattr("sys.argv", ["pyvda", "train", str(path), "--out", str(out), *extra])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert "holds a training already" in refused()
    changed = quick(optimiser={"solver_rate": 0.5}).model_dump(mode="json")
    path.write_text(yaml.safe_dump(changed))
    assert "another optimiser.solver_rate" in refused("--resume")
    (out / RESUME_FILE).write_bytes((out / RESUME_FILE).read_bytes()[:100])
    assert "cannot be read" in refused("--resume")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"strategy": "nonsense"}, "strategy 'nonsense' cannot be used (You selected an invalid"),
        ({"accelerator": "abacus"}, "accelerator 'abacus' with devices 1"),
        pytest.param(
            {"accelerator": "gpu"}, "accelerator 'gpu' with devices 1",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)  # fmt: skip
def test_what_the_machine_does_not_have_is_refused(
    training, said, tmp_path, monkeypatch, capsys
) -> None:
    path, out = tmp_path / "configuration.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(quick(training=training).model_dump(mode="json")))
    monkeypatch.setattr("sys.argv", ["pyvda", "train", str(path), "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert said in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not out.exists()


def test_the_command_line_trains(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(yaml.safe_dump(quick().model_dump(mode="json")))
    arguments = ["pyvda", "train", str(path), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "the best weights" in capsys.readouterr().out
    LearnedModel.load(tmp_path / "run")


def test_training_leaves_the_handlers_of_signals_as_they_were(tmp_path) -> None:
    """Julia's garbage collector dies of the first collection after its handler is gone."""
    look = (
        "import ctypes, signal, sys, yaml\n"
        "from pyvda.training.configuration import Configuration\n"
        "from pyvda.validation_errors import validated\n"
        "from pyvda.engine import get_engine\n"
        "from pyvda.training.train import train\n"
        "get_engine()\n"
        "def handler(number):\n"
        "    action = ctypes.create_string_buffer(256)\n"
        "    ctypes.CDLL(None).sigaction(number, None, action)\n"
        "    return action.raw[:8]\n"
        "numbers = (signal.SIGSEGV, signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)\n"
        "before = [handler(n) for n in numbers]\n"
        "train(validated(Configuration, yaml.safe_load(sys.argv[1]), 'here'), sys.argv[2])\n"
        "print([handler(n) == b for n, b in zip(numbers, before)])\n"
    )
    settings = yaml.safe_dump(
        quick(training={"epochs": 1, "pretraining": 0}).model_dump(mode="json")
    )
    done = subprocess.run(
        [sys.executable, "-c", look, settings, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == str([True] * 4), done.stderr


@pytest.mark.slow
def test_two_processes_train_together(tmp_path) -> None:
    """DDP on two processes takes the steps of one with twice the batch, to rounding.

    Processes that each train on all windows would take twice as many; without the mean of their
    gradients, the weights would be those of half of the windows. In the first epoch Φ alone is
    trained.
    """
    common = {
        "epochs": 2, "pretraining": 1, "accelerator": "cpu", "precision": "64-true",
    }  # fmt: skip

    def settings(**training: Any) -> Configuration:
        return quick(
            data={"windows": 16},
            prior={"kind": "genn", "width": 3, "features": 4, "latent": 2},
            training=common | training,
        )

    ddp = settings(batch_size=2, devices=2, strategy="ddp").model_dump(mode="json")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(ddp))
    command = [Path(sys.executable).with_name("pyvda"), "train", "run.yaml", "--out", "run"]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in said[:2]] == ["epoch 0", "epoch 1"]
    assert said[2:] == ["run: the best weights, to use as --checkpoint run"]
    assert [epoch["iterations"] for epoch in curve(tmp_path / "run")] == [0, 2]
    assert [epoch["step"] for epoch in curve(tmp_path / "run")] == [4, 8]

    one = train(settings(batch_size=4), tmp_path / "one")
    assert one is not None
    weights = LearnedModel.load(tmp_path / "run").state_dict()
    for name, expected in one.state_dict().items():
        torch.testing.assert_close(weights[name], expected, rtol=1e-7, atol=1e-9, msg=name)
    together, alone = (r_scores(tmp_path / run) for run in ("run", "one"))
    assert together == pytest.approx(alone, rel=1e-8)


def test_epochs_depend_on_seed_and_number_alone() -> None:
    settings = Data(steps=16, windows=6, validation=2, fresh=True, symmetries=True)
    once, again = TwinData(settings), TwinData(settings)
    once.epoch(0)
    for epoch in (2, 1):
        (batch, numbers), (same, also) = once.epoch(epoch), again.epoch(epoch)
        np.testing.assert_array_equal(batch.truth, same.truth)
        np.testing.assert_array_equal(batch.observation, same.observation)
        np.testing.assert_array_equal(numbers, also)
    assert not np.array_equal(once.epoch(1)[0].truth, once.epoch(2)[0].truth)


@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_symmetries_turn_true_trajectories_into_true_trajectories(preset) -> None:
    data = TwinData(Data(preset=preset, steps=8, windows=8, validation=1, symmetries=True))
    batch, order = data.epoch(0)
    assert not np.allclose(batch.truth, data.states[order])
    model = data.setting.model
    forecast = get_engine().forecast(model, batch.truth[:, :-1], time_step=model.time_step)
    original = get_engine().forecast(model, data.states[order][:, :-1], time_step=model.time_step)
    error = np.square(forecast - batch.truth[:, 1:]).mean((1, 2))
    np.testing.assert_allclose(
        error, np.square(original - data.states[order][:, 1:]).mean((1, 2)), rtol=1e-6
    )
    observed = batch.mask > 0
    assert np.abs((batch.observation - batch.truth)[observed]).mean() < 2.0


def test_noise_is_drawn_anew_each_epoch_or_not() -> None:
    small = {"steps": 16, "windows": 3, "validation": 1}

    def noise(data: TwinData, epoch: int) -> np.ndarray:
        batch, order = data.epoch(epoch)
        return np.where(batch.mask > 0, batch.observation - batch.truth, 0.0)[np.argsort(order)]

    fresh, fixed = TwinData(Data(**small)), TwinData(Data(**small, fresh_noise=False))
    assert not np.allclose(noise(fresh, 1), noise(fresh, 2))
    np.testing.assert_allclose(noise(fixed, 1), noise(fixed, 2), atol=1e-12)


def test_a_state_from_before_an_option_came_is_resumed(tmp_path) -> None:
    whole = train(quick(), tmp_path)
    assert whole is not None
    path = tmp_path / RESUME_FILE
    with safe_open(path, "pt") as file:
        known = json.loads(file.metadata()["pyvda"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del known["configuration"]["data"]["missing"]
    save_file(tensors, path, metadata={"pyvda": json.dumps(known)})
    again = train(quick(), tmp_path, resume=True)
    assert again is not None
    assert again.digest() == whole.digest()
    with pytest.raises(InputError, match=r"another data\.missing"):
        train(quick(data={"missing": 0.5}), tmp_path, resume=True)


def test_ctrl_c_ends_a_training_in_words(tmp_path) -> None:
    path, out = tmp_path / "configuration.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(quick(training={"epochs": 1000}).model_dump(mode="json")))
    script = "import sys; from pyvda.cli.main import main; main()"
    command = [sys.executable, "-c", script, "train", str(path), "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYVDA_ENGINE": "torch", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, **pipes, env=env) as running:
        assert running.stdout is not None
        while not running.stdout.readline().startswith("epoch 1"):
            assert running.poll() is None
        os.kill(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    hint, end = said.strip().splitlines()[-2:]
    assert (hint, end) == (
        f"pyvda: {out} has the epochs so far; go on with --resume", "pyvda: interrupted",
    )  # fmt: skip
    assert len(curve(out)) >= 2


@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_windows_lose_a_share_of_their_data_up_to_the_largest(preset) -> None:
    same = {"preset": preset, "windows": 40, "validation": 40}
    whole, lacking = TwinData(Data(**same)), TwinData(Data(**same, missing=0.6))
    assert (whole.pattern.missing, lacking.pattern.missing) == (0.0, 0.6)

    def shares(all_data: Batch, kept: Batch) -> np.ndarray:
        there, still = all_data.mask > 0, kept.mask > 0
        assert not (still & ~there).any()
        np.testing.assert_array_equal(kept.observation, np.where(still, all_data.observation, 0.0))
        np.testing.assert_array_equal(kept.truth, all_data.truth)
        return 1 - still.sum((1, 2)) / there.sum((1, 2))

    first, second = (shares(whole.epoch(e)[0], lacking.epoch(e)[0]) for e in (1, 2))
    validation = shares(whole.validation, lacking.validation)
    for lost in (first, second, validation):
        noise = 3 * np.sqrt(0.25 / (whole.validation.mask[0] > 0).sum())
        assert -1e-12 <= lost.min() < 0.05 + noise
        assert 0.55 - noise < lost.max() < 0.6 + noise
        assert np.mean(lost) == pytest.approx(0.3, abs=0.1)
        assert np.std(lost) > 0.13  # of shares between 0 and 0.6, 0.17; of 0.3 alone, 0.09
    assert not np.allclose(np.sort(first), np.sort(second))
    assert shares(whole.epoch(1)[0], lacking.epoch(1)[0]).tolist() == first.tolist()


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


def test_no_window_of_an_epoch_is_one_of_validation_or_of_the_first_epoch() -> None:
    data = TwinData(Data(steps=4, windows=4, validation=8, fresh=True, seed=1, validation_seed=2))
    known = [*data.states, *data.validation.truth]
    for epoch in range(1, 4):
        for window in data.epoch(epoch)[0].truth:
            assert not any(np.array_equal(window, other) for other in known)
