"""What is found out about a Julia before it starts inside Python."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pyvda.engine.julia import start_libjulia
from pyvda.engine.julia.source import julia_source


def asked(code: int, lines: int) -> CompletedProcess[str]:
    return CompletedProcess([], code, "answer\n" * lines, "")


def julia(folder: Path, script: str) -> str:
    path = folder / "julia"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("code", [-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, 139, 134])
def test_a_crash_at_the_exception_is_told_from_other_ends(code: int) -> None:
    assert start_libjulia._crashed(asked(code, 3))
    assert not start_libjulia._crashed(asked(code, 4))  # "exceptions work", and then something else
    assert not start_libjulia._crashed(asked(code, 2))
    for other in (0, 1, -signal.SIGTERM, -signal.SIGKILL, 137):
        assert not start_libjulia._crashed(asked(other, 3))


def test_the_workaround_is_tried_in_a_process_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PYVDA_KEEP_LIBUNWIND", raising=False)
    refusal = start_libjulia.workaround_refusal
    record = 'for a; do :; done; echo "$a" > "${0%/*}/file"'
    assert refusal(julia(tmp_path, f"{record}; echo exceptions work")) is None
    named = Path((tmp_path / "file").read_text().strip())
    assert named.samefile(julia_source().parent / "boundary" / "exceptions.jl")
    for script in ("exit 0", "kill -SEGV $$", "echo exceptions work; kill -SEGV $$", "exit 1"):
        assert "use another Julia" in (refusal(julia(tmp_path, script)) or "")
    (tmp_path / "file").unlink()
    monkeypatch.setenv("PYVDA_KEEP_LIBUNWIND", "1")
    assert "PYVDA_KEEP_LIBUNWIND=1 declines" in (refusal(julia(tmp_path, record)) or "")
    assert not (tmp_path / "file").exists()


@pytest.mark.julia
def test_the_workaround_is_for_one_julia_and_one_machine() -> None:
    command = start_libjulia.julia_command()
    assert command is not None
    file = julia_source().parent / "boundary" / "exceptions.jl"
    tried = start_libjulia._run(command, start_libjulia._TRY, str(file))
    asked = start_libjulia._run(
        command,
        'print(Sys.islinux() && Sys.ARCH === :x86_64 && v"1.5" <= VERSION < v"1.6")',
    )
    if asked.stdout == "false":
        assert tried.returncode == 0
        assert tried.stdout == ""
    elif start_libjulia._crashed(start_libjulia._run(command, start_libjulia._ASK)):
        assert (tried.returncode, tried.stdout) == (0, f"{start_libjulia._WORKS}{os.linesep}")


def test_triton_is_loaded_where_it_is_installed_even_if_it_fails(tmp_path, monkeypatch) -> None:
    (tmp_path / "triton.py").write_text("raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "triton", None)  # undone at the end, loaded before or not
    del sys.modules["triton"]
    start_libjulia.load_triton()
    assert "triton" not in sys.modules
    (tmp_path / "triton.py").write_text("loaded = True  # this time")
    importlib.invalidate_caches()
    start_libjulia.load_triton()
    assert sys.modules["triton"].loaded
