"""The shipped weights reproduce the scores stored beside them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import ship_weights
import torch

import pyvda
from pyvda.cli.main import main
from pyvda.errors import InputError
from pyvda.fields.learned import shipped as of_fields
from pyvda.learned import shipped
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern, read_description
from pyvda.learned.model import LearnedModel
from pyvda.models.registry import get_preset
from pyvda.paper import illustrate
from pyvda.paper.held_out import HELD_OUT
from pyvda.paper.rows import TABLES, checkpoint_name
from pyvda.paper.shipping import CURVE_POINTS, ship, subset_means, trimmed
from pyvda.training.configuration import read_configuration
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]
NAMES = shipped.names()
SUBSET = HELD_OUT["lorenz63-blanked"].subset
FILES = {"model.json", shipped.TRAINING_FILE, shipped.SCORES_FILE}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a training; the weights are random ones."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    sections = {"prior": {"kind": "two-scale-genn"}, "solver": {"kind": "conv"}}
    pattern = Pattern.of("lorenz63-blanked", get_preset("lorenz63-blanked"))
    LearnedModel(validated(Architecture, sections, "x"), pattern, 7.0, 11.0, 3).save(folder)
    path = ROOT / "experiments/lorenz63_genn_conv_supervised.yaml"
    record = {
        "best_epoch": 317,
        "distinct_windows_seen": 10_000,
        "configuration": read_configuration(path).model_dump(mode="json"),
        "curve": [{"epoch": n, "r_score": 1.0 / (n + 1)} for n in range(500)],
    }
    (folder / shipped.TRAINING_FILE).write_text(json.dumps(record))
    (folder / "resume.safetensors").write_bytes(b"much")
    return folder


@pytest.fixture(scope="module")
def made(run, tmp_path_factory) -> Path:
    """A folder of shipped models with one in it."""
    folder = tmp_path_factory.mktemp("weights")
    ship(run, "lorenz63-blanked-genn-conv", folder, windows=SUBSET + 6)
    return folder


def rescored(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return the scores of a shipped model on the subset, computed now and stored."""
    stored = shipped.read_json(folder, shipped.SCORES_FILE)
    truth, observed = HELD_OUT[stored["preset"]].make(HELD_OUT[stored["preset"]].subset)
    return subset_means(folder, truth, observed), stored["subset"]


