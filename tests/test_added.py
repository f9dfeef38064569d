"""Objects of installed packages, found by their entry points."""

from importlib.metadata import EntryPoint

import pytest

from pyvda.added import loaded, names_with
from pyvda.errors import InputError


def test_objects_of_packages_are_found_by_group_and_name(monkeypatch) -> None:
    points = [
        EntryPoint("root", "math:sqrt", "g"), EntryPoint("none", "math:missing", "g"),
        EntryPoint("root", "math:pi", "other"),
    ]  # fmt: skip
    monkeypatch.setattr(
        "pyvda.added.entry_points",
        lambda group, name=None: [p for p in points if p.group == group and name in (None, p.name)],
    )
    found = loaded("g", "root", "thing")
    assert found is not None
    assert found.object(9.0) == 3.0
    assert loaded("g", "absent", "thing") is None
    with pytest.raises(InputError, match="the thing 'none' of the package None cannot be loaded"):
        loaded("g", "none", "thing")
    assert names_with("g", ["root", "own"]) == ["root", "own", "none"]
