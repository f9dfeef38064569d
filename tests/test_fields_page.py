"""The page on fields: its commands exist, and its numbers are those that were measured."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyvda.cli.main import command_of
from pyvda.fields.covariance import Factor
from pyvda.fields.fitted import described

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fields_page", ROOT / "scripts/fields_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_commands_have_the_options_that_they_use(script) -> None:
    found = script.commands(script.PAGE.read_text("utf-8"))
    assert [arguments[1] for arguments in found][:2] == ["simulate", "observe"]
    for _, name, *arguments in found:
        command_of(name).make_context(name, list(arguments))


def test_the_page_shows_what_was_printed_and_measured(script) -> None:
    text = script.PAGE.read_text("utf-8")
    results = json.loads(script.RESULTS.read_text("utf-8"))
    benchmark = json.loads(script.BENCHMARK.read_text("utf-8"))
    assert script.page(text, results, benchmark) == text
    assert f"{benchmark['twin'][0]['rmse']:.4f}" in text
    for figure in ("maps", "fit"):
        assert f"figures/fields-{figure}.png" in text
        assert (ROOT / "docs" / "figures" / f"fields-{figure}.png").is_file()


def test_the_lines_of_the_fit_have_the_form_that_is_printed_now(script) -> None:
    results = json.loads(script.RESULTS.read_text("utf-8"))
    (text,) = (said for command, said in results["printed"].items() if " covariance " in command)
    head, first, *others = text.splitlines()[1:]
    lines = [first, *(line for line in others if line.endswith(" days"))]
    numbers = [[float(n) for n in re.findall(r"[ ]([0-9.e+-]+)", line)] for line in lines]
    kinds: list[Any] = [{"space": "gaussian", "time": "matern32"}, {}]
    factors = [
        Factor(variance=v, km=km, days=days, **kind)
        for (v, km, days), kind in zip(numbers, kinds, strict=True)
    ]
    nugget, (variance, length) = (
        [float(n) for n in re.findall(r" ([0-9.]+)", line)] for line in others[-2:]
    )
    rmse, count, calibration, nll = (float(n) for n in re.findall(r" ([0-9.]+)", head))
    covariance = SimpleNamespace(
        factors=factors, nugget=nugget[0], track_variance=variance, track_km=length
    )
    fit = SimpleNamespace(
        rmse=rmse, count=int(count), calibration=calibration, nll=nll, covariance=covariance
    )
    rows = SimpleNamespace(places=SimpleNamespace(unit=""))  # x and y of the model have none
    fits: Any = {"psi": (fit, rows, 1.0)}
    assert described(fits) == [head, first, *others]


def test_a_table_has_the_columns_of_its_rows(script) -> None:
    rows = [{"method": "oi", "rmse": 0.12345}, {"method": "eof", "rmse": 0.2, "nll": -0.5}]
    assert script._table(rows).splitlines() == [
        "| method | RMSE | NLL |",
        "| --- | --- | --- |",
        "| oi | 0.1235 |  |",
        "| eof | 0.2000 | -0.50 |",
    ]


def test_times_name_the_machine_of_each_row(script) -> None:
    rows = [
        {"method": "a", "rmse": 1.0, "processor_seconds": 2.0, "machine": "one"},
        {"method": "b", "rmse": 1.0, "processor_seconds": 3.0, "machine": "other"},
    ]
    assert "| processor s | machine |" in script.scores({"machine": {}, "radar": rows})
    same = script.scores({"machine": {}, "radar": rows[:1]})
    assert " On one." in same
    assert "machine |" not in same
    untimed = [{name: row[name] for name in ("method", "rmse", "machine")} for row in rows]
    assert "machine" not in script.scores({"machine": {}, "radar": untimed})
