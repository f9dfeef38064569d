"""Derivatives of observation functions: right ones pass, wrong ones fail, others are refused."""

import json
from pathlib import Path

import pytest
from command_line import run
from problems import twin_problem

from pyvda.checks.on_operator import check_operator
from pyvda.operators import FunctionOperator

FILE = """
import torch
from pyvda.operators import FunctionOperator

def speed(x):
    return torch.stack((x[..., 0] * x[..., 1], torch.sin(x[..., 2])), -1)

def adjoint(x, v):
    a, b = v.unbind(-1)
    return torch.stack((x[..., 1] * a, x[..., 0] * a, torch.cos(x[..., 2]) * b), -1)

right = FunctionOperator(speed, adjoint)
wrong = FunctionOperator(speed, lambda x, v: 1.001 * adjoint(x, v))
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "observe.py").write_text(FILE)
    (tmp_path / "rows.csv").write_text("row,component,weight\n0,0,1.0\n")
    names: dict = {}
    exec(FILE, names)
    return names


def test_a_right_function_passes_and_a_wrong_derivative_fails(made) -> None:
    batch = twin_problem("lorenz63", 2, engine="torch").batch
    for operator in (FunctionOperator(made["speed"]), made["right"]):
        (found,) = check_operator(operator, batch)
        assert found.passed
    (found,) = check_operator(made["wrong"], batch)
    assert found.passed is False
    assert "adjoint of the observation function is wrong" in found.detail

    class Blind(FunctionOperator):  # one whose derivatives are not those of its values
        def values(self, x, channels):
            return 2 * super().values(x, channels)

    (found,) = check_operator(Blind(made["speed"]), batch)
    assert found.passed is False
    assert 0.1 < found.value < 2


def test_on_the_command_line(made, monkeypatch, capsys) -> None:
    common = ("check", "--model", "lorenz84", "--engine", "torch", "--json", "c.json")
    for name, code in (("speed", 0), ("right", 0), ("wrong", 1)):
        assert run(monkeypatch, *common, "--operator", f"observe.py:{name}") == code
        said = json.loads(Path("c.json").read_text())["checks"]
        (own,) = [one for one in said if one["name"] == "observation operator"]
        assert own["passed"] == (code == 0)
    assert "observation operator failed: the adjoint" in capsys.readouterr().err
    assert run(monkeypatch, *common, "--operator", "rows.csv") == 2
    assert "has no derivatives to check" in capsys.readouterr().err


JULIA = """
observe((x, y, z)) = (x * y, sin(z))
observe_adjoint((x, y, z), (a, b)) = (y * a, x * a, cos(z) * b)
"""


@pytest.mark.julia
def test_a_function_in_julia_on_the_command_line(made, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "right.jl").write_text(JULIA)
    (tmp_path / "wrong.jl").write_text(JULIA.replace("x * a", "-x * a"))
    (tmp_path / "in_place.jl").write_text("observe!(y, x) = (y[1] = x[1]^2)\n")
    (tmp_path / "of_four.jl").write_text("observe(x) = (x[4],)\n")
    common = ("check", "--model", "lorenz84", "--engine", "torch", "--json", "c.json")
    for name, sentence in (
        ("right", None),
        ("wrong", "observed value 1 by component 2 should be"),
        ("in_place", "define observe_count(D)"),
        ("of_four", "BoundsError"),
    ):
        assert run(monkeypatch, *common, "--operator", f"{name}.jl") == (sentence is not None)
        (own,) = [
            one for one in json.loads(Path("c.json").read_text())["checks"]
            if one["name"] == "observation operator"
        ]  # fmt: skip
        assert own["passed"] == (sentence is None)
        assert sentence is None or sentence in own["detail"]
        assert "\n" not in own["detail"]


def test_without_julia_the_remedy_is_said(made, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "right.jl").write_text(JULIA)
    monkeypatch.setattr("pyvda.engine.choice._engines", {})
    monkeypatch.setenv("PYVDA_JULIA", "none")
    monkeypatch.setenv("PYVDA_ENGINE", "libjulia")
    asked = ("check", "--model", "lorenz84", "--engine", "torch", "--operator")
    assert run(monkeypatch, *asked, "right.jl") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "right.jl is written in Julia" in said
    assert "write the function in torch (observe.py:name)" in said
    assert run(monkeypatch, *asked, "observe.py:speed") == 0  # the remedy
