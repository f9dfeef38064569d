"""Detect the format of a file by its first bytes, and advise on those that cannot be read."""

from __future__ import annotations

import codecs
import csv
import struct
import zipfile
import zlib
from pathlib import Path

import xarray as xr

from pyvda.errors import InputError
from pyvda.io.sources.netcdf3 import announced_size

# What the libraries were seen to raise on files that are broken, cut short or of another kind.
# MemoryError and errors of our own (NameError, AssertionError, ...) are not among them.
UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError,
    OverflowError, struct.error, zlib.error, zipfile.BadZipFile, csv.Error,
)  # fmt: skip

_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIRST_BYTES = {
    _HDF5: "netcdf4",
    b"CDF": "netcdf4",
    b"GRIB": "grib",
    b"BUFR": "bufr",
    b"PK": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x93NUMPY": "numpy",
    b"PAR1": "parquet",
}
_OFFICE = "[Content_Types].xml"  # of the spreadsheets of Excel, too
_TABLES = (".csv", ".tsv")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TEXTS = (".txt", ".dat", ".tab", ".asc")  # tables, too, if they hold text
_UNPACKED_BY = {"gzip": "gunzip", "bzip2": "bunzip2", "xz": "unxz", "zstd": "unzstd"}
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def format_of(path: Path) -> str | None:
    """Return the format of a file or folder; None where its first bytes do not tell."""
    if path.is_dir():
        return "zarr"
    if path.suffix.lower() in _TABLES:
        return "table"
    with open(path, "rb") as file:
        first = file.read(8)
        for magic, found in _FIRST_BYTES.items():
            if first.startswith(magic):
                return found
        # An HDF5 file may begin with a block of somebody else, of 512, 1024, ... bytes.
        for offset in (512, 1024, 2048, 4096):
            file.seek(offset)
            if file.read(8) == _HDF5:
                return "netcdf4"
        file.seek(0)
        start = file.read(4096)
    text = start.startswith(_UTF16) or b"\0" not in start
    if path.suffix.lower() in _TEXTS and start and text:
        return "table"
    return None


def checked(path: Path, where: object) -> str:
    """Return xarray's engine for a file or folder, or "table" or "zip".

    Raises
    ------
    InputError
        It is of a kind that cannot be read, is locked, or is a folder of files.
    EOFError
        It is cut short.
    """
    found = format_of(path)
    if found == "zarr":
        _check_folder(path, where)
    elif found == "grib":
        if "cfgrib" in xr.backends.list_engines():
            return "cfgrib"
        raise InputError(
            f"{where} is a GRIB file, which xarray reads by the package cfgrib, and that is not "
            "installed; install cfgrib, or convert the file to netCDF (cdo -f nc copy)"
        )
    elif found in _UNPACKED_BY:
        raise InputError(
            f"{where} is compressed by {found}, and pyvda reads netCDF, zarr and CSV; unpack it "
            f"({_UNPACKED_BY[found]} {path.name})"
        )
    elif found in ("bufr", "numpy", "parquet"):
        raise InputError(
            f"{where} is a file of {found}, and pyvda reads netCDF, zarr and CSV; load it in "
            "Python and give a Dataset or a DataFrame"
        )
    elif found in (None, "netcdf4"):
        size = path.stat().st_size
        if not size:
            raise EOFError("the file has 0 bytes")
        if reason := locked(path):
            raise InputError(reason)
        announced = announced_size(path)
        if announced is not None and announced > size:
            raise EOFError(f"{size} bytes, its header announces {announced}")
        return "netcdf4"
    return str(found)


def locked(path: Path) -> str:
    """Return the refusal of an HDF5 file that another process has locked; "" of any other.

    The HDF5 library locks a file with flock while it is open for writing.
    """
    import os

    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return ""
    if not path.is_file() or os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() in _NO_LOCKING:
        return ""
    try:
        with open(path, "rb") as file:
            first = file.read(8)
    except OSError:  # which reading the file says
        return ""
    if first != _HDF5:
        return ""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return (
                f"{path} is locked by another process, which has it open for writing; wait until "
                "it is closed, or read it all the same with HDF5_USE_FILE_LOCKING=FALSE in the "
                "environment"
            )
        except OSError:  # a file system without locks
            return ""
        fcntl.flock(file, fcntl.LOCK_UN)
    return ""


def zarr_in_zip(path: Path, where: object) -> str:
    """Return the folder of the zarr store in a zip archive, "" for its root.

    Raises
    ------
    InputError
        It has none.
    """
    with zipfile.ZipFile(path) as archive:
        inside = archive.namelist()
    marked = [name for name in inside if name.rpartition("/")[2] in _ZARR_MARKERS]
    if _OFFICE in inside:
        raise InputError(f"{where} is a document of an office program; save its table as CSV")
    if inside and all(name.endswith(".npy") for name in inside):
        raise InputError(
            f"{where} holds arrays of NumPy without the names of their dimensions; load it in "
            "Python and give a DataArray"
        )
    if not marked:
        some = ", ".join(inside[:3]) or "nothing"
        raise InputError(
            f"{where} is a zip archive of {some}, expected a zarr store in it; unpack it and give "
            "the file"
        )
    return min(marked, key=lambda name: name.count("/")).rpartition("/")[0]


def _check_folder(path: Path, where: object) -> None:
    if any((path / marker).exists() for marker in _ZARR_MARKERS):
        return
    files = sorted({one.suffix for one in path.iterdir() if one.suffix in (".nc", ".nc4", ".h5")})
    if files:
        raise InputError(
            f"{where} is a folder of files and no zarr store; give the files as {where}/*{files[0]}"
        )


_NO_LOCKING = ("FALSE", "0", "BEST_EFFORT")
