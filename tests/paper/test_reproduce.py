"""Tables and their parts: run in small, resumed, read back and written to be read."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pyvda
from pyvda import names
from pyvda.cli.main import main
from pyvda.errors import InputError
from pyvda.learned import shipped
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.methods import METHODS
from pyvda.models.registry import get_preset
from pyvda.paper import (
    markdown,
    notes,
    paired_differences,
    provenance,
    retraining,
    rows,
    scoring,
    tables,
)
from pyvda.paper.held_out import HELD_OUT, check_not_trained_on
from pyvda.training import data
from pyvda.training.configuration import Configuration, Data, read_configuration
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


def model(preset="lorenz63-blanked", prior="two-scale-genn", solver="conv") -> LearnedModel:
    torch.manual_seed(0)
    sections = {"prior": {"kind": prior}, "solver": {"kind": solver}}
    architecture = validated(Architecture, sections, "here")
    return LearnedModel(architecture, Pattern.of(preset, get_preset(preset)), 7.0, 11.0, 2)


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A package with one shipped model, that of the row `genn-conv` in the published setting."""
    folder = tmp_path / "weights"
    model().save(folder / "lorenz63-blanked-genn-conv")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def small(monkeypatch, name="table1", *keys: str) -> None:
    """Leave only these rows in a table, and shorten the descent."""
    table = rows.TABLES[name]
    kept = tuple(row for row in table.rows if row.key in keys)
    short = {"options": {"iterations": 30}, "quick": {"iterations": 10}}
    kept = tuple(replace(row, **short) if row.key == "fsgd" else row for row in kept)
    monkeypatch.setitem(tables.TABLES, name, replace(table, rows=kept))


# The test windows.


def test_no_training_sees_the_test_windows() -> None:
    tested = {s for one in HELD_OUT.values() for s in (one.truth_seed, one.observation_seed)}
    for path in EXPERIMENTS:
        configuration = read_configuration(path)
        check_not_trained_on(configuration.model_dump(mode="json"))
        for seed in (configuration.data.seed, configuration.data.validation_seed):
            assert seed not in tested
            assert seed < 2**16
    # An epoch's seed has three 32-bit words, the highest of which a seed of one word has not.
    assert data._WORD == 1 << 32
    assert min(tested) > 10**9
    assert max(tested) < 2**32


def test_the_sizes_are_the_papers() -> None:
    assert {name: one.windows for name, one in HELD_OUT.items()} == {
        "lorenz63": 2000, "lorenz63-blanked": 2000, "lorenz96": 256,
    }  # fmt: skip


def test_first_windows_are_the_same_however_many() -> None:
    few, many = (HELD_OUT["lorenz63"].make(n) for n in (3, 5))
    for one, other, name in zip(few, many, ("truth", "observation"), strict=True):
        np.testing.assert_array_equal(one[name], other[name].isel(window=slice(0, 3)))


def test_a_training_on_the_test_windows_is_refused() -> None:
    seed = HELD_OUT["lorenz96"].truth_seed
    with pytest.raises(InputError, match=r"seed 1996000001.*train with another"):
        check_not_trained_on({"data": {"seed": seed, "validation_seed": 2}})


# Scores.


def test_scores_under_a_learned_prior_are_those_of_its_definition(weights) -> None:
    """By hand in numpy and autograd-free torch, window by window."""
    checkpoint = weights / "lorenz63-blanked-genn-conv"
    truth, observed = HELD_OUT["lorenz63-blanked"].make(3)
    analysis, seconds = scoring.assimilated(observed, checkpoint=checkpoint)
    found = scoring.scored(analysis, truth, checkpoint)
    phi = LearnedModel.load(checkpoint).double().prior
    assert seconds > 0
    for w in range(3):
        x, true = analysis["analysis"].values[w], truth["truth"].values[w]
        y = observed["observation"].values[w]

        def residual(states: np.ndarray) -> float:
            with torch.no_grad():
                z = torch.as_tensor((states[None] - 7.0) / 11.0)
                return float(np.mean((states - (phi(z)[0].numpy() * 11.0 + 7.0))[1:] ** 2))

        misfit = np.nanmean((x - y) ** 2)
        assert found["r_score"][w] == pytest.approx(np.mean((x - true) ** 2), rel=1e-12)
        assert found["four_dvar_score"][w] == pytest.approx(0.01 * misfit + residual(x), rel=1e-9)
        assert found["ode_score"][w] == pytest.approx(residual(true), rel=1e-9)
    assert np.all(found["ode_score_rk4"] < 1e-9)


