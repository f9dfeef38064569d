"""Tables and their parts: run in small, resumed, read back and written to be read."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from paper_models import model, small

import pyvda
from pyvda.cli.main import main
from pyvda.errors import InputError
from pyvda.paper import (
    markdown,
    rows,
    tables,
)
from pyvda.paper.held_out import HELD_OUT

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("table", ["table1", "table2"])
def test_the_committed_text_of_a_table_is_that_of_its_json(table) -> None:
    found = json.loads((ROOT / f"docs/results/{table}.json").read_text())
    assert markdown.table(found) == (ROOT / f"docs/results/{table}.md").read_text()


def test_whole_test_sets_are_kept_as_full_descents(weights, tmp_path, monkeypatch) -> None:
    small(monkeypatch, "table1", "fsgd")
    found = tables.reproduce_table("table1", tmp_path / "results", windows=2)
    assert tables.full_descents(found) == {}
    for name in HELD_OUT:
        one = replace(HELD_OUT[name], windows=2)
        monkeypatch.setitem(HELD_OUT, name, one)
    kept = tables.full_descents(found)
    assert set(kept) == {"lorenz63", "lorenz63-blanked"}
    scores = found["rows"][0]["results"]["lorenz63"]["scores"]
    assert kept["lorenz63"]["r_score"] == scores["r_score"]["mean"]
    assert kept["lorenz63"]["iterations"] == 30


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
