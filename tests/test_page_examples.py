"""The pages whose examples take minutes: their commands exist, and what they show is of these."""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyvda.cli.main import command_of
from pyvda.fields.covariance import Factor
from pyvda.fields.fitted import described

ROOT = Path(__file__).parents[1]
PAGES = ("fields", "large-states")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples", ROOT / "scripts/page_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(page: str) -> dict[str, str]:
    return json.loads((ROOT / "docs/results" / f"{page}.json").read_text("utf-8"))["printed"]


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_have_the_options_that_they_use(script, page) -> None:
    found = script.commands(page)
    assert [arguments[1] for arguments in found][:2] == ["simulate", "observe"]
    for _, name, *arguments in found:
        command_of(name).make_context(name, list(arguments))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_shown_is_of_the_commands_on_the_page(script, page) -> None:
    found = script.commands(page)
    shown = [shlex.join(one) for one in found if one[1] in script.SHOWN[page]]
    assert list(printed(page)) == shown, f"run python scripts/page_examples.py {page}"
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    drawn = {word for one in found for word in one if word.endswith(".png")}
    assert drawn == set(re.findall(r"\(figures/([\w-]+\.png)\)", text))
    assert all((ROOT / "docs/figures" / name).is_file() for name in drawn)


def test_the_lines_of_the_fit_have_the_form_that_is_printed_now() -> None:
    (text,) = (said for command, said in printed("fields").items() if " covariance " in command)
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
