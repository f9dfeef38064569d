"""Is this a place that an output can be written to? Asked before the computation.

>>> check_output("analysis.nc", inputs=["observations.nc"])
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pyvda.errors import InputError

ZARR = ".zarr"
DATASETS = ("", ".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ZARR)
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_LONGEST_NAME = 200  # bytes; file systems allow 255, of which temporary files need some
# Compressed, values that no analysis has may take nearly nothing; those of one take about this.
_LEAST_COMPRESSED = 0.5


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether an output of this name is a zarr store."""
    return Path(path).suffix.lower() == ZARR


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[Any] = (),
    *,
    overwrite: bool | None = False,
    suffixes: Sequence[str] = DATASETS,
) -> None:
    """Raise InputError unless a Dataset can be written to `path`.

    An output of an earlier run is replaced; any other file is not.

    Parameters
    ----------
    path : path
        Links are followed.
    inputs : iterable, optional
        What the output is computed from: paths, patterns of paths, lists of these. Anything else
        (None, numbers, URLs) is passed over.
    overwrite : bool, optional
        Whether the output may replace an input; None: never, and there is no option for it.
    suffixes : sequence of str
        Ends of names that fit the format; empty for any.

    Raises
    ------
    InputError
        The suffix is that of another format; the folder is missing or cannot be written to; a
        folder, or something other than a file, is in the way; or the output is one of the inputs.
    """
    path = Path(path)
    _check_not_url(path)
    _check_length(path)
    check_suffix(path, suffixes)
    target = Path(os.path.realpath(path))
    # Of a pipe, such as /dev/stdout, `realpath` is no path.
    if any(one.exists() and not (one.is_file() or one.is_dir()) for one in (path, target)):
        raise InputError(f"cannot write {path}: it is not an ordinary file; choose another name")
    check_folder(path)
    if target.is_dir() and not (is_zarr(path) and is_store(target)):
        raise InputError(f"cannot write {path}: it is a folder; choose another name")
    if target.is_file() and is_zarr(path):
        raise InputError(
            f"cannot write {path}: it is a file, and a zarr store is a folder; choose another name"
        )
    if not overwrite:
        _check_not_input(path, inputs, "" if overwrite is None else ", or pass --overwrite")


def _check_not_url(path: Path) -> None:
    """Refuse standard output, and addresses of stores, of which a path has kept one slash."""
    if str(path) == "-":
        raise InputError(
            "cannot write to standard output (-): outputs are files; give a name such as "
            "analysis.nc"
        )
    scheme = path.parts[0] if path.parts else ""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", scheme) and not os.path.isdir(scheme):
        raise InputError(
            f"cannot write {scheme}//{'/'.join(path.parts[1:])}: outputs are files of this "
            "machine; write to a path and copy it (fsspec.filesystem)"
        )


def _check_length(path: Path) -> None:
    """Refuse names that file systems cannot hold once those of temporary files are made of them."""
    size = len(os.fsencode(path.name))
    if size > _LONGEST_NAME:
        raise InputError(
            f"cannot write {path.name[:40]}...: its name has {size} bytes, expected at most "
            f"{_LONGEST_NAME}; choose a shorter name"
        )


def check_suffix(path: Path, suffixes: Sequence[str] = DATASETS) -> None:
    """Raise InputError if the name ends like that of a file in another format."""
    if not suffixes or path.suffix.lower() in suffixes:
        return
    instead = path.name
    while Path(instead).suffix and Path(instead).suffix.lower() not in suffixes:
        instead = Path(instead).stem
    if not Path(instead).suffix:
        instead += next(suffix for suffix in suffixes if suffix)
    raise InputError(
        f"cannot write {path}: the output is {_formats(suffixes)}, whose name does not end in "
        f"{path.suffix or 'nothing'}; write it to {path.with_name(instead)}"
    )


def check_folder(path: Path) -> None:
    """Raise InputError if the folder of an output does not exist or cannot be written to."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir() or not path.parent.is_dir():
        shown = path.parent if not path.parent.is_dir() else folder
        raise InputError(f"cannot write {path}: the folder {shown} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"cannot write {path}: the folder {folder} cannot be written to (Permission denied, or "
            "a read-only file system); choose another folder"
        )


def _check_not_input(output: Path, inputs: Iterable[Any], otherwise: str) -> None:
    real = Path(os.path.realpath(output))
    for one in existing(inputs):
        source = Path(os.path.realpath(one))
        same = output.exists() and os.path.samefile(output, one)
        inside = source.is_dir() and real.is_relative_to(source)
        around = real.is_dir() and source.is_relative_to(real)
        if same or inside or around:
            how = "is the input" if same or real == source else (
                f"lies inside the input {one}" if inside else f"contains the input {one}"
            )  # fmt: skip
            raise InputError(
                f"the output {output} {how}, which would be lost; choose another name{otherwise}"
            )


def check_space(path: str | os.PathLike[str], values: int) -> None:
    """Raise InputError if the disk is too full for an output.

    Parameters
    ----------
    path : path
    values : int
        Bytes of its values in memory. Compression is taken to save half at most.
    """
    folder = Path(os.path.realpath(path)).parent
    try:
        total, _, free = shutil.disk_usage(folder)
    except OSError:
        return
    needed = int(values * _LEAST_COMPRESSED)
    if total and needed > free:  # a pseudo file system has no size
        raise InputError(
            f"no space left writing {path}; free space or choose another folder (at least "
            f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free)"
        )


def is_store(path: Path) -> bool:
    """Tell whether a folder is a zarr store, by what its root has."""
    return any((path / mark).exists() for mark in _ZARR_MARKS)


def _formats(suffixes: Sequence[str]) -> str:
    return "netCDF or zarr" if ZARR in suffixes else " or ".join(suffixes)


def existing(inputs: Iterable[Any]) -> Iterable[str]:
    """Yield the existing files and folders among `inputs`."""
    for one in inputs:
        if isinstance(one, str | os.PathLike):
            text = os.path.expanduser(os.fspath(one))
            if os.path.exists(text):
                yield text
            elif "://" not in text:
                yield from glob.glob(text)
                # A model in a file may be followed by its name there: models.py:rossler.
                if os.path.isfile(text.rpartition(":")[0]):
                    yield text.rpartition(":")[0]
        elif isinstance(one, Mapping | Sequence | Set) and not isinstance(one, bytes):
            yield from existing(one)