def test_under_a_known_model_both_scores_are_one(tmp_path) -> None:
    model(prior="rk4").save(tmp_path / "m")
    truth, observed = HELD_OUT["lorenz63-blanked"].make(2)
    for checkpoint in (None, tmp_path / "m"):
        kind = {"iterations": 3} if checkpoint is None else {"checkpoint": checkpoint}
        analysis, _ = scoring.assimilated(observed, **kind)
        found = scoring.scored(analysis, truth, checkpoint)
        np.testing.assert_array_equal(found["four_dvar_score"], found["four_dvar_score_rk4"])


def test_a_regression_has_no_prior_and_no_scores_under_it(tmp_path) -> None:
    """Its configuration names one, as all do; a shooting model runs it."""
    truth, observed = HELD_OUT["lorenz63-blanked"].make(2)
    own = {"four_dvar_score", "ode_score"}
    for solver in ("regression", "shooting"):
        model(prior="rk4", solver=solver).save(tmp_path / solver)
        analysis, _ = scoring.assimilated(observed, checkpoint=tmp_path / solver)
        found = scoring.scored(analysis, truth, tmp_path / solver)
        assert own & found.keys() == (set() if solver == "regression" else own)
        assert {f"{name}_rk4" for name in own} <= found.keys()


def test_the_clock_starts_after_a_warm_up(monkeypatch) -> None:
    _, observed = HELD_OUT["lorenz63-blanked"].make(3)
    runs: list[tuple[int, bool]] = []
    at = iter((10.0, 11.5))

    def run(data, *, report=None, **settings):
        runs.append((data.sizes["window"], "state" in settings))
        return data

    monkeypatch.setattr(scoring.pyvda, "assimilate", run)
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: runs and next(at))
    _, seconds = scoring.assimilated(observed, warm_up=2, state="state.npz")
    assert runs == [(2, False), (3, True)]
    assert seconds == 1.5


# Rows.


def test_the_papers_numbers_are_those_printed() -> None:
    """Against the text of the tables, as far as it is in the experiments' comments."""
    for table, system in (("table1", "lorenz63"), ("table2", "lorenz96")):
        by_key = {row.key: row for row in rows.TABLES[table].rows}
        for path in EXPERIMENTS:
            stem = path.stem.removeprefix(f"{system}_")
            if stem == path.stem or "supervised" not in stem:
                continue
            key = stem.replace("_supervised", "").replace("_", "-")
            paper = by_key[key].paper
            comment = " ".join(path.read_text("utf-8").split("\n\n")[0].replace("#", "").split())
            if paper.r_score:
                assert f"R {paper.r_score}" in comment, path
            if paper.four_dvar and "4DVar-score" in comment:
                number = comment.split("4DVar-score ")[1].split()[0].rstrip(".,")
                assert float(number) == pytest.approx(float(paper.four_dvar))


def test_every_learned_row_has_its_training() -> None:
    for table in rows.TABLES.values():
        for row in table.rows:
            if row.method != "learned":
                continue
            found = retraining._experiment(table.settings[0], row)
            assert isinstance(found, Configuration), row.key
            assert found.data.preset == table.settings[0]
            assert found.loss.kind == row.scheme
            if row.solver.startswith("aG-"):
                assert found.prior.kind.endswith(row.prior.lower())
                assert found.solver.kind == row.solver.removeprefix("aG-").lower()
            else:
                own = retraining._experiment(table.settings[-1], row)
                assert own is not None
                assert own.data.preset == table.settings[-1]


def test_the_options_of_every_row_are_those_of_its_method() -> None:
    for table in rows.TABLES.values():
        for row in table.all_rows():
            if row.method != "learned":
                for quick in (False, True):
                    settings = row.settings_of(quick)
                    chosen = METHODS[row.method].options
                    if settings.pop("warm_start", None) is not None:
                        assert chosen.starts_from_first_guess
                    chosen(**settings)


