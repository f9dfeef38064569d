"""The verdict on derivatives, and `pyvda check`, for users' models in both languages."""

import json

import pytest
import torch
from command_line import run as run_command
from julia_files import ROSSLER_WITH_DERIVATIVES

import pyvda
from pyvda.checks.run import check_model, failed
from pyvda.errors import InputError
from pyvda.models.from_torch import torch_model
from pyvda.models.registry import get_model


def in_julia(tmp_path, text=ROSSLER_WITH_DERIVATIVES):
    path = tmp_path / "rossler.jl"
    path.write_text(text)
    return path


def test_a_registered_model_is_right_in_both_languages() -> None:
    verdict = pyvda.check(get_model("lorenz63"))
    assert verdict.passed
    assert {entry.what for entry in verdict.worst} == {"tangent_linear", "adjoint"}


def test_a_step_model_in_torch_is_checked() -> None:
    model = torch_model(
        step=lambda x: torch.sin(x).roll(1, -1),
        adjoint=lambda x, v: torch.cos(x) * v.roll(-1, -1),
        variables=("u",), dimensions={"i": 6}, time_step=1.0, spinup=0.0, spread=0.5,
    )  # fmt: skip
    checks = check_model(model)
    assert failed(checks) == []
    assert {check.name for check in checks} == {
        "adjoint, worst entry",
        "torch step: tangent linear, by differences",
        "torch step: adjoint, in ulps",
        "torch step: gradient, by differences",
        "torch step: gradient, Taylor test",
    }
    assert all(check.passed for check in checks)


def test_a_tendency_only_in_torch_is_checked_like_a_built_in_one() -> None:
    def f(x, rate):
        u, v = x.unbind(-1)
        return torch.stack((v, -rate * torch.sin(u)), -1)

    model = torch_model(
        f, variables=("u", "v"), time_step=0.1, spinup=1.0, parameters={"rate": 2.0}
    )
    checks = check_model(model)
    assert failed(checks) == []
    assert any(check.name == "torch rk4: gradient, Taylor test" for check in checks)


@pytest.mark.julia
def test_a_model_in_julia_is_checked(tmp_path) -> None:
    model = pyvda.julia_model(in_julia(tmp_path))
    verdict = pyvda.check(model)
    assert verdict.passed, str(verdict)
    checks = check_model(model)
    assert failed(checks) == []
    assert "julia rk4: gradient, Taylor test" in {check.name for check in checks}
    wrong = in_julia(tmp_path, ROSSLER_WITH_DERIVATIVES.replace("-u + m.a * v,", "u + m.a * v,"))
    verdict = pyvda.check(pyvda.julia_model(wrong))
    assert not verdict.passed
    (entry,) = (entry for entry in verdict.worst if not entry.passed)
    assert (entry.what, entry.row, entry.column) == ("adjoint", 1, 2)
    assert (entry.expected, entry.found) == (-1.0, 1.0)


@pytest.mark.julia
def test_the_command_prints_the_verdict(tmp_path, monkeypatch, capsys) -> None:
    path = in_julia(tmp_path)
    report = tmp_path / "checks.json"
    assert run_command(
        monkeypatch, "check", "--model", str(path), "--parameter", "c=6.0", "--json", str(report)
    ) == 0  # fmt: skip
    assert "adjoint, worst entry" in capsys.readouterr().out
    assert json.loads(report.read_text())["passed"]
    in_julia(tmp_path, ROSSLER_WITH_DERIVATIVES.replace("-u + m.a * v,", "u + m.a * v,"))
    assert run_command(monkeypatch, "check", "--model", str(path)) == 1
    captured = capsys.readouterr()
    assert "FAIL" in captured.out
    assert "row 1" in captured.err
    assert "column 2" in captured.err


def test_a_model_without_a_way_to_run_is_refused(monkeypatch) -> None:
    model = torch_model(lambda x: -x, variables=("x",), time_step=1.0)
    with pytest.raises(InputError, match="only in torch and the engine julia cannot run it"):
        check_model(model, engine="julia")
