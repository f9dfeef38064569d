"""The wheel: its contents, and the engine running from it, away from the sources."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import pyvda
from pyvda.engine.julia.start_libjulia import julia_command

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed: no network, no build environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an empty environment into which the wheel was installed.

    It borrows the dependencies of the environment that runs the tests. That is a path entry only:
    the `.pth` files there are not read, so an editable pyvda stays out of sight.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    # With --python, pip installs into another environment than its own.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return python


def test_wheel_holds_package_and_julia_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        "pyvda/__init__.py",
        "pyvda/py.typed",
        "pyvda/juliapkg.json",
        "pyvda/julia/Project.toml",
    } | {f"pyvda/{path.relative_to(ROOT)}" for path in ROOT.glob("julia/src/**/*.jl")}
    weights = {str(path.relative_to(ROOT)) for path in ROOT.glob("pyvda/learned/weights/*/*")}
    assert weights
    expected |= weights
    assert expected <= names
    assert "pyvda/julia/src/VDA.jl" in names
    assert {name.split("/")[0] for name in names} == {
        "pyvda",
        f"pyvda-{pyvda.__version__}.dist-info",
    }
    assert not [name for name in names if "test" in name or "Manifest" in name]


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "julia/Project.toml").read_text("utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == str(citation["version"]) == pyvda.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    (date,) = re.findall(rf"(?m)^## \[{re.escape(pyvda.__version__)}\] - (\S+)$", changelog)
    assert str(citation["date-released"]) == date


def conda_requirements(*extras: str) -> set[str]:
    """Return what pyproject.toml requires, with the lower bounds and under conda's names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    of_extras = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {
        CONDA_NAMES.get(name, name) + (f" {bound}" if bound else "")
        for line in project["dependencies"] + of_extras
        for name, bound in re.findall(r"^([^>=<]+)(.*)$", line)
    }


CONDA_NAMES = {  # all others have the same name there
    "cf-xarray": "cf_xarray",
    "dask[array]": "dask-core",
    "juliacall": "pyjuliacall",
    "matplotlib": "matplotlib-base",
    "netCDF4": "netcdf4",
    "PyYAML": "pyyaml",
    "torch": "pytorch",
    "types-PyYAML": "types-pyyaml",
}


def test_conda_environment_names_every_dependency() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    assert conda_requirements("dev") == set(conda) - {"pip", "python >=3.11"}


def test_conda_recipe_names_version_dependencies_and_commands() -> None:
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text("utf-8"))
    assert recipe["context"]["version"] == pyvda.__version__
    run = set(recipe["requirements"]["run"])
    assert conda_requirements() == run - {"python >=${{ python_min }}"}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert recipe["build"]["python"]["entry_points"] == [f"{n} = {f}" for n, f in scripts.items()]
    for path in recipe["about"]["license_file"].split():
        assert (ROOT / path).is_file()


def test_conda_recipe_defines_the_names_that_it_uses() -> None:
    text = (ROOT / "conda/recipe.yaml").read_text("utf-8")
    context = yaml.safe_load(text)["context"]
    used = set(re.findall(r"\${{\s*(\w+)", text))
    assert used == set(context)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={context['python_min']}"
    for path in re.findall(r"tests/\w+\.py", text):
        assert (ROOT / path).is_file()


def test_commands_that_test_the_conda_package_succeed(tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text("utf-8"))
    (commands,) = [test["script"] for test in recipe["tests"] if "script" in test]
    script = "\n".join(commands).replace("pyvda ", f"{sys.executable} -m pyvda ")
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "analysis.nc").is_file()


def run_installed(python: Path, code: str, folder: Path) -> str:
    """Run `code` with the installed pyvda, from a folder without sources; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_is_imported_from_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    found = run_installed(installed, "import pyvda; print(pyvda.__file__)", tmp_path)
    assert Path(found.strip()).is_relative_to(installed.parents[1])


# At a fixed point of Lorenz-63 the dynamics cost nothing, whatever the step; an observation one
# unit away from it everywhere costs lambda1.
FIXED_POINT = """
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.julia.start_libjulia import julia_source
from pyvda.models.registry import get_model

root = np.sqrt(8 / 3 * 27)
x = np.tile([root, root, 27.0], (2, 5, 1))
cost = get_engine("libjulia").cost(
    get_model("lorenz63"), CostSettings(0.01, lambda1=0.25), x, x + 1, np.ones_like(x)
)
print(julia_source())
print(*cost.total)
"""


@pytest.mark.julia
def test_engine_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    if julia_command() is None:
        pytest.skip("no julia on PATH or in PYVDA_JULIA")
    source, costs = run_installed(installed, FIXED_POINT, tmp_path).splitlines()
    assert Path(source).is_relative_to(installed.parents[1])
    assert [float(cost) for cost in costs.split()] == pytest.approx([0.25, 0.25], rel=1e-12)