def test_weights_of_the_other_setting_and_of_no_row(weights) -> None:
    table = rows.TABLES["table1"]
    row = next(row for row in table.rows if row.key == "genn-conv")
    name = "lorenz63-blanked-genn-conv"
    assert rows.checkpoint_name("lorenz63-blanked", row) == name
    assert rows.checkpoint_name("lorenz63", row) == name
    assert [r.key for r in table.all_rows() if r.scheme == "learned, further"] == []
    model("lorenz63").save(weights / "lorenz63-genn-conv")
    model("lorenz63").save(weights / "lorenz63-best")
    model("lorenz96").save(weights / "lorenz96-best")
    assert rows.checkpoint_name("lorenz63", row) == "lorenz63-genn-conv"
    (further,) = [r for r in table.all_rows() if r.scheme == "learned, further"]
    assert further.key == "best"
    assert (further.prior, further.solver) == ("GENN", "aG-Conv (`best`)")
    model("lorenz63", "rk4", "regression").save(weights / "lorenz63-best")
    (further,) = [r for r in table.all_rows() if r.scheme == "learned, further"]
    assert (further.prior, further.solver) == ("none", "direct regression (`best`)")
    assert rows.checkpoint_name("lorenz63", further) == "lorenz63-best"
    assert rows.checkpoint_name("lorenz63-blanked", further) is None


# Tables.


def test_a_table_from_the_command_line(weights, tmp_path, monkeypatch, capsys) -> None:
    small(monkeypatch, "table1", "fsgd", "genn-conv", "genn-lstm")
    out = tmp_path / "out"
    argv = ["pyvda", "reproduce", "table1", "--quick", "--windows", "4", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)
    found = json.loads((out / "table1-quick.json").read_text())
    by_key = {row["row"]: row["results"] for row in found["rows"]}
    fsgd = by_key["fsgd"]["lorenz63-blanked"]
    assert fsgd["options"] == {"iterations": 10}
    assert fsgd["cut"] == {"iterations": 30}
    assert fsgd["full"]["iterations"] == 150_000
    assert by_key["genn-lstm"]["lorenz63"]["state"] == "not trained"
    learned = by_key["genn-conv"]["lorenz63"]
    assert learned["trained_for"] == "lorenz63-blanked"
    assert learned["windows"] == 4

    # The same number as a user finds with the two commands of the README.
    truth, observed = HELD_OUT["lorenz63-blanked"].make(4)
    analysis = pyvda.assimilate(observed, checkpoint="lorenz63-blanked-genn-conv")
    mean = pyvda.evaluate(analysis, truth)["r_score"].mean()
    assert by_key["genn-conv"]["lorenz63-blanked"]["scores"]["r_score"]["mean"] == mean

    text = (out / "table1-quick.md").read_text()
    row = next(line for line in text.splitlines() if "| supervised | GENN | aG-Conv |" in line)
    assert "| 1.34 |" in row
    assert f"| {mean:.3g} [" in row
    stored = json.loads(tables.STORED_FSGD.read_text())["lorenz63-blanked"]["r_score"]
    cut = "cut to 10 of 30 iterations; a stored run of 150000 iterations has R"
    assert f"{cut} {stored:.3g} [" in text
    assert row.count("†") == 2  # the two cells of the setting that it was not trained for
    assert text.count("† Weights trained for `lorenz63-blanked`") == 2
    blanked, plain = text.split("### `lorenz63`")
    assert "- Not trained: supervised GENN aG-LSTM." in blanked
    assert "- † Weights" in plain
    assert "- † Weights" not in blanked
    assert "after a warm-up of 16 windows." in text
    assert "which its text does not mention" in text  # the setting of the paper
    assert sorted(p.name for p in out.iterdir()) == ["table1-quick.json", "table1-quick.md"]


def test_a_row_is_run_once_and_again_with_other_weights(weights, tmp_path, monkeypatch) -> None:
    small(monkeypatch, "table1", "fsgd", "genn-conv")
    runs: list[str] = []
    real = tables.assimilated

    def counted(observed, **settings):
        runs.append(str(settings.get("checkpoint", settings.get("method"))))
        return real(observed, **settings)

    monkeypatch.setattr(tables, "assimilated", counted)
    common = {"out": tmp_path, "quick": True, "windows": 2}
    first = tables.reproduce_table("table1", **common)
    assert len(runs) == 4
    assert tables.reproduce_table("table1", **common) == first
    assert len(runs) == 4
    changed = model()
    with torch.no_grad():
        next(changed.solver.parameters()).mul_(1.5)
    changed.save(weights / "lorenz63-blanked-genn-conv")
    second = tables.reproduce_table("table1", **common)
    assert len(runs) == 6
    assert second["rows"][0] == first["rows"][0]
    tables.reproduce_table("table1", **{**common, "windows": 3}, only=["fsgd"])
    assert runs[6:] == ["fsgd", "fsgd"]


