"""The command line has an option for every setting, and every option of every command has help."""

import subprocess
import sys

import pytest
from command_line import run

from pyvda.cli.derived import on_command_line
from pyvda.cli.main import app, command_of
from pyvda.cli.method_options import MethodOptions
from pyvda.fields.methods import FIELD_METHODS
from pyvda.methods import METHODS
from pyvda.settings import Settings, alternatives
from pyvda.validation_errors import validated

COMMANDS = {
    command.callback.__name__: command_of(command.callback.__name__)
    for command in app.registered_commands
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_help(name: str) -> None:
    silent = [p.name for p in COMMANDS[name].params if not (p.help or "").strip()]
    assert silent == []


def test_the_options_are_the_settings() -> None:
    options = {p.name: p for p in COMMANDS["assimilate"].params}
    for name, field in Settings.model_fields.items():
        if name == "report":
            assert name not in options
        else:
            assert options[name].opts == [f"--{name.replace('_', '-')}"]
            assert options[name].help == field.description


def test_each_option_reaches_assimilate(tmp_path, monkeypatch) -> None:
    """Each option alone, as the keyword of that name and of its type."""
    for name in on_command_line():
        kinds = alternatives(Settings.model_fields[name].annotation)
        kind, text = next(
            ((k, t) for k, t in ((str, "a"), (int, "7"), (float, "0.5")) if k in kinds), (str, "a")
        )
        seen: list[dict[str, object]] = []

        def spy(values: dict[str, object], seen: list[dict[str, object]] = seen) -> None:
            seen.append(dict(values))
            raise SystemExit(3)

        monkeypatch.setattr("pyvda.cli.assimilate.settled", spy)
        arguments = ["assimilate", "obs.nc", "-o", tmp_path / "a.nc"]
        option = [f"--{name.replace('_', '-')}"]
        if kinds == (bool,):  # a flag
            kind, text = bool, "given"
        else:
            option.append(text)
        assert run(monkeypatch, *arguments, *option) == 3
        assert seen == [{name: kind(text)}]


# A value of each option of a method that the command line names, and a method that has it.
OF_METHODS = {
    "iterations": ("7", "fsgd"),
    "tolerance": ("0.5", "gauss-newton"),
    "precision": ("float32", "fsgd"),
    "observation_variance": ("0.5", "strong-constraint"),
    "background": ("none", "strong-constraint"),
    "covariance": ("0.5", "incremental"),
    "transform": ("log10", "oi"),
    "grid": ("0:4:1,0:4:1", "oi"),
    "times": ("0/4/1", "oi"),
    "points": ("a.nc", "oi"),
    "memory": ("2", "incremental"),
}


def test_each_written_option_is_one_of_a_method_and_of_its_type(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    classes = [method.options for method in (*METHODS.values(), *FIELD_METHODS.values())]
    every = {name for one in classes for name in one.model_fields}
    written = {p.name for p in COMMANDS["assimilate"].params} - set(Settings.model_fields)
    assert written & every == set(OF_METHODS) == set(MethodOptions.model_fields)
    for name, (text, method) in OF_METHODS.items():
        seen: list[dict[str, object]] = []

        def spy(values: dict[str, object], seen: list[dict[str, object]] = seen) -> None:
            seen.append(dict(values))
            raise SystemExit(3)

        monkeypatch.setattr("pyvda.cli.assimilate.settled", spy)
        option = f"--{name.replace('_', '-')}"
        assert run(monkeypatch, "assimilate", "obs.nc", "-o", "a.nc", option, text) == 3
        options = {**METHODS, **FIELD_METHODS}[method].options
        assert getattr(validated(options, seen[0], method), name) is not None


def test_python_m_pyvda_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyvda", "--help"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0
    assert "Usage: pyvda" in done.stdout
    assert "assimilate" in done.stdout


def test_the_list_of_commands_has_the_first_line_of_each() -> None:
    for command in app.registered_commands:
        assert command.callback.__doc__.split() == COMMANDS[command.callback.__name__].help.split()


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["numpy", "pydantic", "torch", "xarray", "scipy", "juliacall", "matplotlib"]),
        (["assimilate", "--help"], ["torch", "xarray", "scipy", "juliacall", "matplotlib"]),
    ],
)
def test_help_loads_no_numerics(arguments: list[str], absent: list[str]) -> None:
    look = (
        "import sys; from pyvda.cli.main import main\n"
        f"sys.argv = ['pyvda', *{arguments!r}]\n"
        "try: main()\n"
        f"except SystemExit: print('loaded:', *sorted({set(absent)!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=600
    )
    assert "Usage: pyvda" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
