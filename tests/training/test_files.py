"""Training on netCDF files: the same as on a preset's windows, and every file that does not do."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import pyvda
from pyvda import names, twin, twin_observations
from pyvda.cli.main import main
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.learned.description import read_description
from pyvda.learned.normalisation import normalisation
from pyvda.models.registry import get_preset
from pyvda.training.configuration import Configuration
from pyvda.training.data_settings import Files
from pyvda.training.files import FileData
from pyvda.training.train import train
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Relative paths start at the working directory."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(steps: int, windows: int, seed: int, start: str = "", **changes: Any) -> xr.Dataset:
    """Write truth.nc and obs.nc of Lorenz-63 as `pyvda simulate` and `observe` do it."""
    preset = replace(get_preset("lorenz63"), steps=steps)
    truth = twin.simulate(preset, windows, seed)
    observed = twin_observations.observe(truth, replace(preset, **changes), seed)
    pyvda.save_analysis(truth, f"{start}truth.nc")
    pyvda.save_analysis(observed, f"{start}obs.nc")
    return observed.assign(truth=truth[names.TRUTH])


BOTH = {"observations": "obs.nc", "truth": "truth.nc"}
SMALL: dict[str, Any] = {
    "data": BOTH,
    "prior": {"kind": "genn", "width": 3, "features": 4, "latent": 2},
    "solver": {"kind": "lstm", "hidden": 4},
    "loss": {"kind": "supervised"},
    "optimiser": {"solver_rate": 0.01, "prior_rate": 0.002, "clip": 1.0},
    "training": {"epochs": 2, "batch_size": 4, "iterations": {0: 2}},
}


def configured(**sections: Any) -> Configuration:
    return validated(Configuration, SMALL | sections, "here.yaml")


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["pyvda", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_files_train_what_their_preset_trains() -> None:
    """To the same bits: the windows, their order, first guesses and normalisation are the same."""
    preset = {"steps": 16, "windows": 10, "validation": 4, "fresh_noise": False}
    expected = train(configured(data=preset), "preset")
    write(16, 10, seed=1)
    write(16, 4, seed=2, start="later_")
    later = {"validation_observations": "later_obs.nc", "validation_truth": "later_truth.nc"}
    found = train(configured(data=BOTH | later), "files")
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0)
    records = [json.loads(Path(out, "training.json").read_text()) for out in ("preset", "files")]
    assert records[0]["curve"] == records[1]["curve"]
    assert records[1]["selected_by"] == "r_score"
    assert found.pattern == expected.pattern.model_copy(update={"name": "obs.nc"})


def test_without_a_truth_the_cost_goes_down() -> None:
    """Well below the first guess's on windows that were not trained on, by the engine's U."""
    write(41, 48, seed=1)
    configuration = configured(
        data={"observations": "obs.nc", "validation": 16},
        prior={"kind": "rk4"},
        solver={"kind": "lstm"},
        cost={"lambda1": 0.01, "lambda2": 1.0, "learnable": False},
        loss={"kind": "unsupervised"},
        training={"epochs": 6, "batch_size": 4, "iterations": {0: 5}},
    )
    model = train(configuration, "run")
    batch = FileData(configuration.data).validation
    assert batch.truth is None
    with torch.no_grad():
        x = model(batch.to(dtype=torch.float64)).x.numpy()

    def u(states: np.ndarray) -> float:
        arguments = (model.pattern.dynamics(), CostSettings(0.01), states)
        found = get_engine().cost(*arguments, batch.observation, batch.mask, gradient=False)
        return float(found.total.mean())

    assert u(x) < 0.6 * u(np.asarray(batch.first_guess))
    record = json.loads(Path("run/training.json").read_text())
    assert record["selected_by"] == "cost"
    assert record["validation"]["scores"].keys() == {"cost"}
    assert record["validation"]["scores"]["cost"]["mean"] == pytest.approx(u(x), rel=1e-3)


def test_the_equation_is_found_from_a_file_of_states() -> None:
    """On the way to the attractor, where the terms of the equation are told apart soonest."""
    preset = replace(get_preset("lorenz63"), steps=8, spinup=0.0, start_mean=(0.0,))
    pyvda.save_analysis(twin.simulate(preset, 80, 3).rename(truth="level"), "states.nc")
    configuration = configured(
        data={"truth": "states.nc"},
        prior={"kind": "bilinear-rk4"},
        solver={"kind": "gradient-descent"},
        loss={"kind": "identification"},
        optimiser={"prior_rate": 1.0},
        training={"epochs": 16, "batch_size": 8},
    )
    model = train(configuration, "run")
    own, neighbour, _ = (p.detach().numpy().astype(float) for p in model.prior.parameters())
    assert [neighbour[0], neighbour[1], -own[2]] == pytest.approx([10.0, 28.0, 8 / 3], rel=0.05)
    assert model.pattern.coverage == ()  # no observations, so that none are other ones
    assert json.loads(Path("run/training.json").read_text())["selected_by"] == "ode_score"


def test_the_example_trains_and_assimilates(monkeypatch, capsys) -> None:
    """And resumes, knows other observations, and does not go on with other files."""
    write(48, 20, seed=1)
    example = ROOT / "examples" / "train_on_files.yaml"
    assert command(monkeypatch, "train", example, "--out", "run") == 0
    digest = read_description("run").digest()
    assert command(monkeypatch, "train", example, "--out", "run", "--resume") == 0
    assert read_description("run").digest() == digest

    checkpoint = ("--checkpoint", "run", "-o", "analysis.nc")
    capsys.readouterr()
    assert command(monkeypatch, "assimilate", "obs.nc", *checkpoint) == 0
    assert capsys.readouterr().err == ""
    write(48, 20, seed=1, start="other_", every=4, variance=1.0)
    assert command(monkeypatch, "assimilate", "other_obs.nc", *checkpoint) == 0
    assert "observed every 4 steps, trained on every 8 steps; error variance 1" in (
        capsys.readouterr().err
    )


def test_a_run_goes_on_with_its_own_files_alone() -> None:
    write(16, 6, seed=1)
    configuration = configured(prior={"kind": "rk4"})

    def stop(epoch: dict[str, Any]) -> None:
        raise RuntimeError("after the first epoch")

    with pytest.raises(RuntimeError, match="after the first epoch"):
        train(configuration, "run", report=stop)
    assert json.loads(Path("run/training.json").read_text())["epochs"] == 1
    write(16, 6, seed=2)
    with pytest.raises(InputError, match="the training windows have the mean"):
        train(configuration, "run", resume=True)
    write(16, 6, seed=1)
    train(configuration, "run", resume=True)
    assert json.loads(Path("run/training.json").read_text())["finished"]


def test_no_step_to_select_by_is_trained_on() -> None:
    """Of a series: the states are the numbers of their steps."""
    steps = np.arange(103.0)[:, None] * [1.0, 1.0, 1.0]
    time = ("time", np.datetime64("2020-01-01", "ns") + np.arange(103) * np.timedelta64(1, "h"))
    pyvda.save_analysis(xr.Dataset({"truth": (("time", "state"), steps)}, {"time": time}), "s.nc")
    cut = {"window": 10, "overlap": 4, "time_step": 0.02}
    data = FileData(Files(truth="s.nc", validation=3, **cut))
    selecting = data.validation.truth
    assert len(selecting) == 3
    assert selecting.max() == 102
    assert data.states.max() == selecting.min() - 3  # windows start every 6 steps
    assert len(data.states) == 13
    batch, order = data.epoch(1)
    np.testing.assert_array_equal(batch.truth, data.states[order])
    assert (data.pattern.time_step, data.pattern.steps) == (0.02, 10)


def test_data_weigh_as_in_an_assimilation() -> None:
    """Each by the mean error variance over its own, which is the one to compare files by."""
    error = np.where(np.arange(8) % 2, 1.0, 3.0)[:, None, None] * np.ones((8, 16, 3))
    observed = write(16, 8, seed=1).assign(observation_error=(names.DIMENSIONS, error))
    pyvda.save_analysis(observed, "obs.nc")
    data = FileData(Files(observations="obs.nc", validation=2))
    assert data.pattern.variance == pytest.approx(5.0)
    weights = [np.unique(w[w > 0]).tolist() for w in data.validation.mask]
    assert weights == [pytest.approx([5 / 9]), pytest.approx([5.0])]
    three = observed.assign(observation_error=3 + 0 * observed.observation_error)
    pyvda.save_analysis(three, "later.nc")
    data = FileData(Files(observations="obs.nc", validation_observations="later.nc"))
    assert np.unique(data.validation.mask) == pytest.approx([0.0, 1.0])  # of its own file


def test_normalisation_without_a_truth_is_that_of_the_observations() -> None:
    observed = write(16, 8, seed=1)["observation"].values[:6]
    mean, std = normalisation(FileData(Files(observations="obs.nc", validation=2)).states, "scalar")
    known = observed[np.isfinite(observed)]
    assert (float(mean), float(std)) == pytest.approx((known.mean(), known.std()))


Change = Callable[[xr.Dataset], xr.Dataset]


def _shifted(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(time=ds.time + 0.01)


def _gap(ds: xr.Dataset) -> xr.Dataset:
    return ds.where(ds.time > 0.005)


def _in_kelvin(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(truth=ds.truth.assign_attrs(units="K"))


@pytest.mark.parametrize(
    ("change", "data", "says"),
    [
        (lambda ds: ds.isel(time=slice(8)), BOTH, "is 6 window x 8 time x 3 state, the obs"),
        (_shifted, BOTH, "time is 0.01 in the truth in truth.nc and 0.0 in the"),
        (lambda ds: ds.assign_coords(state=["u", "v", "w"]), BOTH, "state is u in the truth"),
        (_gap, BOTH, "has 18 missing or infinite values"),
        (_in_kelvin, BOTH, "in units of K, the observation in obs.nc in m"),
        (None, BOTH | {"validation": 6}, "6 windows, of which 6 are for validation"),
        (None, BOTH | {"window": 8}, "windows already"),
        (None, BOTH | {"model": "lorenz96"}, "says that it is of lorenz63"),
        (None, BOTH | {"observations": "none.nc"}, "none.nc does not exist"),
        (None, BOTH | {"truth_variable": "level"}, "no variable has the name .* 'level'"),
        (None, BOTH | {"variable": "level"}, "no variable has the name .* 'level'"),
        (None, {"observations": "obs.nc", "normalisation": "component"}, "component 1 has no two"),
        (lambda ds: ds.isel(time=slice(8)), BOTH | {"validation_observations": "obs.nc",
         "validation_truth": "truth.nc", "observations": "whole.nc", "truth": "whole.nc"},
         "is 6 window x 8 time"),
    ],
)  # fmt: skip
def test_files_that_do_not_do(change: Change | None, data, says, monkeypatch, capsys) -> None:
    """One sentence, exit code 2, and nothing is left behind."""
    whole = write(16, 6, seed=1)
    whole = whole.assign({n: v.assign_attrs(units="m") for n, v in whole.data_vars.items()})
    pyvda.save_analysis(whole[["observation"]], "obs.nc")
    pyvda.save_analysis(whole, "whole.nc")
    if change is not None:
        pyvda.save_analysis(change(whole[["truth"]]), "truth.nc")
    loss = "supervised" if "truth" in data else "unsupervised"
    settings = SMALL | {"data": data, "loss": {"kind": loss}}
    Path("mine.yaml").write_text(yaml.safe_dump(settings))
    assert command(monkeypatch, "train", "mine.yaml", "--out", "run") == 2
    said = capsys.readouterr().err
    assert re.search(says, said), said
    assert said.count("\n") == 1
    assert not Path("run").exists()


def test_windows_to_select_by_are_of_the_same_kind() -> None:
    write(16, 6, seed=1)
    write(12, 6, seed=2, start="later_")
    later = {"validation_observations": "later_obs.nc", "validation_truth": "later_truth.nc"}
    with pytest.raises(InputError, match=r"windows of 12 steps of 0\.01, the training"):
        FileData(Files(**BOTH, **later))


def test_data_between_the_steps_are_refused() -> None:
    table = xr.Dataset(
        {"observation": ("row", [1.0, 2.0, 3.0]), "component": ("row", [0, 0, 1])},
        {"time": ("row", [0.0, 0.013, 0.05])},
    )
    pyvda.save_analysis(pyvda.on_grid(table, 0.01, 3), "obs.nc")
    with pytest.raises(InputError, match="observations between the steps"):
        FileData(Files(observations="obs.nc"))


LATER = {"validation_observations": "a.nc", "validation_truth": "b.nc"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": BOTH | {"preset": "lorenz63"}}, r"here.yaml: data: there are both preset and"),
        ({"data": BOTH | {"symmetries": True}}, "symmetries: only windows that a preset's model"),
        ({"data": BOTH | {"fresh": True, "windows": 9}}, "windows, fresh: only windows"),
        ({"data": BOTH | {"windw": 9}}, r"unknown key data\.windw"),
        ({"data": BOTH | {"model": "lorenz64"}}, "the models are .*lorenz63"),
        ({"data": {"window": 9}}, "neither observations nor truth"),
        ({"data": BOTH | {"overlap": 9}}, "overlap is 9 and window None"),
        ({"data": {"observations": "obs.nc"}}, "loss supervised needs true states"),
        ({"data": {"truth": "truth.nc"}}, "loss supervised needs observations"),
        ({"data": BOTH | LATER | {"validation": 3}}, "remove one of the two"),
        ({"data": BOTH | {"validation_truth": "b.nc"}}, "validation_observations is None"),
        ({"data": {"observations": "obs.nc"}, "loss": {"kind": "unsupervised"},
          "training": {"pretraining": 1}}, "pretraining needs true states"),
        ({"data": {"observations": "obs.nc"}, "loss": {"kind": "unsupervised"},
          "training": {"select": "r_score"}}, "select is r_score"),
    ],
)  # fmt: skip
def test_a_mistake_about_files_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        configured(**change)
