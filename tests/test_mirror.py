"""Every module has a test file of its own name, or a reason why not."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Modules with nothing to compute: constants, protocols, plain data, one import.
NOTHING_TO_TEST = {
    "__main__.py": "runs the command line",
    "engine/interface.py": "a protocol",
    "errors.py": "two exceptions",
    "fields/options.py": "data classes",
    "models/presets.py": "a data class",
    "operators/data.py": "a union of two types",
}
# Modules that are one thing with another, whose tests exercise every line of theirs: these import
# the module or one that imports it, call it by a public name of pyvda, or run its command.
ELSEWHERE = {
    # Each breaks a derivative, and its own rows must fail.
    "checks/on_background.py": "checks/test_run.py",
    "checks/on_engine.py": "checks/test_run.py",
    "checks/on_parameters.py": "checks/test_run.py",
    # Commands of a few lines, run as from a terminal.
    "cli/assimilate.py": "cli/test_main.py",
    "cli/assimilate_field.py": "fields/test_assimilate.py",
    "cli/check.py": "checks/test_run.py",
    "cli/covariance.py": "covariances/test_fit.py",
    "cli/crossvalidate.py": "fields/test_crossvalidation.py",
    "cli/forecast.py": "test_forecast.py",
    "cli/info.py": "cli/test_main.py",
    "cli/method_options.py": "cli/test_derived.py",
    "cli/observe.py": "cli/test_main.py",
    "cli/options.py": "cli/test_derived.py",
    "cli/plot.py": "cli/test_main.py",
    "cli/reproduce.py": "paper/test_reproduce.py",
    "cli/rerun.py": "test_rerun.py",
    "cli/score.py": "cli/test_main.py",
    "cli/simulate.py": "cli/test_main.py",
    "cli/train.py": "training/test_train.py",
    # Calls of Julia, which both engines' agreement and Kalman smoothers test.
    "engine/julia/build_image.py": "engine/julia/test_image.py",
    "engine/julia/cost.py": "engine/test_engines.py",
    "engine/julia/engine.py": "engine/test_engines.py",
    "engine/julia/one_step.py": "engine/test_engines.py",
    "engine/julia/simulate.py": "engine/test_engines.py",
    "engine/julia/ensemble_smoother.py": "engine/test_agreement.py",
    "engine/julia/letkf.py": "engine/torch/test_letkf.py",
    "engine/julia/kernels.py": "kernels/test_operations.py",
    "engine/julia/objectives.py": "engine/test_agreement.py",
    "engine/julia/optimal_interpolation.py": "engine/test_optimal_interpolation.py",
    "engine/torch/optimal_interpolation.py": "engine/test_optimal_interpolation.py",
    "engine/julia/posterior_mean.py": "engine/test_agreement.py",
    "engine/julia/start_juliacall.py": "engine/test_choice.py",
    "engine/julia/linearised_runs.py": "engine/test_linearised_runs.py",
    "engine/torch/linearised_runs.py": "engine/test_linearised_runs.py",
    "engine/julia/strong_constraint.py": "engine/test_agreement.py",
    "engine/julia/weak_constraint.py": "engine/test_agreement.py",
    "fields/learned/module.py": "fields/learned/test_train.py",
    "fields/learned/series.py": "fields/learned/test_samples.py",
    "fields/learned_points/module.py": "fields/learned_points/test_train.py",
    "fields/methods.py": "cli/test_derived.py",
    "fields/output.py": "fields/test_in_blocks.py",
    # Steps on the way of a file, which whole files go through.
    "io/writing/analysis.py": "test_assimilate.py",
    "io/tables/analysis_times.py": "io/sources/test_sources.py",
    "io/tables/columns.py": "io/tables/test_frames.py",
    "io/tables/components.py": "io/tables/test_rows.py",
    "io/sources/file_formats.py": "io/sources/test_locations.py",
    "io/sources/ioda.py": "io/sources/test_groups.py",
    "block_task.py": "test_cluster.py",
    "lazy_blocks.py": "test_cluster.py",
    "methods/incremental_cost.py": "methods/test_trajectory.py",
    "priors/one_step.py": "priors/test_step.py",
    "io/writing/history.py": "io/test_netcdf.py",
    "learned/device.py": "methods/test_learned.py",
    "learned/folder.py": "learned/test_model.py",
    "training/resumable.py": "fields/learned/test_train.py",
    "io/sources/open.py": "io/test_netcdf.py",
    "io/writing/save.py": "io/test_netcdf.py",
    "io/tables/tables.py": "operators/test_points.py",
    "paper/illustrate.py": "learned/test_shipped.py",
    "paper/shipping.py": "learned/test_shipped.py",
}


def modules() -> list[str]:
    package = ROOT / "pyvda"
    found = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return sorted(name for name in found if not name.endswith("__init__.py"))


def mirror(module: str) -> Path:
    path = ROOT / "tests" / module
    return path.with_name(f"test_{path.name}")


def dotted(module: str) -> str:
    return f"pyvda.{module[:-3].replace('/', '.')}"


@cache
def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, and the names that it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return found


@cache
def public() -> dict[str, str]:
    """Return the module of each public name of pyvda."""
    tree = ast.parse((ROOT / "pyvda/__init__.pyi").read_text("utf-8"))
    lines = [line for line in tree.body if isinstance(line, ast.ImportFrom) and line.module]
    return {one.name: f"pyvda.{line.module}" for line in lines for one in line.names}


@cache
def used_by(test: Path) -> set[str]:
    """Return the modules that a test imports, calls by public names or runs as commands."""
    found = set(imports(test))
    for node in ast.walk(ast.parse(test.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pyvda":
            found.add(public().get(node.attr, ""))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(f"pyvda.cli.{node.value}")
    if "pyvda.engine.get_engine" in found:  # methods of the engines
        found |= {"pyvda.engine.julia.engine", "pyvda.engine.torch.engine"}
    return found


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests(module: str) -> None:
    if module in NOTHING_TO_TEST:
        assert not mirror(module).exists(), "it has tests: take it out of the list"
    elif module in ELSEWHERE:
        assert not mirror(module).exists(), "it has tests of its own name: take it out of the list"
        used, name = used_by(ROOT / "tests" / ELSEWHERE[module]), dotted(module)
        importers = {dotted(one) for one in modules() if name in imports(ROOT / "pyvda" / one)}
        assert used & {name, *importers}, f"{ELSEWHERE[module]} does not use {name}"
    else:
        assert mirror(module).is_file(), f"write {mirror(module).relative_to(ROOT)}"


def test_the_lists_are_of_modules_that_exist() -> None:
    assert {*NOTHING_TO_TEST, *ELSEWHERE} <= set(modules())


# Julia's files: `julia/test/` mirrors `julia/src/`; these are tested through what calls them.
JULIA_ELSEWHERE = {
    "VDA.jl": "precompile.jl",
    "image.jl": "precompile.jl",
}


def julia_files() -> list[str]:
    source = ROOT / "julia" / "src"
    return sorted(path.relative_to(source).as_posix() for path in source.rglob("*.jl"))


@pytest.mark.parametrize("file", julia_files())
def test_every_julia_file_has_tests(file: str) -> None:
    tests = ROOT / "julia" / "test"
    own = tests / file
    if file in JULIA_ELSEWHERE:
        own = tests / JULIA_ELSEWHERE[file]
    assert own.is_file(), f"write {own.relative_to(ROOT)}"


def test_every_model_of_the_zoo_has_tests_and_both_languages() -> None:
    in_julia = {path.stem for path in (ROOT / "julia/src/models/zoo").glob("*.jl")}
    in_torch = {path.stem for path in (ROOT / "pyvda/models/zoo").glob("[a-z]*.py")}
    assert in_julia == in_torch


def test_what_make_test_leaves_out_exists() -> None:
    """Names in `tests/conftest.py` that match nothing would leave nothing out."""
    spec = importlib.util.spec_from_file_location("its_conftest", ROOT / "tests/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    for name in (*conftest.SLOW, *conftest.EXHAUSTIVE):
        file, _, function = name.partition("::")
        source = (ROOT / "tests" / file).read_text("utf-8")
        assert f"def {function.partition('[')[0]}" in source, name
