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
    (tmp_path / "observe.jl").write_text("observe(x) = (x[1],)\n")
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
    for name, sentence in (
        ("rows.csv", "has no derivatives to check"),
        ("observe.jl", "does not say how many values"),
    ):
        assert run(monkeypatch, *common, "--operator", name) == 2
        assert sentence in capsys.readouterr().err