def agree(found: dict[str, float], stored: dict[str, float]) -> bool:
    # The error of RK4 itself, 1e-11, is a difference of equal numbers: hence the absolute part.
    return found == pytest.approx(stored, rel=1e-4, abs=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_scores_what_is_stored(name) -> None:
    found, stored = rescored(shipped.FOLDER / name)
    assert agree(found, stored), f"{found} now, {stored} when it was shipped"


def test_nothing_is_tested_only_while_nothing_is_shipped() -> None:
    """A shipped model makes a folder; the parametrised test above must have seen each."""
    folders = [path.name for path in shipped.FOLDER.glob("*") if path.is_dir()]
    assert sorted(folders) == NAMES
    results = [ROOT / "docs/results" / f"{table}.json" for table in TABLES]
    for path in results:
        if path.exists():  # tables with learned rows need the weights that made them
            rows = json.loads(path.read_text())["rows"]
            entries = [one for row in rows for one in row["results"].values()]
            used = {one["checkpoint"]: one["sha256"] for one in entries if "checkpoint" in one}
            for name, digest in used.items():
                assert read_description(shipped.FOLDER / name).digest() == digest, name


@pytest.mark.parametrize("figure", illustrate.FIGURES)
def test_a_figure_is_of_the_shipped_weights(figure) -> None:
    """Who ships other weights draws the figures again: pyvda reproduce FIGURE -o docs/figures."""
    folder = ROOT / "docs/figures"
    found = json.loads((folder / f"{figure}.json").read_text())
    for name, digest in found["weights"].items():
        assert read_description(shipped.FOLDER / name).digest() == digest, name
    sources = illustrate.FIGURES[figure]
    rows = [(s.setting, row) for s in sources for row in TABLES[s.table].rows if row.key in s.keys]
    used = {checkpoint_name(setting, row) for setting, row in rows if row.method == "learned"}
    assert found["weights"].keys() == used
    assert found["windows"] == {source.setting: source.windows for source in sources}
    assert found["quick"] is False


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_whole(name) -> None:
    folder = shipped.FOLDER / name
    files = {path.name for path in folder.iterdir()}
    (weights,) = (file for file in files if file.endswith(".safetensors"))
    assert files == FILES | {weights}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
    scores = shipped.read_json(folder, shipped.SCORES_FILE)
    description = read_description(folder)
    assert scores["sha256"] == description.digest()
    assert scores["windows"] == HELD_OUT[description.pattern.name].windows
    assert name.startswith(f"{description.pattern.name}-")
    training = shipped.read_json(folder, shipped.TRAINING_FILE)
    for section in ("prior", "solver", "cost"):
        of_run = validated(Architecture, _architecture(training["configuration"]), name)
        assert getattr(of_run, section) == getattr(description.architecture, section)
    assert {"distinct_windows_seen", "wall_seconds", "hardware"} <= training.keys()


def _architecture(configuration: dict) -> dict:
    return {name: configuration[name] for name in ("prior", "cost", "solver")}


# The machinery, on a model of the test's own.


def test_shipping_keeps_model_training_and_scores(run, made) -> None:
    folder = made / "lorenz63-blanked-genn-conv"
    (weights,) = folder.glob("*.safetensors")
    assert {path.name for path in folder.iterdir()} == FILES | {weights.name}
    assert LearnedModel.load(folder).digest() == LearnedModel.load(run).digest()
    training = shipped.read_json(folder, shipped.TRAINING_FILE)
    epochs = [point["epoch"] for point in training["curve"]]
    assert len(epochs) <= CURVE_POINTS
    assert {0, 317, 499} <= set(epochs)
    assert epochs == sorted(epochs)
    assert training["curve_of"] == 500
    scores = shipped.read_json(folder, shipped.SCORES_FILE)
    assert scores["windows"] == SUBSET + 6
    assert scores["full"]["scores"]["r_score"]["n"] == SUBSET + 6


def test_the_stored_scores_are_found_again(made) -> None:
    folder = made / "lorenz63-blanked-genn-conv"
    assert agree(*rescored(folder))
    # By the commands of the README, window by window.
    truth, observed = HELD_OUT["lorenz63-blanked"].make(SUBSET)
    analysis = pyvda.assimilate(observed, checkpoint=folder)
    error = np.mean((analysis["analysis"].values - truth["truth"].values) ** 2)
    stored = shipped.read_json(folder, shipped.SCORES_FILE)["subset"]["r_score"]
    assert error == pytest.approx(stored, rel=1e-4)


def test_a_spoilt_model_is_noticed(made, tmp_path) -> None:
    """A thousandth off in one layer must fail the comparison above."""
    folder = tmp_path / "spoilt"
    shutil.copytree(made / "lorenz63-blanked-genn-conv", folder)
    model = LearnedModel.load(folder)
    with torch.no_grad():
        model.solver.update.weight.mul_(1.001)
    model.save(folder)
    assert not agree(*rescored(folder))


def test_a_short_curve_is_kept_whole() -> None:
    training = {"curve": [{"epoch": n} for n in range(CURVE_POINTS)], "best_epoch": 3}
    assert trimmed(training) == training


@pytest.mark.parametrize("name", ["lorenz63-genn-conv", "genn-conv", "lorenz63-blanked", "../x"])
def test_a_name_that_does_not_fit_is_refused(name, run, tmp_path) -> None:
    with pytest.raises(InputError, match=r"its name is lorenz63-blanked-\.\.\."):
        ship(run, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_trained_on_the_test_windows_is_not_shipped(run, tmp_path) -> None:
    cheat = tmp_path / "cheat"
    shutil.copytree(run, cheat)
    record = json.loads((cheat / shipped.TRAINING_FILE).read_text())
    record["configuration"]["data"]["seed"] = HELD_OUT["lorenz63-blanked"].truth_seed
    (cheat / shipped.TRAINING_FILE).write_text(json.dumps(record))
    with pytest.raises(InputError, match="a seed of the test sets"):
        ship(cheat, "lorenz63-blanked-genn-conv", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_the_script_says_what_is_wrong(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["ship_weights.py", str(tmp_path), "lorenz63-direct"])
    assert ship_weights.main() == 2
    said = capsys.readouterr().err
    assert "holds no learned model" in said
    assert said.count("\n") == 1


# Names.


def test_a_name_loads_and_assimilates(made, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(shipped, "FOLDER", made)
    name = "lorenz63-blanked-genn-conv"
    assert pyvda.load(name).digest() == pyvda.load(made / name).digest()
    _, observed = HELD_OUT["lorenz63-blanked"].make(2)
    pyvda.save_analysis(observed, tmp_path / "obs.nc")
    common = ["pyvda", "assimilate", str(tmp_path / "obs.nc"), "-q", "--checkpoint"]
    monkeypatch.chdir(tmp_path)
    for checkpoint in (name, str(made / name)):
        monkeypatch.setattr(sys, "argv", [*common, checkpoint, "-o", f"{len(checkpoint)}.nc"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (None, 0)
    by_name, by_path = (pyvda.io.netcdf.open_dataset(p) for p in sorted(tmp_path.glob("[0-9]*.nc")))
    np.testing.assert_array_equal(by_name["analysis"], by_path["analysis"])
    digest = read_description(made / name).digest()
    assert by_name.attrs["pyvda_checkpoint_sha256"] == digest
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(sys, "argv", ["pyvda", "info"])
    with pytest.raises(SystemExit):
        main()
    assert name in capsys.readouterr().out


def test_a_folder_that_exists_wins_over_a_name(made, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", made)
    monkeypatch.chdir(tmp_path)
    name = "lorenz63-blanked-genn-conv"
    assert shipped.checkpoint_folder(name) == made / name
    shutil.copytree(run, tmp_path / name)
    assert shipped.checkpoint_folder(name) == Path(name)


def test_an_unknown_name_is_answered_by_the_known_ones(made, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "FOLDER", made)
    match = r"no learned model 'lorenz63-gen'.*shipped models lorenz63-blanked-genn-conv"
    with pytest.raises(InputError, match=match):
        pyvda.load("lorenz63-gen")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nothing")
    with pytest.raises(InputError, match="train one first"):
        pyvda.load("lorenz63-gen")


def test_a_damaged_record_is_named(made, tmp_path) -> None:
    (tmp_path / shipped.SCORES_FILE).write_text("{")
    with pytest.raises(InputError, match=r"scores\.json cannot be read"):
        shipped.read_json(tmp_path, shipped.SCORES_FILE)
    (tmp_path / shipped.SCORES_FILE).write_text("[]")
    with pytest.raises(InputError, match=r"scores\.json does not hold"):
        shipped.read_json(tmp_path, shipped.SCORES_FILE)
    assert shipped.read_json(tmp_path, shipped.TRAINING_FILE) == {}


@pytest.mark.parametrize("name", of_fields.names())
def test_a_network_for_fields_is_said_to_be_one(name) -> None:
    with pytest.raises(InputError, match=rf"network for fields.*--checkpoint {name}\)$"):
        pyvda.load(name)
