"""Environment variables: each that the package reads is described."""

import re
from pathlib import Path

import pyvda
from pyvda.environment import VARIABLES

PACKAGE = Path(pyvda.__file__).parent


def test_every_variable_that_the_sources_name_is_described_and_the_reverse() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "environment.py"]
    named = {n for p in sources for n in re.findall(r"PYVDA_[A-Z_]+\b", p.read_text("utf-8"))}
    assert named == VARIABLES.keys()
