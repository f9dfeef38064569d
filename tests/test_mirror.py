"""Every module has a test file of its own name, or a reason why not."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Modules with nothing to compute: constants, protocols, plain data, one import.
NOTHING_TO_TEST = {
    "__main__.py": "runs the command line",
    "engine/data.py": "data classes",
    "errors.py": "two exceptions",
    "models/presets.py": "a data class",
    "operators/data.py": "a union of two types",
}
# Modules that are one thing with another, whose tests exercise every line of theirs.
ELSEWHERE: dict[str, str] = {}


def modules() -> list[str]:
    package = ROOT / "pyvda"
    found = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return sorted(name for name in found if not name.endswith("__init__.py"))


def mirror(module: str) -> Path:
    path = ROOT / "tests" / module
    return path.with_name(f"test_{path.name}")


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests(module: str) -> None:
    if module in NOTHING_TO_TEST:
        assert not mirror(module).exists(), "it has tests: take it out of the list"
    elif module in ELSEWHERE:
        assert not mirror(module).exists(), "it has tests of its own: take it out of the list"
        assert (ROOT / "tests" / ELSEWHERE[module]).is_file()
    else:
        assert mirror(module).is_file(), f"write {mirror(module).relative_to(ROOT)}"


def test_the_lists_are_of_modules_that_exist() -> None:
    assert {*NOTHING_TO_TEST, *ELSEWHERE} <= set(modules())
