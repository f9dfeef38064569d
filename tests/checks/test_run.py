"""The checks themselves: right derivatives pass, every kind of wrong one fails in its own row."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import pyvda
from pyvda.checks.on_parameters import parameter_checks
from pyvda.checks.run import (
    Check,
    check_cost,
    check_learned,
    check_model,
    failed,
    point,
    summary,
    table,
)
from pyvda.checks.windows import twin_windows
from pyvda.cost import VariationalCost
from pyvda.engine import CostSettings, get_engine
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.models.in_torch import LinearisedDynamics
from pyvda.models.registry import get_model, get_preset
from pyvda.priors import GENN
from pyvda.priors.folded import FoldedGENN
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]


MODELS = ["lorenz63", "lorenz96"]


def names(checks: list[Check]) -> set[str]:
    return {check.name for check in checks}


@pytest.fixture(scope="module", params=MODELS)
def on_torch(request) -> list[Check]:
    return check_model(get_model(request.param), engine="torch")


@pytest.fixture(scope="module")
def l63_batch():
    return twin_windows(get_model("lorenz63"))


def test_torch_passes_and_julia_is_listed_as_not_run(on_torch) -> None:
    assert failed(on_torch) == []
    not_run = {check.name for check in on_torch if check.passed is None}
    assert not_run == {name for name in names(on_torch) if name.startswith("julia")}
    assert {"julia euler: adjoint, in ulps", "julia rk4: adjoint, in ulps"} <= not_run
    assert "40 not run: the torch engine runs (asked for)" in summary(on_torch)


@pytest.mark.julia
@pytest.mark.parametrize("model", MODELS)
def test_both_engines_pass(model) -> None:
    checks = check_model(get_model(model), engine="julia", seed=3)
    assert [check for check in checks if not check.passed] == []
    # A pass is significant: a wrong derivative exceeds the tolerance by orders of magnitude.
    for check in checks:
        if "Taylor" not in check.name and "ulps" not in check.name:
            assert check.tolerance < 1e-3


@pytest.mark.julia
def test_parameters_of_a_model_of_fields() -> None:
    model = get_model("advection-diffusion", n=8)
    x = point(twin_windows(model), 0)[:2, :3]
    checks = parameter_checks(get_engine("julia"), model, CostSettings(0.5), x, 0)
    assert [one for one in checks if not one.passed] == []


def test_any_prior_can_be_checked() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((3, 12, 3)), (rng.random((3, 12, 3)) < 0.4).astype(float)
    batch = pyvda.state.batch.Batch(x * mask, mask, x)
    cost = VariationalCost(GENN(3, features=8, latent=4).double())
    before = {name: value.clone() for name, value in cost.state_dict().items()}
    checks = check_cost(cost, batch, smooth=False)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 4
    for name, value in cost.state_dict().items():  # neither precision nor weights were touched
        assert torch.equal(value, before[name])


LEARNED = [("genn", "lorenz63"), ("two-scale-genn", "lorenz96"), ("autoencoder", "lorenz63"),
           ("bilinear-rk4", "lorenz96")]  # fmt: skip


def learned(prior: str, preset: str) -> LearnedModel:
    torch.manual_seed(1)
    sections = {"prior": {"kind": prior}, "solver": {"kind": "gradient-descent"}}
    pattern = Pattern.of(preset, get_preset(preset))
    return LearnedModel(validated(Architecture, sections, "here"), pattern, 3.0, 7.0, iterations=1)


@pytest.mark.parametrize(("prior", "preset"), LEARNED)
def test_learned_priors_pass(prior, preset) -> None:
    model = learned(prior, preset)
    checks = check_learned(model, twin_windows(model.pattern.dynamics()))
    assert [check for check in checks if not check.passed] == []
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_learned_prior_with_a_wrong_product_fails(monkeypatch) -> None:
    model = learned("genn", "lorenz63")
    batch = twin_windows(model.pattern.dynamics())
    right = FoldedGENN.residual_gradient
    monkeypatch.setattr(FoldedGENN, "residual_gradient", lambda self, x: right(self, x) * 1.02)
    assert names(failed(check_learned(model, batch))) == {
        "learned: gradient, by differences",
        "learned: gradient, Taylor test",
        "learned: gradient, by autograd",
    }


def test_the_point_of_the_checks_is_off_the_first_guess(l63_batch) -> None:
    misfit = (point(l63_batch) - l63_batch.observation)[l63_batch.mask > 0]
    assert np.abs(misfit).min() > 0


class Lorenz63(LinearisedDynamics):
    def __init__(self):
        super().__init__(get_model("lorenz63"))


class WrongSign(Lorenz63):
    def adjoint(self, x, dy):
        right = super().adjoint(x, dy)
        x1, _, _ = x.split(1, -1)
        return right - torch.cat((0 * x1, 2 * x1 * dy[..., 2:], 0 * x1), -1)


def test_every_derivative_is_checked_in_two_directions(on_torch) -> None:
    along = ("adjoint, in ulps", "by differences", "Taylor test")
    checked = [c for c in on_torch if c.passed is not None and c.name.endswith(along)]
    assert len(checked) == 2 + 2 * 4 + 1  # tendency, schemes, background
    for check in checked:
        assert "random " in check.detail, check.name
        assert ", gradient " in check.detail, check.name


def test_progress_counts_what_is_checked(l63_batch) -> None:
    reported: list[tuple[int, int]] = []

    def report(done: int, total: int, note: str = "") -> None:
        reported.append((done, total))

    check_model(get_model("lorenz63"), l63_batch, engine="torch", report=report)
    assert [done for done, _ in reported] == list(range(1, len(reported) + 1))
    assert {total for _, total in reported} == {len(reported)}


# Runs the command on a copy of julia/, in a process of its own: one process has one Julia.
RUN = """
import sys
from pathlib import Path
from pyvda.engine.julia import signatures, start_libjulia
source = Path(sys.argv.pop(1))
signatures.julia_source = start_libjulia.julia_source = lambda: source
from pyvda.cli.main import main
main()
"""


BETWEEN_STEPS = {
    f"between steps, {name}"
    for name in ("by differences", "adjoint", "Taylor test", "torch autograd")
}


FORMS = ("statistical form", "multiple shooting", "strong constraint")


OBJECTIVES = {f"{form}, {kind}" for form in FORMS for kind in ("Taylor test", "by the adjoint")}


WRONG_ADJOINT = {
    "adjoint, in ulps",
    "gradient, Taylor test",
    "cost and gradient, torch autograd",
    "parameters, adjoint in ulps",
    *(BETWEEN_STEPS - {"between steps, by differences"}),
    *(f"{form}, by the adjoint" for form in FORMS),
}


def background(kind: str) -> frozenset[str]:
    return frozenset(
        f"julia background, {kind}: {name}" for name in ("Taylor test", "Mahalanobis distance")
    )


class Edit(NamedTuple):
    """Changes to Julia's sources, (file, right, wrong), and the checks that fail."""

    model: str
    changes: list[tuple[str, str, str]]
    fails: set[str]
    fails_once: frozenset[str] = frozenset()


