"""Make the system image of `image.py`: `python -m pyvda.engine.julia.build_image`, or `pyvda info`.

A Julia process writes the machine code of everything that `julia/src/precompile.jl` runs, together
with that of Julia's own image, and a C compiler links it: one to two minutes of one core, once for
a version of pyvda. The first process of an installed pyvda that starts Julia without an image
begins this when it ends, in a process of its own with the lowest priority, and no command waits for
it; in a working copy, whose source changes, `make setup` does. One image is made at a time; an
attempt that failed is kept in a file and not repeated by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pyvda.climate.cache import cache_folder
from pyvda.engine.interface import Engine
from pyvda.engine.julia import start_libjulia as julia
from pyvda.engine.julia.image import (
    ImageRecord,
    choice,
    find,
    image_path,
    ours_alone,
    record_path,
    stamp_of,
    write,
)
from pyvda.engine.julia.source import installed, julia_source
from pyvda.errors import EngineError, InputError

_ATTEMPTS = 3  # of those that somebody else ended, as a batch system does at the end of a job
_KEPT = 4  # images of other versions, of which the unused ones go first
_SECONDS = 3600
_MEMORY = 4 << 30  # bytes that must be there for it to be made in the background: it takes 2 GiB
_LIBRARIES = "using Libdl; foreach(println, filter(isfile, map(abspath, dllist())))"
_LOADS = 'exit(VERSION < v"1.9" && VDA.entry_point("cost") != 0 ? 0 : 1)'


class Busy(EngineError):
    """Another process is making the image."""


class NotNeeded(EngineError):
    """A version of Julia that caches machine code itself."""


def build(command: str, *, wait: bool = True) -> Path:
    """Make the image of this julia if there is none, and return its path.

    Parameters
    ----------
    command : str
        The `julia`.
    wait : bool
        Whether to wait for a process that is making it.

    Raises
    ------
    Busy
        When another process is making it, without `wait`.
    NotNeeded
        When this Julia needs none.
    EngineError
        When it cannot be made, with the reason, which is kept in a file beside the image.
    """
    path = image_path(command)
    with _lock(path, wait):
        found = find(command)
        if found is not None:
            return found[0]
        version = _run([command, "--startup-file=no", "-e", "print(VERSION)"]).strip()
        if not may_have(version):
            raise NotNeeded(
                f"Julia {version} needs no system image, it keeps machine code by itself"
            )
        compiler = c_compiler()
        if compiler is None:
            raise EngineError("a system image needs a C compiler; install one, or name it in CC")
        with _attempts(path).open("a", encoding="utf-8") as log:
            print("started", file=log, flush=True)
            try:
                _build(command, version, compiler, path)
            except (OSError, subprocess.SubprocessError, EngineError) as error:
                print(f"failed: {' '.join(str(error).split())[:2000]}", file=log)
                raise EngineError(f"no system image of Julia could be made: {error}") from error
        _attempts(path).unlink(missing_ok=True)
        _remove_unused(path)
    return path


def in_background(command: str) -> None:
    """Begin to make the image in a process of its own, which goes on when this one ends."""
    package = Path(__file__).resolve().parents[3]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    with contextlib.suppress(OSError):
        cache = str(cache_folder().absolute())  # a relative one is of this process's folder
        started = subprocess.Popen(
            [sys.executable, "-m", "pyvda.engine.julia.build_image", "--background", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYVDA_CACHE": cache, "PYTHONPATH": os.pathsep.join(paths)},
        )
        started.returncode = 0  # the process is not waited for


def wanted(command: str, version: str) -> bool:
    """Tell whether an image of this version is to be made in the background, and may succeed."""
    if choice() != "auto" or not may_have(version) or c_compiler() is None or not installed():
        return False
    path = image_path(command)
    if not _own_folder(path.parent) or _available_memory() < _MEMORY:
        return False
    try:
        tried = _attempts(path).read_text("utf-8").splitlines()
    except FileNotFoundError:
        tried = []
    except OSError:
        return False
    failed = any(line.startswith("failed") for line in tried)
    return not failed and len(tried) < _ATTEMPTS and not _locked(path)


def why_none(command: str) -> str:
    """Return in a few words why there is no image."""
    path = image_path(command)
    if choice() == "none":
        return "PYVDA_SYSIMAGE is none"
    if _locked(path):
        return "it is being made"
    with contextlib.suppress(OSError):
        for line in _attempts(path).read_text("utf-8").splitlines():
            if line.startswith("failed"):
                return line
    return "not made yet (pyvda info --build)" if c_compiler() else "no C compiler"


def state_of(engine: Engine) -> str:
    """Return in a few words from which image the engine started, for `pyvda info`."""
    if engine.info.start != "libjulia":
        return "none (the engine is not libjulia)"
    if not may_have(engine.info.version):
        return f"none (Julia {engine.info.version} keeps machine code by itself)"
    command = julia.julia_command()
    return getattr(engine, "image", None) or f"none ({why_none(command) if command else ''})"


def build_for_this_machine() -> None:
    """Make the image if there is none, for the julia that is found, and say so first.

    Raises
    ------
    EngineError
        When there is no julia, or no image can be made.
    """
    command = julia.julia_command()
    if command is None:
        raise EngineError("no julia found: put it on PATH or name it in PYVDA_JULIA")
    if choice() == "none":
        raise EngineError(
            "PYVDA_SYSIMAGE is none, which declines the image; unset it, or set it to auto or use"
        )
    if find(command) is None:
        print("pyvda: compiling its Julia code, where Julia keeps none, once", file=sys.stderr)
    build(command)


def c_compiler() -> str | None:
    """Return the C compiler to link with, or None."""
    names = [os.environ.get("CC") or "cc", "cc", "gcc", "clang"]
    return next(filter(None, map(shutil.which, names)), None)


def _build(command: str, version: str, compiler: str, path: Path) -> None:
    answers = julia.ask(command)
    refused = julia.workaround_refusal(command) if answers.crashes else None
    if refused:
        raise EngineError(f"exceptions in Julia are crashes: {refused}")
    with tempfile.TemporaryDirectory(prefix="building-", dir=path.parent) as folder:
        objects, image = Path(folder) / "image.o", Path(folder) / path.name
        script = julia_source().parent / "image.jl"
        _run(
            [
                command, "--startup-file=no", "--history-file=no", "-O2", "-g0",
                "--cpu-target=native", f"-J{answers.image}", "--output-o", str(objects),
                str(script), str(answers.crashes).lower(),
            ]
        )  # fmt: skip
        _run([compiler, "-shared", "-o", str(image), *_whole(objects), answers.library])
        objects.unlink()
        _run([command, "--startup-file=no", f"-J{image}", "-e", _LOADS])
        os.chmod(image, 0o600)
        libraries = _run([command, "--startup-file=no", "-e", _LIBRARIES]).splitlines()
        stamps = {name: stamp_of(name) for name in (*libraries, answers.image)}
        stamps[""] = stamp_of(image)
        record = ImageRecord(
            version, answers.library, answers.bindir, answers.image, answers.crashes, stamps
        )
        written = Path(folder) / record_path(path).name
        write(record, written)
        os.chmod(written, 0o600)
        if image_path(command) != path:
            raise EngineError("the source of pyvda was changed in the meantime")
        os.replace(image, path)
        os.replace(written, record_path(path))


def may_have(version: str) -> bool:
    """Tell whether an image is of use to this version of Julia."""
    return tuple(map(int, version.split(".")[:2])) < (1, 9)


def _run(command: list[str]) -> str:
    environment = {**os.environ, "JULIA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_SECONDS, env=environment,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[:3]
        raise EngineError(f"{command[0]} ended with {done.returncode}: {'; '.join(said)}")
    return done.stdout


def _whole(objects: Path) -> list[str]:
    """Return the linker's options for all of an archive."""
    if sys.platform == "darwin":
        return [f"-Wl,-force_load,{objects}"]
    return ["-Wl,--whole-archive", str(objects), "-Wl,--no-whole-archive"]


