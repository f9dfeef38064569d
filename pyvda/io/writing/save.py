"""Save Datasets as netCDF or zarr, completely or not at all.

>>> save_analysis(analysis, "analysis.nc")  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
import warnings
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf import references, times
from pyvda.io.writing import blockwise, encodings, outputs, regions
from pyvda.io.writing.atomic import replacing
from pyvda.io.writing.attributes import storable
from pyvda.io.writing.encodings import CHUNK_BYTES, Encoding, chunk_sizes
from pyvda.io.writing.values import storable_values
from pyvda.judgements import lazy_report
from pyvda.notices import notice
from pyvda.progress import ProgressReport, silent


def save_analysis(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
    report: ProgressReport = silent,
    run: str | None = None,
) -> None:
    """Write a Dataset to netCDF, or to zarr where `path` ends in `.zarr`, completely or not at all.

    Lazy variables are computed block by block. Under a `distributed.Client` its workers compute
    them, and write the regions of a zarr store themselves.

    Attributes that netCDF cannot hold are written as text, which a notice says; unlimited
    dimensions stay unlimited; packing and chunk sizes of the file that a variable was read from are
    not those of the new one.

    Parameters
    ----------
    ds : Dataset
        Any Dataset; lazy variables are computed once it is known that the rest can be written.
    path : path
        Replaced if it exists, once the new file is complete and on the disk; a link is followed.
    encoding : mapping, optional
        Per variable, as in `Dataset.to_netcdf`; added to light compression in netCDF files.
    report : callable, optional
        Called with the number of written blocks and their total.
    run : str, optional
        Identity of what is computed. A zarr store that is interrupted is then kept beside `path`,
        as `path` with `.partial` added, and the same run completes it.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written to, when `path` is a folder of something
        else or ends like a file of another format, when an attribute or an encoding cannot be
        written, or when the disk is full; nothing is left behind.
    """
    outputs.check_output(path)
    zarr = outputs.is_zarr(path)
    to_be_judged = lazy_report.is_to_be_judged(ds)
    if to_be_judged:
        ds = lazy_report.unjudged(ds)
    ds, chosen = _writable(ds, zarr, encoding)
    lazy = [v for v in ds.variables.values() if v.chunks is not None]
    if lazy:
        outputs.check_space(path, sum(v.nbytes for v in lazy if v.dtype.kind == "f"))
        _try(ds, path, encoding)
    with replacing(path, keep=zarr and run is not None) as temporary:
        try:
            _write(ds, temporary, zarr, chosen, report, run)
            if to_be_judged:
                lazy_report.judge_written(temporary, zarr=zarr)
        except KeyboardInterrupt:
            if zarr and run is not None:
                notice(f"{temporary} has what is finished, and the same command completes it")
            raise


def check_can_be_saved(ds: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Raise InputError, before a long computation, unless Datasets like `ds` can be written.

    Parameters
    ----------
    ds : Dataset
        With the coordinates, attributes and dtypes of what is to be saved; values are not read.
    path : path
    """
    outputs.check_output(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are shown when the file is written
        prepared, _ = _writable(ds, outputs.is_zarr(path), None)
        _try(prepared, path, None)


def _writable(
    ds: xr.Dataset, zarr: bool, given: Mapping[Hashable, Mapping[str, Any]] | None
) -> tuple[xr.Dataset, Encoding]:
    """Return the Dataset as it is handed to xarray, with the encoding of each variable."""
    odd = [repr(n) for n in (*ds.variables, *ds.dims) if not isinstance(n, str) or "/" in n]
    if odd:
        raise InputError(
            f"the name {odd[0]} of a variable or dimension cannot be written, expected text "
            "without a slash; rename it (Dataset.rename)"
        )
    ds = storable(storable_values(times.encodable(ds)))
    ds = encodings.with_encodable_times(references.written(ds))
    unlimited = ds.encoding.get("unlimited_dims", ())
    ds.encoding["unlimited_dims"] = {dim for dim in unlimited if dim in ds.dims}
    chosen = encodings.chosen(ds, zarr, given)
    return encodings.with_checked_values(ds, chosen), chosen


def _try(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    given: Mapping[Hashable, Mapping[str, Any]] | None,
) -> None:
    """Write one value of each variable beside `path`, which shows what the libraries refuse."""
    sample = ds.isel({dim: slice(0, 1) for dim in ds.dims})
    for name, variable in sample.variables.items():
        if variable.chunks is not None:
            zeros = np.zeros(variable.shape, variable.dtype)
            sample[name] = variable.copy(data=zeros)
    sample.encoding = dict(ds.encoding)
    zarr = outputs.is_zarr(path)
    target = Path(os.path.realpath(path))
    trial = target.with_name(f"{target.name}.trial{target.suffix}")
    with _discarded(path, trial) as temporary:
        _write(sample, temporary, zarr, encodings.chosen(sample, zarr, given))


class _NotWantedError(Exception):
    """A trial could be written, and its file is to be removed."""


@contextlib.contextmanager
def _discarded(path: str | os.PathLike[str], trial: Path) -> Iterator[Path]:
    try:
        with replacing(trial) as temporary:
            yield temporary
            raise _NotWantedError
    except _NotWantedError:
        return
    except InputError as error:
        raise InputError(str(error).replace(str(trial), str(path))) from error


def _write(
    ds: xr.Dataset,
    path: Path,
    zarr: bool,
    encoding: Encoding,
    report: ProgressReport = silent,
    run: str | None = None,
) -> None:
    try:
        if zarr:
            _to_zarr(ds, path, encoding, report, run)
        else:
            _to_netcdf(ds, path, encoding, report)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        said = [*str(error).strip().splitlines()[:1], *getattr(error, "__notes__", ())[:1]]
        reason = ", ".join(line.splitlines()[0][:200].rstrip(". ") for line in said if line)
        raise InputError(
            f"the Dataset cannot be written ({reason or type(error).__name__}); change or remove "
            "the variable, attribute or encoding"
        ) from error


def _to_zarr(
    ds: xr.Dataset, path: Path, encoding: Encoding, report: ProgressReport, run: str | None
) -> None:
    with warnings.catch_warnings():
        # Readers are slower, and warn, without consolidated metadata.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        regions.write(ds, _for_zarr(ds), path, encoding, report, run)


def _to_netcdf(ds: xr.Dataset, path: Path, encoding: Encoding, report: ProgressReport) -> None:
    try:
        with _small_caches():
            blockwise.to_netcdf(ds, os.fspath(path), encoding, report)
    except (OSError, RuntimeError) as error:
        # HDF5 never gives up a file that it cannot complete. Let it try now, while the disk is
        # still full, or it writes its buffers once more after the file was emptied and removed.
        failure: BaseException | None = error
        while failure is not None:  # tracebacks hold the open file
            traceback.clear_frames(failure.__traceback__)
            failure = failure.__context__
        gc.collect()
        if "Invalid argument: (variable" in str(error):  # of an encoding, not of the disk
            raise ValueError(str(error)) from error
        raise


@contextlib.contextmanager
def _small_caches() -> Iterator[None]:
    """Keep a few chunks of each variable in memory instead of the library's 64 MB and more.

    Windows are written in their order, so a chunk that is complete is not needed again.
    """
    before = netCDF4.get_chunk_cache()
    netCDF4.set_chunk_cache(4 * CHUNK_BYTES)
    try:
        yield
    finally:
        netCDF4.set_chunk_cache(*before)


def _for_zarr(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` as zarr's format 3 takes it.

    Chunks equal, except the last of a dimension. Strings of variable length, because those of
    fixed length are not part of the format yet.
    """
    regular = ds.copy()
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "U":
            regular[name] = ds[name].astype(object)
        # Dates and texts, which are few, cannot be written from chunks.
        if (
            name not in ds.dims
            and variable.ndim
            and variable.size
            and variable.dtype.kind not in "mMOU"
        ):
            sizes = chunk_sizes(variable.shape, variable.dtype.itemsize)
            chunks: Mapping[Any, int] = dict(zip(variable.dims, sizes, strict=True))
            if variable.chunks is not None:
                chunks = {dim: max(found) for dim, found in variable.chunksizes.items()}
            regular[name] = regular[name].chunk(chunks)
    return regular
