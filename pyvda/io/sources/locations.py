"""Open a location: a file, a zarr store, a URL, or many of them by a list or a pattern.

A location is a path (`~` and `*` as in a shell) or a URL: `file://`, `http://`, OPeNDAP, and every
protocol of fsspec (`memory://`, `s3://`, `simplecache::...`). Files elsewhere are copied into
fsspec's temporary cache, except for zarr stores and OPeNDAP, of which only the needed parts travel.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
import urllib.parse
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf import times
from pyvda.io.quality.packing import scaled_by_text, unpacked
from pyvda.io.sources import file_formats, groups, several_files
from pyvda.io.sources.file_formats import UNREADABLE

Location = str | os.PathLike[str]
_PATTERN = re.compile(r"[*?\[]")
_URL = re.compile(r"[A-Za-z][\w+.-]*(::|://)")
_OPENDAP = re.compile(r"^dap[24]?://|/dodsC/|/opendap/|/dap/", re.IGNORECASE)
_ZARR = re.compile(r"\.zarr/?($|[?#])")


def opened(given: Location | Sequence[Location], group: str | None = None) -> xr.Dataset:
    """Open a location or several, values unread; several are combined, see `several_files`.

    Parameters
    ----------
    given : path, URL, or a sequence of them
    group : str, optional
        Group of a netCDF file or zarr store.

    Raises
    ------
    InputError
        Nothing is there, it cannot be read, or several do not belong together.
    """
    listed = [given] if isinstance(given, str | os.PathLike) else given
    found = [one for each in listed for one in _expanded(each)]
    if not found:
        raise InputError("the list of files is empty; give at least one")
    if len(found) == 1:
        return _one(found[0], group)
    # dask arrays, so that joined files stay on disk.
    parts = {str(one): _one(one, group, chunks={}) for one in found}
    if len(parts) < len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise InputError(f"{twice} is given more than once; give every file once")
    try:
        joined = several_files.combined(parts)
    except BaseException:
        for part in parts.values():
            part.close()
        raise
    joined.set_close(_closing(parts.values()))
    return joined


@contextlib.contextmanager
def reading(where: object) -> Iterator[None]:
    """Refuse what a library cannot read; errors that refuse it already pass."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        if isinstance(where, Path) and (reason := file_formats.locked(where)):
            raise InputError(reason) from error
        if isinstance(error, UnicodeEncodeError):
            raise InputError(
                f"the name {str(where)!r} is not in the encoding of file names, "
                f"{sys.getfilesystemencoding()}; rename the file"
            ) from error
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
        raise InputError(
            f"{where} cannot be read as netCDF or zarr ({said}); "
            "check that it is such a file and complete"
        ) from error


def local_path(given: Location) -> Path | None:
    """Return the path of a file on this machine, with `~` and `file://` resolved; None of a URL."""
    text = os.fspath(given)
    if not text:
        raise InputError("the path is empty; give that of a file")
    if text.startswith("file:"):
        parsed = urllib.parse.urlparse(text)
        return Path(urllib.request.url2pathname(parsed.path))
    if _URL.match(text):
        return None
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text} cannot be resolved ({error}); give the whole path") from None


def _expanded(given: Location) -> list[Path | str]:
    if not isinstance(given, str | os.PathLike):
        raise InputError(
            f"the list of files contains a {type(given).__name__}, expected only paths; leave it "
            "out"
        )
    path = local_path(given)
    if path is None:
        return _expanded_url(os.fspath(given))
    if os.path.exists(path) or not _PATTERN.search(str(path)):
        return [path]
    return [Path(one) for one in _matching(glob.glob(str(path), recursive=True), given)]


def _expanded_url(url: str) -> list[Path | str]:
    import fsspec

    if not _PATTERN.search(url) or url.startswith(("http:", "https:", "dap")):
        return [url]
    with _fetching(url):
        fs, pattern = fsspec.core.url_to_fs(url)
        found = [fs.unstrip_protocol(one) for one in fs.glob(pattern)]
    return list(_matching(found, url))


def _matching(found: list[str], pattern: Location) -> list[str]:
    if not found:
        raise InputError(f"no file matches {os.fspath(pattern)}; check the pattern")

    def counted(name: str) -> list[Any]:  # obs_2 before obs_10
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]

    return sorted(found, key=counted)