def test_a_table_that_was_interrupted_goes_on(weights, tmp_path, monkeypatch) -> None:
    small(monkeypatch, "table1", "fsgd", "genn-conv")
    real = tables.assimilated
    calls = iter(range(10))

    def interrupted(observed, **settings):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(observed, **settings)

    monkeypatch.setattr(tables, "assimilated", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tables.reproduce_table("table1", tmp_path, quick=True, windows=2)
    kept = json.loads((tmp_path / "table1-quick.json").read_text())
    assert list(kept["rows"][0]["results"]) == ["lorenz63-blanked"]
    seconds = kept["rows"][0]["results"]["lorenz63-blanked"]["seconds"]
    whole = tables.reproduce_table("table1", tmp_path, quick=True, windows=2)
    assert whole["rows"][0]["results"]["lorenz63-blanked"]["seconds"] == seconds
    assert {s["state"] for row in whole["rows"] for s in row["results"].values()} == {"scored"}


def test_a_method_that_refuses_leaves_the_other_rows(tmp_path, monkeypatch, weights) -> None:
    small(monkeypatch, "table1", "fsgd", "genn-conv")
    real = tables.assimilated

    def refused(observed, **settings):
        if settings.get("method") == "fsgd":
            raise InputError("this needs Julia")
        return real(observed, **settings)

    monkeypatch.setattr(tables, "assimilated", refused)
    found = tables.reproduce_table("table1", tmp_path, quick=True, windows=2)
    assert [r["results"]["lorenz63"]["state"] for r in found["rows"]] == ["refused", "scored"]
    assert "- no learning RK4 FSGD: refused (this needs Julia)." in markdown.table(found)


def tiny(**training) -> dict:
    """Return the configuration of a very short training."""
    path = ROOT / "experiments" / "lorenz63_genn_conv_supervised.yaml"
    values = read_configuration(path).model_dump(mode="json")
    values["data"] |= {"windows": 8, "validation": 4, "steps": None}
    values["training"] |= {"epochs": 2, "pretraining": 0, "batch_size": 4, "iterations": {0: 1}}
    values["training"] |= training
    values["optimiser"]["schedule"] = "constant"
    return values


def test_training_again_is_the_shipped_training(weights, tmp_path, monkeypatch) -> None:
    """In full, a row's model is trained as its record says, in the folder of the results."""
    small(monkeypatch, "table1", "genn-conv")
    values = tiny()
    folder = weights / "lorenz63-blanked-genn-conv"
    (folder / "training.json").write_text(json.dumps({"configuration": values}))
    common = {"retrain": True, "windows": 2}
    found = tables.reproduce_table("table1", tmp_path / "out", **common)
    entry = found["rows"][0]["results"]["lorenz63-blanked"]
    trained = tmp_path / "out" / "trainings" / "lorenz63-blanked-genn-conv"
    assert entry["sha256"] == LearnedModel.load(trained).digest()
    assert entry["sha256"] != shipped.load("lorenz63-blanked-genn-conv").digest()
    assert entry["training"]["distinct_windows_seen"] == 8
    assert tables.reproduce_table("table1", tmp_path / "out", **common) == found


def test_weights_of_two_runs_are_trained_by_two_again(weights, tmp_path, monkeypatch) -> None:
    """The second from the weights of the first, which was stopped before its last epoch."""
    first, second = tiny(epochs=3), tiny(seed=1, iterations={0: 2})
    from pyvda.training.train import train

    by_hand = [tmp_path / "first", tmp_path / "second"]

    def stopped(epoch: dict) -> None:
        if epoch["epoch"] == 1:
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        train(validated(Configuration, first, "x"), by_hand[0], report=stopped)
    wanted = train(validated(Configuration, second, "x"), by_hand[1], start=by_hand[0])
    name = "lorenz63-blanked-genn-conv"
    record = json.loads((by_hand[1] / "training.json").read_text())
    assert record["started_from"]["epochs"] == 2
    (weights / name / "training.json").write_text(json.dumps(record))

    small(monkeypatch, "table1", "genn-conv")
    told: list[str] = []
    common = {"retrain": True, "windows": 2, "say": told.append}
    found = tables.reproduce_table("table1", tmp_path / "out", **common)
    entry = found["rows"][0]["results"]["lorenz63-blanked"]
    trainings = tmp_path / "out" / "trainings"
    assert sorted(path.name for path in trainings.iterdir()) == [name, f"{name}-1"]
    assert LearnedModel.load(trainings / f"{name}-1").digest() == record["started_from"]["sha256"]
    assert entry["sha256"] == wanted.digest()
    assert entry["training"]["epochs"] == 4
    assert sum("training" in line for line in told) == 4

    # Both are resumed: nothing of the first is left to do, the second lost its state.
    told.clear()
    for path in (trainings / name).iterdir():
        path.unlink()
    again = tables.reproduce_table("table1", tmp_path / "out", **common)
    assert again["rows"][0]["results"]["lorenz63-blanked"]["sha256"] == wanted.digest()
    assert [line.split(",")[0] for line in told if "training" in line] == [
        f"training {name}: epoch {n} of 2" for n in (1, 2)
    ]


def test_an_earlier_run_that_is_shipped_too_is_trained_once(weights) -> None:
    shipped_name = "lorenz63-blanked-genn-conv"
    earlier = {"configuration": tiny(), "sha256": shipped.load(shipped_name).digest()}
    later = {"configuration": tiny(), "started_from": earlier}
    model("lorenz63").save(weights / "lorenz63-genn-conv")
    (weights / "lorenz63-genn-conv" / "training.json").write_text(json.dumps(later))
    (row,) = (row for row in rows.TABLES["table1"].rows if row.key == "genn-conv")
    stages = retraining._stages("lorenz63", row, "lorenz63-genn-conv")
    assert [one.name for one in stages] == [shipped_name, "lorenz63-genn-conv"]


def test_the_weights_of_several_runs_have_records_of_all() -> None:
    """Each shipped model can be trained again: its record holds every run, none on test windows."""
    for name in shipped.names():
        record = shipped.read_json(shipped.FOLDER / name, shipped.TRAINING_FILE)
        for run in retraining.runs(record):
            check_not_trained_on(run["configuration"])
            found = validated(Configuration, run["configuration"], name)
            assert run.get("epochs", 0) <= found.training.epochs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table3"], "choose one of table1, table2, figure2"),
        (["figure2", "--only", "fsgd"], "--only apply to tables"),
        (["table1", "--quick", "--only", "fsgd,lstm"], "has no row lstm; its rows are fsgd"),
    ],
)
def test_what_cannot_be_reproduced_gets_one_sentence(
    arguments, message, tmp_path, monkeypatch, capsys
) -> None:
    argv = ["pyvda", "reproduce", *arguments, "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_files_are_not_taken_for_results(tmp_path, monkeypatch) -> None:
    small(monkeypatch, "table1", "fsgd")
    for text in ("[]", "{", '{"format": 7}'):
        (tmp_path / "table1.json").write_text(text)
        with pytest.raises(InputError, match="does not hold results of"):
            tables.reproduce_table("table1", tmp_path, windows=1)
        assert (tmp_path / "table1.json").read_text() == text


def test_the_stored_descents_are_those_of_a_committed_run() -> None:
    stored = json.loads(tables.STORED_FSGD.read_text())
    assert set(stored) == set(HELD_OUT)
    runs = [json.loads((ROOT / "benchmarks/results/fsgd_table.json").read_text())["rows"]]
    for table in ("table1", "table2"):
        path = ROOT / "docs/results" / f"{table}.json"
        if path.exists():
            runs.append(tables.full_descents(json.loads(path.read_text())).values())
    for preset, row in stored.items():
        kept = {"preset", "windows", "iterations", "r_score", "r_score_interval", "cost"}
        wanted = {name: row[name] for name in kept}
        assert any({n: one.get(n) for n in kept} == wanted for run in runs for one in run), preset


def results_page():
    spec = importlib.util.spec_from_file_location("page", ROOT / "scripts/results_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_results_is_that_of_the_committed_json() -> None:
    text = (ROOT / "docs/results.md").read_text("utf-8")
    assert results_page().page(text) == text, "run python scripts/results_page.py"


def test_the_page_takes_tables_and_figures(weights, tmp_path, monkeypatch) -> None:
    small(monkeypatch, "table1", "fsgd", "genn-conv")
    found = tables.reproduce_table("table1", tmp_path / "results", windows=2)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure3.png").write_bytes(b"")
    text = (ROOT / "docs/results.md").read_text("utf-8")
    page = results_page().page(text, tmp_path)
    assert page.count(markdown.table(found).strip()) == 1
    assert "(figures/figure3.png)" in page
    assert "(figures/figure2.png)" not in page
    assert results_page().page(page, tmp_path) == page
    with pytest.raises(SystemExit, match="no markers of table1"):
        results_page().page("text", tmp_path)
    # The whole test set alone is worth keeping as a full descent.
    assert tables.full_descents(found) == {}
    for name in HELD_OUT:
        one = replace(HELD_OUT[name], windows=2)
        monkeypatch.setitem(HELD_OUT, name, one)
    kept = tables.full_descents(found)
    assert set(kept) == {"lorenz63", "lorenz63-blanked"}
    scores = found["rows"][0]["results"]["lorenz63"]["scores"]
    assert kept["lorenz63"]["r_score"] == scores["r_score"]["mean"]
    assert kept["lorenz63"]["iterations"] == 30


def trained_row(mean: float, **labels: Any) -> dict[str, Any]:
    """Return a result of benchmarks/trainings.py."""
    return {
        "scores": {"r_score": {"mean": mean, "low": mean - 0.5, "high": mean + 0.5}},
        "r_scores": r_scores(mean), "wall_seconds": 90, "steps": 70, "distinct_windows_seen": 5,
        "configuration": {"data": {"windows": 5}}, **labels,
    }  # fmt: skip


def test_levers_are_held_against_the_training_that_has_all() -> None:
    text = markdown.levers({"rows": [trained_row(1.0), trained_row(1.2, lever="no noise")]})
    assert text.splitlines()[0] == "| changed | R-score | difference |"
    assert text.splitlines()[2:] == [
        "| none | 1 [0.5, 1.5]; 5 windows, 70 steps, 2 min | — |",
        "| no noise | 1.2 [0.7, 1.7]; 5 windows, 70 steps, 2 min | +0.2 [+0.2, +0.2] |",
    ]


def test_regimes_set_two_models_side_by_side() -> None:
    def row(model: str, mean: float, windows: int = 5, fresh: bool = False) -> dict[str, Any]:
        settings = {"data": {"windows": windows}}
        labels = {"preset": "lorenz63", "model": model, "fresh": fresh}
        return trained_row(mean, configuration=settings, **labels)

    rows = [row("a", 1.0), row("b", 1.2), row("a", 2.0, 9), row("b", 2.0, 9, fresh=True)]
    lines = markdown.regimes({"rows": rows}).splitlines()
    assert lines[0] == "| setting | training windows | a | b | difference |"
    took = "5 windows, 70 steps, 2 min"
    first, second, third = (f"{m:.3g} [{m - 0.5:.3g}, {m + 0.5:.3g}]; {took}" for m in (1, 1.2, 2))
    assert lines[2:] == [
        f"| `lorenz63` | 5 | {first} | {second} | -0.2 [-0.2, -0.2] |",
        f"| `lorenz63` | 9 | {third} | — | — |",
        f"| `lorenz63` | 9 new ones an epoch | — | {third} | — |",
    ]


def test_differences_are_paired() -> None:
    """One of two methods is slightly better on every window, hard or easy."""
    one, other = ({"r_scores": r_scores(mean)} for mean in (1.0, 1.01))
    found = paired_differences.difference(one, other)
    assert found is not None
    assert found.mean == pytest.approx(-0.01, abs=1e-3)
    assert paired_differences.verdict(found) == "better"
    assert paired_differences.verdict(paired_differences.difference(other, one)) == "worse"
    assert (
        paired_differences.verdict(paired_differences.difference(one, one)) == "no difference shown"
    )
    assert paired_differences.difference(one, {"r_scores": "1.0 2.0"}) is None
    assert paired_differences.difference({}, {}) is None
    assert paired_differences.verdict(None) == "no difference shown"


def test_a_diverged_window_is_named(tmp_path) -> None:
    entry = {
        "state": "scored", "note": "", "windows": 2, "ended": {"diverged": 1}, "iterations": 5.0,
        "seconds": 1.0, "options": {},
        "scores": pyvda.scores.score_table({"r_score": np.array([1.0, np.nan])})["scores"],
    }  # fmt: skip
    results = {
        "title": "t",
        "settings": {"lorenz96": {"windows": 2, "truth_seed": 1, "observation_seed": 2}},
        "rows": [{"row": "a", "scheme": "s", "prior": "p", "solver": "v",
                  "paper": {"r_score": "", "four_dvar": "", "ode": ""},
                  "results": {"lorenz96": entry}}],
    }  # fmt: skip
    text = markdown.table(results)
    assert "1 windows diverged" in text
    assert "windows that did not diverge" in text
    assert "| — |" in text
    assert names.Status.DIVERGED.name.lower() in entry["ended"]


def learned_entry(r_score: float, size: int, windows: int, minutes: float, **more) -> dict:
    """Return an entry of a learned row, of hard and easy windows."""
    score = {"mean": r_score, "low": r_score - 0.5, "high": r_score + 0.5, "not_finite": 0}
    training = {"distinct_windows_seen": windows, "wall_seconds": 60 * minutes, "steps": 70}
    entry = {
        "state": "scored", "note": "", "windows": 100, "ended": {}, "iterations": 5.0,
        "seconds": 1.0, "options": {}, "scores": {"r_score": score}, "checkpoint": "some",
        "trained_for": "lorenz96", "solver": "conv", "parameters": {"prior": size},
        "training": training, "machine": {"cores": 2}, "r_scores": r_scores(r_score),
    }  # fmt: skip
    return entry | more


def r_scores(mean: float, spread: float = 0.0) -> str:
    """Return the R-scores of twenty windows, whose difficulty all methods share."""
    own = np.where(np.arange(20) % 2, spread, -spread)
    return paired_differences.in_a_line(mean + np.linspace(-0.8, 0.8, 20) + own)


def notes_of(entries: dict[str, dict]) -> str:
    rows_of = [
        {"scheme": "", "prior": "none", "solver": name, "results": {"lorenz96": entry}}
        for name, entry in entries.items()
    ]
    return notes.notes({"settings": {"lorenz96": {}}, "rows": rows_of}, "lorenz96")


def test_the_baseline_is_compared_with_every_learned_row() -> None:
    text = notes_of(
        {
            "baseline": learned_entry(1.0, 100, 1000, 10, solver="regression", mirrored=True),
            "equal": learned_entry(0.9, 120, 900, 12),
            "longer": learned_entry(1.1, 100, 1000, 20),
            "larger": learned_entry(1.02, 200, 1000, 10, r_scores=r_scores(1.02, 0.2)),
            "elsewhere": learned_entry(0.1, 100, 1000, 10, trained_for="lorenz63"),
            "gaps": learned_entry(1.3, 100, 1000, 10, missing=0.6),
            "known": {**learned_entry(0.1, 0, 0, 0), "checkpoint": None, "training": {}},
        }
    )
    assert "- gaps: trained for files with gaps, up to 60 % of the data; here no data" in text
    (line,) = (line for line in text.splitlines() if line.startswith("- Baseline"))
    assert line == (
        "- Baseline baseline: R 1 with 100 parameters, 1000 training windows, 70 steps, 10 "
        "minutes of training, the mean of two mirrored analyses. In brackets, for the other rows: "
        "mean paired difference of R with its 95 % interval; parameters, windows, steps, "
        "minutes. Better: equal 0.9 (-0.1 [-0.1, -0.1]; 120, 900, 70, 12). Worse: longer 1.1 "
        "(+0.1 [+0.1, +0.1]; 100, 1000, 70, 20). No difference shown: larger 1.02 (+0.02 [-0.08, "
        "+0.12]; 200, 1000, 70, 10). Of equal size, windows and minutes, within a quarter: equal "
        "(better). Of equal size and windows, but other minutes: longer (worse)."
    )


def test_what_is_slow_and_how_it_was_timed_is_said() -> None:
    fast = learned_entry(1.0, 10, 10, 1)
    slow = learned_entry(0.5, 10, 10, 1, seconds=3.1)
    assert "More than" not in notes_of({"fast": fast, "exact": {**fast, "seconds": 3.0}})
    found = notes_of({"fast": fast, "slow": slow})
    assert "on 2 cores, 30 ms a window, take slow 31 ms." in found
    assert "The best learned row, slow, is among them." in found
    found = notes_of({"fast": {**fast, "warm_up": 16}, "slow": {**slow, **fast, "seconds": 9.0}})
    assert "row, fast, is not among them" in found
    assert "after a warm-up of 16 windows; without" in found
    assert "loading: slow." in found
    assert "of a single run and include part of the compiling" in notes_of({"fast": fast})


def test_what_the_record_of_a_training_says_is_said() -> None:
    training = {"trained_as": "a part", "note": "with 5 iterations"}
    found = notes_of({"one": learned_entry(1.0, 1, 1, 1, training=training)})
    assert "- one: trained as a part; its minutes are those of the whole run." in found
    assert "- one: with 5 iterations." in found


def test_a_table_is_put_right_without_a_new_score(weights, tmp_path, monkeypatch) -> None:
    """From the records of its weights; a regression loses scores that it cannot have."""
    small(monkeypatch, "table1", "fsgd", "genn-conv", "direct")
    model(prior="rk4", solver="regression").save(weights / "lorenz63-blanked-direct")
    found = tables.reproduce_table("table1", tmp_path, windows=2)
    stale = json.loads(json.dumps(found))
    for row in stale["rows"]:
        for entry in row["results"].values():
            entry.pop("mirrored", None)
            entry["scores"]["ode_score"] = entry["scores"]["r_score"]
    stale["rows"][1]["prior"] = "?"
    stale["rows"][1]["results"]["lorenz63"]["sha256"] = "of other weights"
    path = tmp_path / "table1.json"
    path.write_text(json.dumps(stale))
    monkeypatch.setattr(tables, "assimilated", None)
    record = {"parameters": {"prior": 7}, "distinct_windows_seen": 5}
    (weights / "lorenz63-blanked-direct" / "training.json").write_text(json.dumps(record))
    after = tables.refresh_table("table1", tmp_path)
    assert after == json.loads(path.read_text())
    assert markdown.table(after) == path.with_suffix(".md").read_text()
    fsgd, genn, direct = after["rows"]
    assert fsgd == stale["rows"][0]
    assert genn["prior"] == "GENN"
    assert genn["results"]["lorenz63"] == stale["rows"][1]["results"]["lorenz63"]
    assert genn["results"]["lorenz63-blanked"]["mirrored"] is False
    entry = direct["results"]["lorenz63-blanked"]
    assert "ode_score" not in entry["scores"]
    assert entry["parameters"] == {"prior": 7}
    assert entry["training"] == {"distinct_windows_seen": 5}
    assert "| 7 | 2 | 5 |" in markdown.table(after)


def run_record(windows: int, started_from: dict | None = None, **data) -> dict:
    """Return what `training.json` says of a run that saw so many windows."""
    configuration = {"data": {"preset": "lorenz63", "seed": 1, "fresh": True, **data}}
    record = {"epochs": 2, "steps": 20, "wall_seconds": 5.0, "configuration": configuration}
    return {**record, "distinct_windows_seen": windows, "started_from": started_from or {}}


@pytest.mark.parametrize(
    ("others", "windows"),
    [
        ({}, 30),  # the same seed draws the same windows
        ({"preset": "lorenz63-blanked"}, 30),  # of which other steps are observed
        ({"fresh": False}, 30),  # those of the first epoch
        ({"seed": 3}, 50),
        ({"steps": 100}, 50),
        ({"preset": "lorenz96"}, 50),
    ],
)
def test_a_training_counts_those_that_it_started_from(others, windows) -> None:
    first = run_record(20, **others)
    second = run_record(10, first)
    third = run_record(30, second)
    whole = provenance.with_earlier(third)
    assert (whole["epochs"], whole["steps"], whole["wall_seconds"]) == (6, 60, 15.0)
    assert whole["distinct_windows_seen"] == windows
    assert provenance.with_earlier(first) == first


def test_equal_seeds_draw_equal_windows() -> None:
    """What the count above rests on: in the first and in a later epoch of two trainings."""
    blanked = {"preset": "lorenz63-blanked", "windows": 3, "validation": 1, "fresh": True}
    one, other = (
        data.TwinData(validated(Data, values, "x"))
        for values in (blanked, {**blanked, "preset": "lorenz63", "windows": 2})
    )
    for epoch in (0, 1):
        (a, order_a), (b, order_b) = (of.epoch(epoch) for of in (one, other))
        truth_a = a.truth[np.argsort(order_a)][:2]
        np.testing.assert_array_equal(truth_a, b.truth[np.argsort(order_b)])
