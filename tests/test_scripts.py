"""How `make setup` gets Julia: it announces what it will install, and can be declined.

The scripts run in a folder of their own with nothing on PATH but a few tools, so that there is no
Julia; `python` and `apt-get` are stand-ins that say when they are called.
"""

import importlib.metadata
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyvda.engine.choice import get_engine
from pyvda.engine.julia import start_juliacall, start_libjulia
from pyvda.errors import EngineError

ROOT = Path(__file__).parents[1]
TOOLS = (
    "bash",
    "cat",
    "chmod",
    "cut",
    "dirname",
    "env",
    "head",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "tail",
)
DEBIAN = Path("/etc/debian_version").is_file()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A working copy on a machine without Julia, on which the user is root."""
    (tmp_path / "scripts").mkdir()
    for name in ("find_julia.sh", "install_julia_debian.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for path, text in (
        (tmp_path / ".venv/bin/python", "echo CALLED juliapkg >> calls; exit 1"),
        (tmp_path / "bin/apt-get", "echo CALLED apt >&2; echo apt >> calls; exit 1"),
        (tmp_path / "bin/id", "echo 0"),
    ):
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
    return tmp_path


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "scripts/find_julia.sh"],
        cwd=folder, env={"PATH": str(folder / "bin"), "HOME": str(folder), **environment},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_none_declines_every_installation(bare: Path) -> None:
    done = run(bare, PYVDA_JULIA="none")
    assert done.returncode == 0, done.stderr
    assert (bare / ".venv/julia").read_text() == ""
    assert not (bare / "calls").exists()
    assert "nothing is installed" in done.stderr


def test_what_is_going_to_be_installed_is_said_before(bare: Path) -> None:
    done = run(bare)
    assert done.returncode == 0, done.stderr
    assert (bare / ".venv/julia").read_text() == ""
    said = done.stderr
    assert said.index("going to download") < said.index("juliapkg could not get one")
    assert said.index("PYVDA_JULIA=none") < said.index("juliapkg could not get one")
    assert "CALLED juliapkg" in (bare / "calls").read_text()
    if DEBIAN:
        assert said.index("going to install Debian 11's package julia") < said.index("CALLED apt")
        assert said.rindex("PYVDA_JULIA=none") < said.index("CALLED apt")


def test_a_julia_that_does_not_answer_is_not_taken(bare: Path) -> None:
    julia, limit = bare / "julia", bare / "bin/timeout"
    for path, text in ((julia, "echo 1.10"), (limit, 'echo "$@" > limit; exit 124')):
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
    done = run(bare, PYVDA_JULIA=str(julia))
    assert done.returncode == 1, done.stderr
    assert "not a Julia >= 1.5 that starts" in done.stderr
    assert (bare / "limit").read_text().startswith(f"60 {julia} ")
    limit.unlink()
    done = run(bare, PYVDA_JULIA=str(julia))
    assert done.returncode == 0, done.stderr
    assert (bare / ".venv/julia").read_text() == f"{julia}\n"


def test_a_declined_julia_is_not_started(monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_JULIA", "none")
    monkeypatch.setattr("pyvda.engine.choice._engines", {})
    assert start_libjulia.julia_command() is None
    assert get_engine("auto").info.name == "torch"
    assert "PYVDA_JULIA is none" in get_engine("auto").info.reason
    for start in (start_libjulia.start, start_juliacall.start):
        with pytest.raises(EngineError, match="PYVDA_JULIA is none"):
            start()


def test_a_julia_that_does_not_answer_is_given_up(monkeypatch, tmp_path) -> None:
    slow = tmp_path / "julia"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PYVDA_JULIA", str(slow))
    monkeypatch.setattr(start_libjulia, "_ANSWER_SECONDS", 0.2)
    with pytest.raises(EngineError, match=r"does not run: .*timed out"):
        start_libjulia.start()


def normal(requirement: str) -> str:
    """Return the name of a required package as indices normalise it."""
    return re.split(r"[\[>=]", requirement)[0].lower().replace("_", "-")


def test_the_lowest_versions_are_those_of_the_package() -> None:
    matrix = runpy.run_path(str(ROOT / "scripts" / "test_matrix.py"))
    lowest, newest = (matrix["requirements"](low, learned=False) for low in (True, False))
    learned = matrix["requirements"](lowest=True, learned=True)
    listed = {normal(one) for one in importlib.metadata.requires("pyvda") or ()
              if "extra" not in one}  # fmt: skip
    assert {normal(one) for one in lowest} == listed - {"torch", "lightning"}
    assert {normal(one) for one in learned} == listed
    assert [one.replace("==", ">=") for one in lowest] == newest
    assert matrix["python"](f"{sys.version_info[0]}.{sys.version_info[1]}") is not None
    assert matrix["python"]("2.5") is None
