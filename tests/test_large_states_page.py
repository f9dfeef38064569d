"""The page on large states: its commands exist, and its numbers are those that they printed."""

import importlib.util
import json
from pathlib import Path

import pytest

from pyvda.cli.main import command_of

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "large_states_page.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("large_states_page", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_commands_have_the_options_that_they_use(script) -> None:
    found = script.commands(script.PAGE.read_text("utf-8"))
    assert [arguments[1] for arguments in found][:2] == ["simulate", "observe"]
    for _, name, *arguments in found:
        command_of(name).make_context(name, list(arguments))


def test_the_page_shows_what_the_commands_printed(script) -> None:
    text = script.PAGE.read_text("utf-8")
    results = json.loads(script.RESULTS.read_text("utf-8"))
    assert script.page(text, results) == text, "run python scripts/large_states_page.py --tables"
    for line in "".join(results["printed"].values()).splitlines():
        assert line in text
    for figure in ("maps", "series", "spectra"):
        assert f"figures/large-states-{figure}.png" in text
        assert (ROOT / "docs" / "figures" / f"large-states-{figure}.png").is_file()


def test_benchmarks_that_were_run_have_a_table(script, tmp_path) -> None:
    assert script.benchmarks(tmp_path).startswith("`benchmarks/qg.py` computes")
    cycle = {"start": 0.5, "middle": 0.4, "end": 0.6, "mean": 0.5}
    (tmp_path / "qg.json").write_text(json.dumps({"machine": {}, "a20": cycle, "memory": {"x": 1}}))
    filters = {"parts": {"45 members": {"rmse": 0.5, "spread": 0.6, "seconds": 0.2}}}
    (tmp_path / "letkf.json").write_text(json.dumps(filters))
    found = script.benchmarks(tmp_path)
    assert "| 20 times | 0.500 | 0.400 | 0.600 | 0.500 |" in found
    assert "| 45 members | 0.500 | 0.600 |" in found
    assert "memory" not in found
    one = {"ms": 1.0, "ns_per_step_unknown_and_log": 2.0}
    parts = {
        "spread": {**cycle, "ratio": 0.97}, "gradient": {"skipped": "no jax"},
        "growth": {"65": dict.fromkeys(("forward", "tangent", "adjoint"), one), "date": "x"},
        "memory": {"65, 1": {"states_of_the_window_gib": 0.1, "peak_gib": 0.3}, "date": "x"},
    }  # fmt: skip
    (tmp_path / "qg.json").write_text(json.dumps(parts))
    found = script.benchmarks(tmp_path)
    assert "of the analysis is 0.97 on average" in found
    assert "| 65 × 65 | 2.000 | 2.000 | 2.000 |" in found
    assert "| 65, 1 | 0.100 | 0.300 |" in found
    assert "gradient" not in found


def test_a_page_without_markers_is_refused(script) -> None:
    with pytest.raises(SystemExit, match="no commands"):
        script.commands("nothing")
    with pytest.raises(SystemExit, match="no markers"):
        script.between("nothing", "scores", "")
