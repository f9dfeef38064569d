"""The public names: listed, typed, and the functions whatever was imported before."""

import ast
import copy
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

import pyvda

STUB = Path(pyvda.__file__).with_suffix(".pyi")
HOME = {  # the module of each public name, as the stub gives it
    name.name: f"pyvda.{statement.module}" if statement.module else "pyvda"
    for statement in ast.parse(STUB.read_text("utf-8")).body
    if isinstance(statement, ast.ImportFrom)
    for name in statement.names
}


def in_a_process(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_dir_lists_the_public_names_before_any_is_used() -> None:
    assert in_a_process("import pyvda; print(*dir(pyvda))").split() == sorted(HOME)
    assert {"assimilate", "evaluate", "get_engine", "get_model", "load", "observe", "on_grid",
            "open_observations", "save_analysis", "simulate", "InputError", "EngineError",
            } <= set(HOME)  # fmt: skip


@pytest.mark.parametrize("name", HOME)
def test_a_public_name_is_what_its_module_defines(name: str) -> None:
    assert getattr(pyvda, name) is getattr(importlib.import_module(HOME[name]), name)


@pytest.mark.parametrize("order", ["import pyvda.{0}", "pyvda.{0}; import pyvda.{0}"])
def test_a_function_named_like_its_module_stays_the_function(order: str) -> None:
    alike = [name for name, home in HOME.items() if home == f"pyvda.{name}"]
    assert {"assimilate", "evaluate", "forecast"} <= set(alike)
    lines = [f"{order.format(name)}; print(type(pyvda.{name}).__name__)" for name in alike]
    assert in_a_process("\n".join(["import pyvda", *lines])).split() == ["function"] * len(alike)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="asimilate"):
        _ = pyvda.asimilate


def test_functions_that_use_pyvda_travel() -> None:
    """As dask sends them: those of the user's script by value, with the modules that they use."""
    space: dict[str, object] = {"pyvda": pyvda, "__name__": "__main__"}
    exec("def function(name): return pyvda.get_model(name).name", space)
    sent = cloudpickle.dumps(space["function"])
    assert pickle.loads(sent)("lorenz63") == "lorenz63"
    assert pickle.loads(pickle.dumps(pyvda)) is copy.deepcopy(pyvda) is pyvda


def test_python_m_pyvda_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyvda", "assimilate"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
