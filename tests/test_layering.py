"""Which packages a module may load, checked in sys.modules of a fresh process.

A set of modules is imported one after the other in one process; the first of them after which a
forbidden package is there is named in the failure. A package stands for all of its modules, but for
the engine that is torch itself: it is loaded when it is chosen.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TORCH_ENGINE = "pyvda.engine.torch."

LOOK = f"""
import importlib, json, pkgutil, sys
names, forbidden = json.loads(sys.argv[1])
offences = {{}}
def load(name):
    module = importlib.import_module(name)
    for package in forbidden:
        if package in sys.modules:
            offences.setdefault(package, name)
    for child in pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."):
        if not child.name.startswith("{TORCH_ENGINE}"):
            load(child.name)
for name in names:
    load(name)
print(json.dumps(offences))
"""

JULIA = ["juliacall", "juliapkg"]
HEAVY = ["torch", "lightning", *JULIA, "xarray", "netCDF4", "dask", "matplotlib", "pyvda.cli.main"]


def offences(names: list[str], forbidden: list[str]) -> dict[str, str]:
    """Return, for each forbidden package that was loaded, the module that loaded it first."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps([names, forbidden])],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("names", "forbidden"),
    [
        pytest.param(
            [
                "names",
                "models.model",
                "errors",
                "io",
                "engine",
                "scores",
                "twin",
                "twin_observations",
            ],
            ["torch", "lightning", *JULIA],
            id="files-engine-scores-without-torch",
        ),
        pytest.param(
            ["plotting"],
            ["torch", "lightning", *JULIA, "matplotlib.pyplot"],
            id="plots-without-pyplot",
        ),
        pytest.param(
            ["state.batch", "models", "errors", "cost", "priors", "solvers"],
            ["xarray", "netCDF4", *JULIA],
            id="costs-priors-solvers-without-xarray",
        ),
        pytest.param(
            ["state.batch", "models.model", "errors", "names"],
            HEAVY,
            id="plain-data-without-anything",
        ),
    ],
)
def test_module_loads_nothing_forbidden(names: list[str], forbidden: list[str]) -> None:
    assert offences([f"pyvda.{name}" for name in names], forbidden) == {}


def test_importing_pyvda_starts_neither_julia_nor_torch() -> None:
    look = (
        "import sys, pyvda; print(*sorted({'torch', 'juliacall', 'juliapkg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


ASSIMILATE = """
import sys
import numpy as np
import pyvda
truth = pyvda.simulate("lorenz63", 2, 1, steps=11)
observed = pyvda.observe(truth, "lorenz63", 2)
for method, options in {
    "fsgd": {"iterations": 5},
    "gauss-newton": {"iterations": 2},
    "strong-constraint": {"iterations": 2, "starts": "mean"},
    "incremental": {"iterations": 2, "members": 0},
    "letkf": {"members": 5},
}.items():
    found = pyvda.assimilate(observed, model="lorenz63", method=method, engine=sys.argv[1],
                             **options)
    print(method, *sorted({"torch", "lightning"} & set(sys.modules)))
"""


@pytest.mark.julia
def test_classical_methods_on_julia_leave_torch_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASSIMILATE, "julia"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "fsgd", "gauss-newton", "strong-constraint", "incremental", "letkf",
    ]  # fmt: skip


def test_a_short_command_loads_no_library_that_it_does_not_use() -> None:
    look = (
        "import sys, pyvda.assimilate\n"
        "unused = {'scipy.linalg', 'scipy.sparse.linalg', 'rich.progress', 'matplotlib'}\n"
        "print(*sorted(unused & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nothing_imports_the_command_line() -> None:
    """Not even inside a function: nothing but `__main__` and the tests may name it."""
    named = re.compile(
        r"^\s*(from pyvda\.cli\b|from pyvda import .*\bcli\b|import pyvda\.cli\b)", re.M
    )
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("pyvda/**/*.py")}
    command_line = {path for path in sources if path.startswith("pyvda/cli/")}
    assert command_line
    others = sources - command_line - {"pyvda/__main__.py"}
    assert [path for path in others if named.search((ROOT / path).read_text("utf-8"))] == []


def test_only_the_engine_folder_knows_julia() -> None:
    named = re.compile(r"^\s*(from|import)\s+(juliacall|juliapkg)\b", re.M)
    importers = [
        path for path in ROOT.glob("pyvda/**/*.py") if named.search(path.read_text("utf-8"))
    ]
    assert all(path.is_relative_to(ROOT / "pyvda/engine") for path in importers), importers


def test_julia_package_uses_the_standard_library_alone() -> None:
    standard = {"Base", "Dates", "Libdl", "LinearAlgebra", "Printf", "Random", "Statistics", "Test"}
    project = tomllib.loads((ROOT / "julia/Project.toml").read_text("utf-8"))
    assert set(project.get("deps", {})) | set(project.get("extras", {})) <= standard
    for path in ROOT.glob("julia/**/*.jl"):
        lines = re.findall(r"^\s*(?:using|import)\s+([^:\n#]+)", path.read_text("utf-8"), re.M)
        used = {name.strip().split(".")[0] for line in lines for name in line.split(",")}
        # A leading dot leaves an empty name: a module of the package itself.
        assert used - {"", "VDA"} <= standard, f"{path}: {used}"