# Wrong adjoints alone, since much fails of them; the others together, each in rows of its own.
EDITS = {
    "sign-of-adjoint": Edit(
        "lorenz63",
        [("models/zoo/lorenz63.jl", "muladd(x₁, v₃, σv₁ - v₂)", "muladd(x₁, v₃, σv₁ + v₂)")],
        WRONG_ADJOINT,
    ),
    "term-of-adjoint": Edit(
        "lorenz96",
        [("models/zoo/lorenz96.jl", "muladd(x[s.ll], v[s.l], -muladd", "(-muladd")],
        WRONG_ADJOINT,
    ),
    "terms-of-small-models": Edit(
        "lorenz63",
        [
            ("models/zoo/lorenz63.jl", "ρ′ * x₁", "ρ′ * x₂"),
            # Data between steps: for the descent as if at the step, for Gauss-Newton in one part.
            ("cost/point_observations.jl", "step_adjoint(scheme, m, stages, a, hθ), g)", "a, g)"),
            (
                "cost/point_observations.jl",
                "muladd_sum(a, column, zero(N)), there",
                "a[1] * column[1], there",
            ),
            # A background as if its errors were not correlated.
            (
                "cost/shooting.jl",
                "for j in 1:D\n                    g[i, 1]",
                "for j in i:i\n g[i, 1]",
            ),
            # Misfits of the strong constraint that are not carried back.
            (
                "cost/strong_constraint_cost.jl",
                "muladd(πr, columns[k][i], e.g[k])",
                "k == i ? e.g[k] + πr : e.g[k]",
            ),
        ],
        {
            "parameters, by differences",
            "parameters, adjoint in ulps",
            "parameters, torch autograd",
            *BETWEEN_STEPS,
            *OBJECTIVES,
        },
        background("weak"),
    ),
    "terms-of-large-models": Edit(
        "lorenz96",
        [
            ("models/zoo/lorenz96.jl", "for i in 2:m.D\n", "for i in 3:m.D\n"),
            # The sign of the jumps between nodes; the strong constraint's background, twice.
            ("cost/shooting.jl", "g[j, k] -= s.weighed[i]", "g[j, k] += s.weighed[i]"),
            (
                "cost/strong_constraint_cost.jl",
                "(s.trial[j] - p.b[j]) / 2",
                "(s.trial[j] - p.b[j])",
            ),
        ],
        {"parameters, adjoint in ulps", *OBJECTIVES},
        background("strong"),
    ),
}


# The code runs for a moment only: most of the time would go into its optimisation.
QUICK_TO_COMPILE = ("VDA.jl", "\nmodule VDA\n", "\nmodule VDA\nBase.Experimental.@optlevel 0\n")


