"""Training on files of a model of the user's own, in Julia and in torch, and using its checkpoint.

What the checkpoint gives is compared between the two languages, with and without the model's code,
and with the model's own steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from julia_files import ROSSLER_WITH_DERIVATIVES

import pyvda
from pyvda.checks.derivative_check import Check
from pyvda.checks.run import check_learned, failed
from pyvda.checks.target import check_target
from pyvda.cli.main import main
from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.learned.description import read_description
from pyvda.learned.patterns import PatternWarning
from pyvda.models import without_code
from pyvda.models.registry import resolve
from pyvda.names import Status
from pyvda.training.configuration import Configuration
from pyvda.training.train import train
from pyvda.validation_errors import validated

IN_TORCH = """
from pathlib import Path

import torch

import pyvda
from pyvda.climate.climatology import with_climatology


def tendency(state, a, b, c):
    x, y, z = state.unbind(-1)
    return torch.stack((-y - z, x + a * y, b + z * (x - c)), -1)


rossler = pyvda.torch_model(
    tendency, variables=("x", "y", "z"), time_step=0.05, name="Rossler",
    parameters={"a": 0.2, "b": 0.2, "c": 5.7},
)
rossler = with_climatology(rossler, Path(__file__).with_name("climatology.npz"))


def half(state):  # contracts, with a constant in double precision
    return state @ torch.tensor([[0.5, 0.3], [-0.3, 0.5]], dtype=torch.float64).to(state.dtype)


halving = pyvda.torch_model(step=half, variables=("u", "v"), time_step=1.0)
halving = with_climatology(halving, (torch.zeros(2).numpy(), torch.eye(2).numpy()))
"""
JULIA = ROSSLER_WITH_DERIVATIVES + "spinup(::Type{<:Rossler}) = 50.0\n"
WINDOWS, STEPS, VALIDATION = 10, 24, 3

SMALL: dict[str, Any] = {
    "data": {"observations": "obs.nc", "truth": "truth.nc", "validation": VALIDATION},
    "prior": {"kind": "genn", "width": 3, "features": 4, "latent": 2},
    "solver": {"kind": "conv", "hidden": [4, 4]},
    "loss": {"kind": "supervised"},
    "training": {"epochs": 2, "batch_size": 4, "iterations": {0: 2}},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A twin experiment of the torch model, as files with the variables x, y and z.

    Its climatology is that of the Julia model, which is made sooner.
    """
    folder = tmp_path_factory.mktemp("own")
    (folder / "rossler.jl").write_text(JULIA)
    (folder / "models.py").write_text(IN_TORCH)
    known = climatology(resolve(f"{folder}/rossler.jl"), get_engine("julia"))
    np.savez(folder / "climatology.npz", mean=known.mean, covariance=known.covariance)
    truth = pyvda.simulate(resolve(f"{folder}/models.py:rossler"), WINDOWS, 1, steps=STEPS)
    observed = pyvda.observe(truth, every=4, variance=0.25, seed=2)
    pyvda.save_analysis(truth, folder / "truth.nc")
    pyvda.save_analysis(observed, folder / "obs.nc")
    return folder


