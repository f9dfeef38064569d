"""Files that docstrings name exist."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pyvda"
FOLDER = PACKAGE / "checks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_the_files_that_a_file_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`?([a-z_/]+\.py)\b(?!:name)", text):  # not file.py:name of a user's
        assert any((folder / name).exists() for folder in (PACKAGE, FOLDER, PACKAGE.parent)), name


def test_the_parts_that_the_folder_names_exist() -> None:
    text = (FOLDER / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    named = re.findall(r"`([a-z_]+)`", text)
    assert named
    for name in named:
        assert (FOLDER / f"{name}.py").exists(), name