def _available_memory() -> float:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        return 1024 * int(next(x for x in lines if x.startswith("MemAvailable")).split()[1])
    return float("inf")


def _attempts(path: Path) -> Path:
    return path.with_suffix(".attempts")


@contextlib.contextmanager
def _lock(path: Path, wait: bool) -> Iterator[None]:
    if not _own_folder(path.parent):
        raise EngineError(f"{path.parent} cannot be written to by this user alone")
    try:
        with open(path.with_suffix(".lock"), "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise Busy("the system image is being made by another process") from None
            yield
    except OSError as error:
        raise EngineError(f"no system image can be made in {path.parent}: {error}") from error


def _locked(path: Path) -> bool:
    try:
        with open(path.with_suffix(".lock"), encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _own_folder(folder: Path) -> bool:
    """Make the folder, and tell whether it exists and only this user can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ours_alone(folder) and os.access(folder, os.W_OK)
    except OSError:
        return False


def _remove_unused(path: Path) -> None:
    """Remove the oldest images of other versions, and what a killed process left."""
    records = set(path.parent.glob("*.json")) - {record_path(path)}
    by_use = sorted(records, key=lambda file: file.stat().st_mtime)
    for record in by_use[: max(0, len(by_use) - _KEPT)]:
        for suffix in (".json", ".so", ".attempts", ".lock"):
            record.with_suffix(suffix).unlink(missing_ok=True)
    for folder in path.parent.glob("building-*"):
        if folder.stat().st_mtime < time.time() - _SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Make the image: `--background JULIA`, or for the julia that is found."""
    try:
        if sys.argv[1:2] == ["--background"]:
            os.nice(19)
            build(sys.argv[2], wait=False)
        else:
            build_for_this_machine()
    except NotNeeded as reason:
        print(f"pyvda: {reason}", file=sys.stderr)
    except (EngineError, InputError) as error:
        sys.exit(f"pyvda: {error}")


if __name__ == "__main__":
    main()
