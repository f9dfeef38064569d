"""A training resumes from its state: the same curve, scale of the loss, what cannot resume."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import lightning
import pytest
import torch
import yaml
from lightning.pytorch.plugins import MixedPrecision
from safetensors import safe_open
from safetensors.torch import save_file
from small_trainings import curve, quick

from pyvda.cli.main import main
from pyvda.errors import InputError
from pyvda.training.configuration import Configuration
from pyvda.training.state import RESUME_FILE
from pyvda.training.train import train


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
