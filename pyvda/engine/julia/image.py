"""The system image with pyvda's Julia code: machine code that a process would compile again.

Before version 1.9 Julia keeps no machine code between processes. An image, made once by
`build_image.py` in the user's cache folder, does: Julia starts from it in place of its own image.
Its key is everything the machine code depends on, so that an image is never loaded after a change
of pyvda, of Julia or of its libraries, or on another kind of processor. PYVDA_SYSIMAGE decides:

    auto   use the image; where there is none, make it in the background after the process (default)
    use    use the image where there is one
    none   start from Julia's own image
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import pyvda
from pyvda.engine.julia.source import julia_source
from pyvda.errors import InputError

CHOICES = ("auto", "use", "none")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Stamp = tuple[int, int]


@dataclass(frozen=True)
class ImageRecord:
    """What is known of an image, kept beside it.

    Attributes
    ----------
    version : str
        Julia's.
    library, bindir, base : str
        Julia's library, the folder of its command, and the image that this one extends.
    crashes : bool
        Whether this Julia needs the workaround of `julia/src/boundary/exceptions.jl`, which has
        been tried with the image.
    stamps : dict of (int, int)
        Size and time of modification of the image (its key is "") and of each library of Julia.
    """

    version: str
    library: str
    bindir: str
    base: str
    crashes: bool
    stamps: dict[str, Stamp]


def choice() -> str:
    """Return PYVDA_SYSIMAGE or its default."""
    chosen = os.environ.get("PYVDA_SYSIMAGE") or "auto"
    if chosen not in CHOICES:
        raise InputError(f"PYVDA_SYSIMAGE is {chosen!r}, expected one of {', '.join(CHOICES)}")
    return chosen


def image_path(command: str) -> Path:
    """Return the path of the image for this julia, version of pyvda, system and processor."""
    from pyvda.climate.cache import cache_folder

    name = hashlib.sha256("\n".join(_key(command)).encode()).hexdigest()[:24]
    return cache_folder() / "julia" / f"{name}.so"


def find(command: str) -> tuple[Path, ImageRecord] | None:
    """Return the image for this julia with its record, or None where there is none to be used."""
    if choice() == "none":
        return None
    try:
        path = image_path(command)
        written = json.loads(record_path(path).read_text("utf-8"))
        stamps = {name: (int(size), int(time)) for name, (size, time) in written["stamps"].items()}
        record = ImageRecord(**{**written, "stamps": stamps})
        files = {str(path) if name == "" else name: stamp for name, stamp in stamps.items()}
        current = all(stamp_of(name) == stamp for name, stamp in files.items())
        usable = current and all(map(ours_alone, (path, record_path(path), path.parent)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if not usable:
        return None
    with contextlib.suppress(OSError):
        os.utime(record_path(path))  # the images that are not used are removed first
    return path, record


def record_path(path: Path) -> Path:
    """Return the path of the record of an image."""
    return path.with_suffix(".json")


def write(record: ImageRecord, path: Path) -> None:
    """Write the record to a file."""
    path.write_text(json.dumps(asdict(record)), "utf-8")


def stamp_of(path: str | Path) -> Stamp:
    """Return size and time of modification of a file."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def is_julia_itself(command: str, bindir: str) -> bool:
    """Tell whether `command` is the Julia of `bindir`, and no launcher that may choose another."""
    return "JULIA_BINDIR" not in os.environ and Path(command).resolve().parent == Path(bindir)


def ours_alone(path: Path) -> bool:
    """Tell whether only this user (or the administrator) can change the file or folder.

    Code of a file is run only if no other user can have put it there: it and its folder belong to
    the user, and no other user can write to them or exchange a folder above them.
    """
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS_WRITE:
        return False
    return all(_safe_above(os.stat(folder)) for folder in path.resolve().parents)


def _safe_above(folder: os.stat_result) -> bool:
    ours = folder.st_uid in (0, os.geteuid())
    if folder.st_mode & stat.S_ISVTX:  # as /tmp: besides its owner, only that of a file renames it
        return ours
    # A group of the same number is the user's own.
    private = folder.st_gid in (0, folder.st_uid)
    others = stat.S_IWOTH if private else _OTHERS_WRITE
    return ours and not folder.st_mode & others


def _key(command: str) -> list[str]:
    found = Path(command).resolve()
    return [
        pyvda.__version__,
        _digest_of_source(),
        str(found),
        str(stamp_of(found)),
        *platform.libc_ver(),
        platform.system(),
        platform.machine(),
        _processor(),
    ]


def _digest_of_source() -> str:
    folder = julia_source().parent
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder)}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _processor() -> str:
    """Return the processor's model and its instruction sets: an image is for one kind alone."""
    wanted = ("model name", "cpu family", "model", "flags", "Features", "CPU part")
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        return platform.processor()
    return "\n".join(line for line in text.splitlines() if line.partition("\t")[0] in wanted)