@pytest.mark.julia
@pytest.mark.parametrize("edit", EDITS)
def test_a_broken_derivative_in_julia_fails(tmp_path, edit) -> None:
    model, changes, fails, fails_once = EDITS[edit]
    shutil.copytree(ROOT / "julia" / "src", tmp_path / "src")
    for file, right, wrong in [*changes, QUICK_TO_COMPILE]:
        text = (tmp_path / "src" / file).read_text("utf-8")
        assert text.count(right) == 1
        (tmp_path / "src" / file).write_text(text.replace(right, wrong), "utf-8")
    found = tmp_path / "checks.json"
    arguments = (tmp_path / "src" / "VDA.jl", "check", "--model", model, "--json", found)
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYVDA_ENGINE": "libjulia", "PYVDA_SYSIMAGE": "none"},
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    result = json.loads(found.read_text())
    assert result["passed"] is False
    failing = {check["name"] for check in result["checks"] if check["passed"] is False}
    each = {f"julia {scheme}: {name}" for scheme in ("euler", "rk4") for name in fails}
    assert failing == each | fails_once
    for name in failing:
        assert f"{name} failed" in ended.stderr


def command(monkeypatch, *arguments: object) -> int:
    from pyvda.cli.main import main

    monkeypatch.setattr(sys, "argv", ["pyvda", "check", *map(str, arguments), "--engine", "torch"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_command_on_a_file_of_the_user(series, tmp_path, monkeypatch, capsys) -> None:
    json_file = tmp_path / "checks.json"
    arguments = ("--model", "lorenz63", "--obs", series, "--window", 30, "--json", json_file)
    assert command(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "learned prior: a GENN with fresh weights, seed 0" in printed
    assert "learned: gradient, by differences" in printed
    assert "lorenz63, 4 windows of 30 steps of 0.02 from series.nc" in printed
    found = json.loads(json_file.read_text())
    assert found["passed"] is True
    for check in found["checks"]:
        assert check["name"] in printed
        assert set(check) == {"name", "value", "tolerance", "passed", "detail"}


def test_failure_is_exit_code_1(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr("pyvda.checks.run.module_of", lambda model: WrongSign())
    json_file = tmp_path / "checks.json"
    assert command(monkeypatch, "--model", "lorenz63", "--json", json_file) == 1
    captured = capsys.readouterr()
    assert "FAIL" in captured.out
    assert "pyvda: torch tendency: adjoint, in ulps failed: random" in captured.err
    assert json.loads(json_file.read_text())["passed"] is False


@pytest.mark.parametrize("model", MODELS)
def test_a_broken_learned_gradient_fails_without_a_checkpoint(model, monkeypatch, capsys) -> None:
    right = FoldedGENN.residual_gradient
    monkeypatch.setattr(FoldedGENN, "residual_gradient", lambda self, x: right(self, x) * 1.02)
    assert command(monkeypatch, "--model", model) == 1
    assert "pyvda: learned: gradient, by differences failed: random" in capsys.readouterr().err


def test_command_with_a_checkpoint(monkeypatch, capsys, tmp_path) -> None:
    learned("genn", "lorenz63").save(tmp_path)
    assert command(monkeypatch, "--checkpoint", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "learned: gradient, by differences" in printed
    assert "20 of 60 checks passed, 40 not run" in printed
    assert f"learned prior: that of {tmp_path}" in printed
    assert command(monkeypatch, "--checkpoint", tmp_path, "--model", "lorenz96") == 2
    assert "trained for lorenz63, not for lorenz96" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --model, one of"),
        (("--model", "pendulum"), "unknown model 'pendulum'"),
        (("--model", "lorenz63", "--obs", "none.nc"), "none.nc"),
        (("--model", "lorenz63", "--window", "20"), "give it by --obs"),
        (("--model", "lorenz63", "--json", "no/such/folder.json"), "does not exist"),
        (("--model", "lorenz63", "--checkpoint", "none"), "none"),
    ],
)
def test_bad_input_is_exit_code_2(tmp_path, monkeypatch, capsys, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_nan_fails_and_is_written_as_null() -> None:
    checks = [Check("a", float("nan"), 1.0, ""), Check("b", float("inf"), 1.0, "")]
    assert [check.passed for check in checks] == [False, False]
    written = json.dumps([check.as_dict() for check in checks], allow_nan=False)
    assert json.loads(written)[0]["value"] is None
    assert table(checks, "title").row_count == 2


def test_numbers_of_the_table_are_whole_where_names_are_long():
    from rich.console import Console

    checks = [Check("a name that takes more than one line " * 3, 1.5e-11, 2.5e-9, ""),
              Check("another", None, None, "why")]  # fmt: skip
    with (console := Console(width=50)).capture() as printed:
        console.print(table(checks, "title"))
    assert all(text in printed.get() for text in ("1.5e-11", "2.5e-09", "pass", "not run"))
