"""Whole trainings, small: they learn, resume, and are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from command_line import run
from field_models import configuration, random_model
from gappy import field

import pyvda
from pyvda.errors import InputError, TrainingError
from pyvda.fields.field import opened
from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.learned.description import digests_of_0_2, read_description
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.module import _turned, drawn_to_one
from pyvda.fields.learned.train import _seeds, train_field
from pyvda.fields.score_table import described
from pyvda.validation_errors import validated

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def made(tmp_path, ds=None, **sections) -> FieldConfiguration:
    path = tmp_path / "obs.nc"
    if not path.exists():
        (field(times=14, seed=4)[0] if ds is None else ds).to_netcdf(path)
    return validated(FieldConfiguration, configuration(path, **sections), "here")


def weights(folder):
    return FieldModel.load(folder).state_dict()


def waves(times=60, ny=10, nx=12, seed=0):
    """Return a field whose sign alternates every day, which a covariance that decays misses."""
    rng = np.random.default_rng(seed)
    ds, _ = field(times=times, ny=ny, nx=nx, seed=1, land=False)
    pattern = np.cos(np.arange(ny)[:, None] / 2) * np.cos(np.arange(nx) / 2.5)
    amplitude = (-1.0) ** np.arange(times) * rng.uniform(0.5, 1.5, times)
    truth = 15 + 2 * amplitude[:, None, None] * pattern
    truth = truth + 0.05 * rng.normal(size=truth.shape)
    return ds.assign(sst=(ds.sst.dims, np.where(np.isfinite(ds.sst), truth, np.nan), ds.sst.attrs))


@pytest.mark.parametrize("kind", ["unet", "variational"])
def test_a_network_learns_what_the_covariance_does_not_know(kind, tmp_path) -> None:
    network = {"kind": kind, "days": 1}
    if kind == "variational":
        network |= {"width": [3, 3, 3], "features": 8, "latent": 8, "factors": [1, 2, 2],
                    "iterations": 3, "head": [8, 12]}  # fmt: skip
    else:
        network |= {"widths": [10, 12]}
    contents = configuration(
        tmp_path / "obs.nc", training={"epochs": 12}, field={"first_guess": "mean"}
    )
    contents["network"] = network
    waves().to_netcdf(tmp_path / "obs.nc")
    train_field(validated(FieldConfiguration, contents, "here"), tmp_path / "run", engine="torch")
    found = json.loads((tmp_path / "run/training.json").read_text())
    assert found["validation"]["rmse"] < 0.7 * found["first_guess"]["rmse"]
    assert found["validation"]["nll"] < found["first_guess"]["nll"]
    assert found["best_epoch"] == min(found["curve"], key=lambda e: e["nll"])["epoch"]
    factor = read_description(tmp_path / "run").variance_factor
    assert 0 <= (factor - 1) / (found["validation"]["calibration"] - 1) <= 1


def test_the_factor_of_few_clouds_is_drawn_to_one() -> None:
    """Of right variances it is nearer to 1 than their calibration, of wrong ones nearly as good."""
    random = np.random.default_rng(0)
    count = random.integers(50, 500, (400, 30))
    squares = count * random.gamma(2.0, 0.5, count.shape)  # of mean 1, those of a cloud alike
    for factor, worse in ((1.0, -0.5), (1.6, 0.25)):
        ratio = factor * squares.sum(1) / count.sum(1)
        drawn = [
            drawn_to_one(torch.from_numpy(n).double(), torch.from_numpy(factor * s))
            for n, s in zip(count, squares, strict=True)
        ]
        errors = [np.abs(np.log(np.array(one) / factor)).mean() for one in (drawn, ratio)]
        assert errors[0] < (1 + worse) * errors[1]
    assert drawn_to_one(torch.tensor([4.0]), torch.tensor([10.0])) == 2.5  # of one sample


def test_a_stack_learns_which_interpolation_to_trust(tmp_path) -> None:
    """Data of other times mislead about a field whose sign alternates."""
    waves().to_netcdf(tmp_path / "obs.nc")
    contents = configuration(tmp_path / "obs.nc", training={"epochs": 12, "batch_size": 12})
    contents["network"] = {"kind": "stack", "hidden": [16], "dropout": 0.0}
    contents["field"] |= {"augment": False, "nearest": 4, "within_days": 2.0}
    train_field(validated(FieldConfiguration, contents, "here"), tmp_path / "run")
    found = json.loads((tmp_path / "run/training.json").read_text())
    assert found["validation"]["rmse"] < 0.8 * found["first_guess"]["rmse"]
    assert found["validation"]["nll"] < found["first_guess"]["nll"] - 0.1
    used = pyvda.assimilate(tmp_path / "obs.nc", checkpoint=tmp_path / "run")
    assert np.isfinite(used.sst).all()


def test_a_resumed_training_gives_the_same_weights(tmp_path) -> None:
    settings = made(tmp_path, training={"epochs": 3, "averaging": 0.9})
    train_field(settings, tmp_path / "whole", engine="torch")

    class Stop(Exception):
        pass

    def stop(epoch) -> None:
        if epoch["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train_field(settings, tmp_path / "parts", engine="torch", report=stop)
    train_field(settings, tmp_path / "parts", resume=True, engine="torch")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (2, 1, 3, 4, 5)])
def test_what_is_turned_together_is_turned_together(shape) -> None:
    """Twice the same turns are none; a sign and an axis in one string never come alone."""
    torch.manual_seed(0)
    window, plane = (2, 1, 3, 4, 5), (2, 1, 4, 5)
    batch = {name: torch.randn(window) for name in ("values", "mask")}
    batch |= {name: torch.randn(plane) for name in ("guess", "spread", "static")}
    batch |= {name: torch.randn(shape) for name in ("target", "known", "noise")}
    reached = set()
    for seed in range(30):
        found = _turned(dict(batch), (("sign", "y"), ("time",)), np.random.default_rng(seed))
        in_y = torch.equal(found["spread"], batch["spread"].flip(-2))
        in_time = torch.equal(found["mask"], batch["mask"].flip((2, -2) if in_y else (2,)))
        axes = [axis for axis, turned in ((2, in_time and len(shape) > 4), (-2, in_y)) if turned]
        sign = -1 if in_y else 1
        torch.testing.assert_close(found["target"], sign * batch["target"].flip(axes))
        torch.testing.assert_close(found["known"], batch["known"].flip(axes))
        again = _turned(found, (("sign", "y"), ("time",)), np.random.default_rng(seed))
        for name, one in batch.items():
            torch.testing.assert_close(again[name], one)
        reached.add((in_y, in_time))
    assert len(reached) == 4


def test_all_times_of_a_window_are_learned_together(tmp_path) -> None:
    """From the truth of several windows, as a simulation of a twin experiment has them."""
    ds = waves(times=48)
    truth = ds.sst.fillna(15.0).values.reshape(6, 8, 10, 12)
    rng = np.random.default_rng(3)
    where = {n: ("obs", rng.uniform(lo, hi, 4000)) for n, lo, hi in (("y", 0, 9), ("x", 0, 11))}
    at = [np.rint(where[n][1]).astype(int) for n in ("y", "x")]
    window, time = (rng.integers(n, size=4000) for n in (6, 8))
    units = {"y": ("y", np.arange(10.0), {"units": "km", "axis": "Y"}),
             "x": ("x", np.arange(12.0), {"units": "km", "axis": "X"})}  # fmt: skip
    days = {"units": "days", "axis": "T"}
    xr.Dataset(
        {"sst": (("window", "time", "y", "x"), truth, {"units": "degC"})},
        {"time": ("time", np.arange(8.0), days), **units},
    ).to_netcdf(tmp_path / "truth.nc")
    xr.Dataset(
        {"sst": ("obs", truth[window, time, at[0], at[1]], {"units": "degC"}),
         "window": ("obs", window), "pass_id": ("obs", window)},
        {"time": ("obs", time.astype(float), days),
         **{n: (*where[n], units[n][2]) for n in ("y", "x")}},
        {"title": "twin experiment qg: observations", "seed": np.int64(3),
         "observation_seed": np.int64(4)},
    ).to_netcdf(tmp_path / "obs.nc")  # fmt: skip
    settings = validated(FieldConfiguration, configuration(
        tmp_path / "obs.nc",
        field={"truth": str(tmp_path / "truth.nc"), "first_guess": "mean", "validation": 0.17},
        network={"days": 2, "widths": [10, 12], "together": True},
        training={"epochs": 30, "batch_size": 4, "select": "rmse"},
    ), "here")  # fmt: skip
    train_field(settings, tmp_path / "run", engine="torch")
    found = json.loads((tmp_path / "run/training.json").read_text())
    assert found["validation"]["rmse"] < 0.7 * found["first_guess"]["rmse"]
    trained = read_description(tmp_path / "run").trained
    assert (trained["truth_seed"], trained["observation_seed"]) == (3, 4)


@pytest.mark.parametrize("title", ["twin experiment qg: observations", "a survey"])
@pytest.mark.parametrize("seed", ["kelp", np.nan, np.array([1, 2]), np.int64(3)])
def test_only_integers_of_a_twin_experiment_are_seeds(title, seed) -> None:
    found = _seeds({"title": title, "seed": seed, "observation_seed": 4})
    if title == "a survey":
        assert found == {}
    else:
        own = {"truth_seed": 3} if isinstance(seed, np.integer) else {}
        assert found == own | {"observation_seed": 4}


def test_a_title_or_seed_of_another_file_does_not_stop_a_training(tmp_path) -> None:
    ds = field(times=14, seed=4)[0].assign_attrs(seed="kelp", observation_seed=[1, 2])
    train_field(made(tmp_path, ds, training={"epochs": 1}), tmp_path / "run", engine="torch")
    assert not {"truth_seed", "observation_seed"} & set(read_description(tmp_path / "run").trained)


def test_another_training_in_the_folder_is_refused(tmp_path) -> None:
    settings = made(tmp_path, training={"epochs": 1})
    train_field(settings, tmp_path / "run", engine="torch")
    with pytest.raises(InputError, match="holds a training already"):
        train_field(settings, tmp_path / "run", engine="torch")
    with pytest.raises(InputError, match=r"another field\.draws"):
        train_field(
            made(tmp_path, training={"epochs": 1}, field={"draws": 1}), tmp_path / "run",
            resume=True, engine="torch",
        )  # fmt: skip


def test_a_training_that_gains_nothing_says_so(tmp_path) -> None:
    settings = made(tmp_path, training={"epochs": 1, "averaging": 0.0}, optimiser={"rate": 1.0})
    with pytest.warns(Warning, match="of its first guess"):
        train_field(settings, tmp_path / "run", engine="torch")


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path) -> None:
    settings = made(tmp_path, training={"epochs": 4}, optimiser={"rate": 1e30, "clip": None})
    with pytest.raises(TrainingError, match="not finite"):
        train_field(settings, tmp_path / "run", engine="torch")


def test_from_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    made(tmp_path)
    path, obs = tmp_path / "field.yaml", tmp_path / "obs.nc"
    contents = configuration(obs, training={"epochs": 1})
    path.write_text(yaml.safe_dump(contents))
    out, filled = tmp_path / "run", tmp_path / "filled.nc"
    torch_engine = ("--engine", "torch")
    assert run(monkeypatch, "train", path, "--out", out, *torch_engine) == 0
    said = capsys.readouterr().out
    assert "rmse" in said
    assert "nll" in said
    given = ("assimilate", obs, "--checkpoint", out, "-o", filled)
    assert run(monkeypatch, *given, *torch_engine) == 0
    with xr.open_dataset(filled) as found:
        assert found.sst.notnull().sum() == 14 * 19
        assert "pyvda_pattern_difference" not in found.attrs
        configured = json.loads(found.attrs["pyvda_configuration"])
        assert list(configured["variables"]["sst"]["checkpoints"]) == [str(out)]
    scores = tmp_path / "scores.json"
    given = ("crossvalidate", obs, "--method", f"eof,{out}", "--draws", 1, "--times", 5)
    options = ("--set", "eof.modes=1", "--json", scores)
    assert run(monkeypatch, *given, *options, *torch_engine) == 0
    assert list(json.loads(scores.read_text())["variables"]["sst"]) == ["eof", str(out)]


def test_crossvalidation_says_what_a_network_was_trained_on(tmp_path) -> None:
    ds, _ = field(times=14, seed=4)
    ds.to_netcdf(tmp_path / "obs.nc")
    hidden = (ds.sst.notnull() & (ds.time.dt.day % 4 == 0)).rename("withheld").astype("int8")
    hidden.to_netcdf(tmp_path / "hidden.nc")
    for name, section in (("all", {}), ("part", {"withhold": str(tmp_path / "hidden.nc")})):
        settings = made(tmp_path, training={"epochs": 1}, field=section)
        train_field(settings, tmp_path / name, engine="torch")
    both = [str(tmp_path / name) for name in ("all", "part")]

    def expect_seen(whole: xr.Dataset) -> dict:
        with pytest.warns(Warning, match="all was trained on this file"):
            found = pyvda.crossvalidate(whole, both, draws=1, engine="torch")
        assert found["seen"] == both
        with pytest.warns(Warning, match="all was trained on this file"):
            found = pyvda.crossvalidate(ds, both, withhold=tmp_path / "hidden.nc", engine="torch")
        assert found["seen"] == both[:1]
        return found

    found = expect_seen(ds.isel(lat=slice(None, None, -1)))  # the same data
    lines = described(found)
    assert [line.endswith("(trained on these values)") for line in lines[2:]] == [True, False]
    assert found["variables"]["sst"][both[0]]["count"] == int(hidden.sum())
    other = pyvda.crossvalidate(ds.isel(time=slice(1, None)), both, draws=1, engine="torch")
    assert other["seen"] == []
    _as_of_0_2(both, ds, hidden)
    expect_seen(ds)


def _as_of_0_2(folders, ds, hidden) -> None:
    """Give descriptions the digests that pyvda 0.2 wrote; the second withheld `hidden`."""
    of_field = opened(ds)
    values = {"sst": of_field.read("sst").values}
    withheld = hidden.values.astype(bool)[:, of_field.sea]
    for folder, left_out in zip(folders, (None, withheld), strict=True):
        path = Path(folder) / "field.json"
        text = json.loads(path.read_text())
        text["trained"] = digests_of_0_2(of_field, values, left_out)
        path.write_text(json.dumps(text))


def test_the_neighbours_of_the_first_guess_are_recorded(tmp_path) -> None:
    """By default they are those of oi; descriptions without them are of 8 and 1 in ten steps."""
    settings = made(tmp_path, training={"epochs": 1}, field={"nearest": 5, "within_days": 3.0})
    train_field(settings, tmp_path / "run", engine="torch")
    found = read_description(tmp_path / "run")
    assert (found.nearest, found.nearest_other, found.within_days) == (5, 1, 3.0)
    text = json.loads((tmp_path / "run/field.json").read_text())
    for name in ("nearest", "nearest_other", "within_days"):
        del text[name]
    assert read_description(tmp_path / "run").network.means
    (tmp_path / "run/field.json").write_text(json.dumps(text))
    assert read_description(tmp_path / "run").selection()[:2] == (8, 1)
    assert read_description(tmp_path / "run").selection().days == pytest.approx(10.0)
    pyvda.assimilate(tmp_path / "obs.nc", checkpoint=tmp_path / "run", engine="torch")
    with pytest.raises(InputError, match="nearest would have no effect"):
        made(tmp_path, field={"nearest": 5, "first_guess": "mean"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "oi"), "leave out method or checkpoint"),
        (("--lambda1", "2"), "lambda1 would have no effect"),
        (("--set", "nearest=3"), "nearest"),
        (("--set", "device=abacus"), "choose cpu"),
    ],
)
def test_what_has_no_effect_on_a_network_is_refused(
    arguments, said, tmp_path, monkeypatch, capsys
) -> None:
    ds, _ = field()
    ds.to_netcdf(tmp_path / "obs.nc")
    random_model(ds).save(tmp_path / "run")
    given = ("assimilate", tmp_path / "obs.nc", "--checkpoint", tmp_path / "run")
    assert run(monkeypatch, *given, "-o", tmp_path / "out.nc", *arguments) == 2
    errors = capsys.readouterr().err
    assert said in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not (tmp_path / "out.nc").exists()
