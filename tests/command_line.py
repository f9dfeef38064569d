"""Run the command line inside the test's own process."""

import sys

import pytest

from pyvda.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Return the exit code of `pyvda ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["pyvda", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
