"""The trainer: what the machine has, handlers of signals, several processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_trainings import curve, quick, r_scores

from pyvda.cli.main import main
from pyvda.learned.model import LearnedModel
from pyvda.training.configuration import Configuration
from pyvda.training.train import train


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