def _one(where: Path | str, group: str | None, chunks: Any = None) -> xr.Dataset:
    if isinstance(where, Path):
        return _local(where, where, group, chunks)
    if _OPENDAP.search(where):
        with reading(where):
            return _opened(where, "netcdf4", group, where, chunks)
    if _ZARR.search(where) and not where.startswith("zip:"):
        with _fetching(where):
            return _opened(where, "zarr", group, where, chunks)
    try:
        copy = _copied(where)
    except InputError as error:
        # Of a file that OPeNDAP gives parts of, a server may refuse the whole.
        if not (where.startswith(("http:", "https:")) and _is_opendap(where)):
            raise error
        copy = None
    if copy is None or (file_formats.format_of(copy) is None and _is_opendap(where)):
        with reading(where):
            return _opened(where, "netcdf4", group, where, chunks)
    return _local(copy, where, group, chunks)


def _is_opendap(url: str) -> bool:
    """Tell whether a server describes a data set under this address, as OPeNDAP has it."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(f"{url}.dds")
        return bool(fs.cat_file(path).lstrip().startswith(b"Dataset"))
    except Exception:  # no server, no such address
        return False


def _copied(url: str) -> Path:
    import fsspec

    with _fetching(url):
        return Path(fsspec.open_local(f"simplecache::{url}"))


@contextlib.contextmanager
def _fetching(url: str) -> Iterator[None]:
    """Refuse a URL that cannot be read: unknown protocol, no server, no such file."""
    try:
        yield
    except (InputError, MemoryError, NameError):
        raise
    except ImportError as error:  # s3fs, gcsfs, ... are not installed
        raise InputError(f"{url} needs another package ({error}); install it") from error
    except FileNotFoundError as error:
        raise InputError(f"{url} does not exist; check the address") from error
    except Exception as error:  # each protocol has errors of its own library
        lines = str(error).strip().splitlines()
        said = lines[0][:200] if lines else type(error).__name__
        raise InputError(f"{url} cannot be read ({said}); check the address") from error


def _local(path: Path, where: Path | str, group: str | None, chunks: Any) -> xr.Dataset:
    """Open a file or the folder of a zarr store; `where` is what messages call it."""
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error}); check the path") from None
    if not there:
        raise InputError(f"{where} does not exist; check the path")
    with reading(where):
        kind = file_formats.checked(path, where)
        if kind == "table":
            return _table(path)
        if kind == "zip":
            inside = file_formats.zarr_in_zip(path, where)
            return _in_zip(path, inside, group, where, chunks)
        return _opened(path, kind, group, where, chunks)


def _table(path: Path) -> xr.Dataset:
    from pyvda.io.tables import frames, text_tables

    frame = text_tables.read(path)
    if frame.columns[0].startswith("Unnamed: "):  # the index of a DataFrame, which had no name
        frame = frame.set_index(frame.columns[0]).rename_axis(None)
        if frame.index.dtype.kind not in "iuf":
            frame = frame.rename_axis("time")
    return frames.dataset(frame, str(path))


def _in_zip(
    path: Path, inside: str, group: str | None, where: Path | str, chunks: Any
) -> xr.Dataset:
    from zarr.storage import ZipStore

    try:
        store = f"zip://{inside}::{path.resolve()}" if inside else ZipStore(path, mode="r")
        return _opened(store, "zarr", group, where, chunks)
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{where} is not a complete zip archive ({error}); copy it again"
        ) from error


def _opened(store: Any, engine: str, group: str | None, where: object, chunks: Any) -> xr.Dataset:
    """Open a store with an engine of xarray and return the group that holds the data."""
    # Only a variable that says it is a timedelta becomes one: "seconds" may be model time units.
    how: dict[str, Any] = {
        "engine": engine,
        "cache": False,
        "chunks": chunks,
        "decode_times": times.CODER,
        "decode_timedelta": xr.coders.CFTimedeltaCoder(decode_via_units=False),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*has multiple fill values")
        # Dates before 1582 or after 2262: they are dates all the same, of cftime.
        warnings.filterwarnings("ignore", message="Unable to decode time axis into full numpy")
        warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
        # An archive or a chunked store may have names that zarr does not use.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized")
        root = xr.open_dataset(store, **how)
        if packed := scaled_by_text(root):
            root.close()
            root = unpacked(
                xr.open_dataset(store, mask_and_scale=dict.fromkeys(packed, False), **how)
            )
        if group is None and groups.has_data(root):
            return root
        if engine not in ("netcdf4", "h5netcdf", "zarr"):
            return root

        try:
            every = xr.open_groups(store, **how)
        except UNREADABLE:
            if group is not None:
                raise
            return root  # a format without groups
    if len(every) == 1 and group is None:
        return root
    chosen = groups.chosen(every, group, str(where))
    root.close()
    chosen.set_close(_closing(every.values()))
    return chosen


def _closing(parts: Iterable[xr.Dataset]) -> Callable[[], None]:
    def close() -> None:
        for part in parts:
            part.close()

    return close
