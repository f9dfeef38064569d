"""Write a file or a folder atomically.

The output is written under a hidden temporary name in the same folder, synchronised to disk, and
then renamed. At any time and after any crash, the final name refers to the complete old output, the
complete new output, or nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyvda.errors import InputError
from pyvda.io.writing.outputs import check_folder

_AT_ONCE = 16  # files that are synchronised to the disk
_WAITS = (0.05, 0.2, 1.0, 2.0, 4.0)  # seconds between attempts to remove a folder
# HDF5 loses the system's error number on a full disk; the free space then reveals it.
_NEARLY_NOTHING = 64 * 1024
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_json(path: Path, content: Any, indent: int = 1) -> None:
    """Write plain data as JSON.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    with replacing(path) as temporary:
        text = json.dumps(content, indent=indent, allow_nan=False)
        temporary.write_text(text + "\n", "utf-8")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` on success, remove it on failure.

    Parameters
    ----------
    path : path
        The final name of a file or, for stores such as zarr, of a folder; replaced if it exists,
        with its permissions kept. Of a link, what it points to is replaced. The caller decides
        whether an existing folder may be replaced.
    keep : bool
        Whether a folder that could not be completed is kept, under the name `partial(path)`.

    Raises
    ------
    InputError
        When the folder of `path` does not exist, or the disk is full, or writing is not allowed.
    """
    check_folder(Path(path))
    path = Path(os.path.realpath(path))
    folder = path.parent
    temporary = partial(path) if keep else folder / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    remove = _leave if keep else _remove
    try:
        yield temporary
        _synchronise(temporary)
        _rename(temporary, path)
    except (OSError, RuntimeError) as error:
        # A full disk appears as OSError ENOSPC, from netCDF4 as RuntimeError "NetCDF: HDF error",
        # or as PermissionError when not even the header fits. Check before the file is removed.
        full = getattr(error, "errno", None) in _NO_SPACE or _free(folder) < _NEARLY_NOTHING
        remove(temporary)
        if full:
            raise InputError(
                f"no space left writing {path}; free space or choose another folder"
            ) from error
        if isinstance(error, OSError) or "NetCDF" in str(error):
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InputError(
                f"cannot write {path} ({reason}); check the folder and its permissions"
            ) from error
        raise
    except BaseException:  # Ctrl-C too
        remove(temporary)
        raise


def partial(path: str | os.PathLike[str]) -> Path:
    """Return the name of an output that can be completed later: analysis.zarr.partial."""
    path = Path(path)
    return path.with_name(f"{path.name}.partial")


def _rename(temporary: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # A folder cannot be renamed over another: move the old one away, and back on failure.
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except BaseException:
            os.rename(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    _synchronise_one(path.parent)


def _synchronise(path: Path) -> None:
    if not path.is_dir():
        _synchronise_one(path)
        return
    # Several at once share a commit of the file system's journal; one after the other, a store of
    # 1000 chunks takes seconds.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for folder, _, files in os.walk(path):
            for _ in pool.map(_synchronise_one, [Path(folder) / name for name in files]):
                pass  # an error of one is raised here
            _synchronise_one(Path(folder))


def _synchronise_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        # Threads that were writing other chunks may finish only now, and add files meanwhile.
        for wait in _WAITS:
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                return
            time.sleep(wait)
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        # HDF5 never closes a file after a failed write: only truncating it frees the disk space.
        os.truncate(path, 0)
    with contextlib.suppress(OSError):
        path.unlink()


def _leave(path: Path) -> None:
    """Keep what has been written so far."""


def _free(folder: Path) -> int:
    try:
        total, _, free = shutil.disk_usage(folder)
        return free if total else _NEARLY_NOTHING  # a pseudo file system has no size
    except OSError:
        return _NEARLY_NOTHING