@pytest.fixture(autouse=True)
def here(files, tmp_path, monkeypatch):
    """Work beside copies of the files; relative paths start at the working directory."""
    for name in ("rossler.jl", "models.py", "climatology.npz", "truth.nc", "obs.nc"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYVDA_KERNELS", "torch")  # Julia's would be compiled for seconds of work
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def configured(model: str, data: dict[str, Any] | None = None, **sections: Any) -> Configuration:
    data = SMALL["data"] | {"model": model} | (data or {})
    return validated(Configuration, SMALL | {"data": data} | sections, "here.yaml")


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["pyvda", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_both_languages_train_the_same_and_need_no_code_afterwards() -> None:
    """Only the first guess comes from the model, by its climatology."""
    assert {"x", "y", "z"} <= set(xr.open_dataset("truth.nc").data_vars)
    julia = train(configured("rossler.jl"), "julia")
    in_torch = train(configured("models.py:rossler"), "torch")
    for name, value in julia.state_dict().items():
        torch.testing.assert_close(in_torch.state_dict()[name], value, rtol=0, atol=0)
    own = read_description("julia").pattern.own
    assert (own.given, own.parameter_names, len(own.variables)) == (
        "rossler.jl",
        ("a", "b", "c"),
        3,
    )
    assert own.source == resolve("rossler.jl").source_digest

    observed = xr.open_dataset("obs.nc").load()
    with_code = pyvda.assimilate(observed, model="rossler.jl", checkpoint="julia")
    Path("rossler.jl").unlink()
    Path("models.py").unlink()
    alone = pyvda.assimilate(observed, checkpoint="julia")
    for name in ("x", "y", "z"):
        np.testing.assert_array_equal(alone[name], with_code[name])
    assert np.isfinite(with_code["cost"]).all()
    assert np.isnan(alone["cost"]).all()
    truth = xr.open_dataset("truth.nc").load()
    with pytest.raises(InputError, match="no built-in model; give the model that made it"):
        pyvda.evaluate(alone, truth)


def test_an_unobserved_window_is_the_mean_of_the_training() -> None:
    train(configured("models.py:rossler"), "run")
    expected = read_description("run").pattern.own.expected_state
    observed = xr.open_dataset("obs.nc").load()
    without = observed.where(xr.DataArray(np.arange(WINDOWS) != 0, dims="window"))
    found = pyvda.assimilate(without, checkpoint="run")
    assert int(found["status"][0]) == Status.NO_OBSERVATIONS
    for name, value in zip(("x", "y", "z"), expected, strict=True):
        np.testing.assert_allclose(found[name][0], value)


@pytest.mark.parametrize("loss", ["supervised", "unsupervised"])
def test_a_torch_model_is_a_prior(loss, monkeypatch, capsys) -> None:
    """Its Φ is the model's Runge-Kutta step with the configured parameters, and needs its code."""
    changed = {"parameters": {"c": 6.0}} | ({"truth": None} if loss == "unsupervised" else {})
    configuration = configured(
        "models.py:rossler", changed, prior={"kind": "rk4"}, loss={"kind": loss}
    )
    Path("run.yaml").write_text(yaml.safe_dump(configuration.model_dump(mode="json")))
    assert command(monkeypatch, "train", "run.yaml", "--out", "run") == 0
    model = pyvda.load("run", resolve("models.py:rossler", {"c": 6.0}))
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    stepped = pyvda.get_engine("torch").forecast(
        resolve("models.py:rossler", {"c": 6.0}), x[:, :-1].numpy(), time_step=0.05
    )
    phi = model.to_physical(model.prior(model.to_normalised(x)))
    np.testing.assert_allclose(phi[:, 1:].detach(), stepped, rtol=1e-9, atol=1e-9)

    capsys.readouterr()
    arguments = ("assimilate", "obs.nc", "--checkpoint", "run", "-o", "analysis.nc")
    assert command(monkeypatch, *arguments) == 2
    assert "name it with model (--model models.py:rossler --parameter" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"--parameter a=0.2 --parameter b=0.2 --parameter c=6\)"):
        pyvda.load("run")
    named = ("--model", "models.py:rossler", "--parameter", "c=6")
    assert command(monkeypatch, *arguments, "--model", "models.py:rossler") == 2
    assert "trained for Rossler with parameters (0.2, 0.2, 6.0)" in capsys.readouterr().err
    assert command(monkeypatch, *arguments, *named) == 0
    scored = ("score", "analysis.nc", "--truth", "truth.nc", "--json", "scores.json")
    assert command(monkeypatch, *scored, "--model", "models.py:rossler") == 0
    assert np.isfinite(json.loads(Path("scores.json").read_text())["scores"]["r_score"]["mean"])


def test_a_changed_source_is_said() -> None:
    train(configured("models.py:rossler"), "run")
    observed = xr.open_dataset("obs.nc").load()
    Path("models.py").write_text(IN_TORCH + "# changed\n")
    with pytest.warns(PatternWarning, match="the source of the model Rossler"):
        pyvda.assimilate(observed, model="models.py:rossler", checkpoint="run")


def test_a_run_goes_on_with_its_own_source_alone() -> None:
    configuration = configured("models.py:rossler")

    def stop(epoch: dict[str, Any]) -> None:
        raise RuntimeError("after the first epoch")

    with pytest.raises(RuntimeError, match="after the first epoch"):
        train(configuration, "run", report=stop)
    Path("models.py").write_text(IN_TORCH + "# changed\n")
    with pytest.raises(InputError, match=r"the source of models\.py:rossler is not the one"):
        train(configuration, "run", resume=True)
    Path("models.py").write_text(IN_TORCH)
    train(configuration, "run", resume=True)
    assert json.loads(Path("run/training.json").read_text())["finished"]


def test_a_model_given_by_its_step_is_a_prior() -> None:
    """Trained on files with the variables u and v of a linear map."""
    states = np.random.default_rng(1).standard_normal((6, 8, 2))
    for t in range(1, 8):
        states[:, t] = states[:, t - 1] @ [[0.5, 0.3], [-0.3, 0.5]]
    time = ("time", np.arange(8.0))
    variables = {n: (("window", "time"), states[..., i]) for i, n in enumerate(("u", "v"))}
    xr.Dataset(variables, {"time": time}).to_netcdf("truth.nc")
    noisy = {n: (d, v + 0.01) for n, (d, v) in variables.items()}
    xr.Dataset(noisy, {"time": time}).to_netcdf("obs.nc")
    data = {"validation": 2}
    model = train(configured("models.py:halving", data, prior={"kind": "step"}), "run")
    assert [name for name, _ in model.prior.named_parameters()] == []
    x = torch.as_tensor(states, dtype=torch.float32)
    phi = model.to_physical(model.prior(model.to_normalised(x)))
    torch.testing.assert_close(phi, x)  # the states follow the map
    observed = xr.open_dataset("obs.nc").load()
    found = pyvda.assimilate(observed, model="models.py:halving", checkpoint="run")
    assert np.isfinite(found["u"]).all()


REFUSED = [
    ("rossler.jl", {"prior": {"kind": "rk4"}}, "name a model in a Python file"),
    (
        "rossler.jl",
        {"prior": {"kind": "bilinear-rk4"}},
        "only built-in models have the prior bilinear-rk4",
    ),
    ("models.py:rossler", {"mirrored": True}, "mirror image"),
    ("models.py:rossler", {"prior": {"kind": "step"}}, "choose the prior rk4 or euler"),
    ("other.py:rossler", {}, "there is no file other.py"),
    ("models.py:none", {}, "has no model 'none'"),
    ("rosler", {}, "files such as rossler.jl or models.py:rossler"),
]


@pytest.mark.parametrize(("model", "sections", "message"), REFUSED)
def test_what_cannot_be_trained_is_refused(model, sections, message) -> None:
    with pytest.raises(InputError, match=message):
        train(configured(model, **sections), "run")
    assert not Path("run").exists()


def test_a_checkpoint_runs_no_code(monkeypatch) -> None:
    train(configured("models.py:rossler"), "run")
    Path("models.py").write_text("raise RuntimeError('was run')")
    Path("run/models.py").write_text("raise RuntimeError('was run')")
    model = pyvda.load("run").pattern.dynamics()
    assert not without_code.has_code(model)
    assert model.state_space.names == ("x", "y", "z")
    with pytest.raises(InputError, match=r"name it with model \(--model models.py:rossler"):
        pyvda.simulate(model, 2, 1, steps=5)
    observed = xr.open_dataset("obs.nc").load()
    with pytest.raises(InputError, match="name it with model"):
        pyvda.assimilate(observed, method="gauss-newton", warm_start="run")


def test_learned_priors_of_own_models_are_checked() -> None:
    train(configured("models.py:rossler", prior={"kind": "rk4"}), "run")
    for checkpoint in (None, Path("run")):
        of = check_target("models.py:rossler", None, checkpoint)
        found: list[Check] = check_learned(of.learned, of.batch)
        assert found
        assert failed(found) == []
    with pytest.raises(InputError, match="name it with model"):
        check_target(None, None, Path("run"))
