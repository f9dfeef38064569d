"""Files, stores and URLs: what is there is opened, what is not is refused with a working remedy."""

import fcntl
import functools
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from pyvda import get_model
from pyvda.errors import InputError
from pyvda.io.sources import locations
from pyvda.io.sources.open import by_size, open_dataset, open_observations, opened

VALUES = np.random.default_rng(3).normal(size=(12, 3))


@pytest.fixture
def series() -> xr.Dataset:
    return xr.Dataset({"observation": (("time", "state"), VALUES)}, {"time": 0.01 * np.arange(12)})


@pytest.fixture
def file(series: xr.Dataset, tmp_path: Path) -> Path:
    series.to_netcdf(tmp_path / "obs.nc")
    return tmp_path / "obs.nc"


def zipped(series: xr.Dataset, path: Path) -> Path:
    with zarr.storage.ZipStore(path, mode="w") as store:
        series.to_zarr(store, zarr_format=3, consolidated=False)
    return path


def test_a_home_directory_and_a_file_url(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    for name in ("~/obs.nc", Path("~/obs.nc"), f"file://{file}", f"file://localhost{file}"):
        np.testing.assert_array_equal(open_observations(name).observation, VALUES)
    np.testing.assert_array_equal(open_dataset("~/obs.nc").observation, VALUES)


def test_a_file_url_with_escaped_characters(file):
    file.rename(file.with_name("my obs.nc"))
    found = open_observations(file.with_name("my obs.nc").as_uri())
    np.testing.assert_array_equal(found.observation, VALUES)


@pytest.mark.parametrize("pattern", [str, Path])
def test_a_pattern_joins_the_files_in_the_order_of_their_times(series, tmp_path, pattern):
    for n, part in enumerate((4, 0, 8)):
        series.isel(time=slice(part, part + 4)).to_netcdf(tmp_path / f"obs_{n}.nc")
    found = open_observations(pattern(tmp_path / "obs_*.nc"))
    np.testing.assert_array_equal(found.observation, VALUES)
    # As dask arrays, where the file is to stay on disk.
    lazy = open_observations(tmp_path / "obs_*.nc", chunks={"time": 6})
    assert lazy.observation.chunks is not None
    np.testing.assert_array_equal(lazy.observation, VALUES)


def test_a_name_with_the_characters_of_a_pattern_is_a_name(file):
    odd = file.rename(file.with_name("obs[1].nc"))
    np.testing.assert_array_equal(open_observations(odd).observation, VALUES)


def test_files_are_counted_as_people_count_them(series, tmp_path):
    for n in (1, 2, 10):
        series.assign(observation=series.observation * 0 + n).to_netcdf(tmp_path / f"w{n}.nc")
    with pytest.warns(UserWarning, match="taken as so many windows"):
        found = open_observations(tmp_path / "w*.nc")
    np.testing.assert_array_equal(found.observation[:, 0, 0], [1, 2, 10])


@pytest.mark.parametrize("name", ["obs.zarr.zip", "obs.zip"])
def test_a_zipped_zarr_store(series, tmp_path, name):
    path = zipped(series, tmp_path / name)
    np.testing.assert_array_equal(open_observations(path).observation, VALUES)


def test_a_zip_archive_of_the_folder_of_a_zarr_store(series, tmp_path):
    series.to_zarr(tmp_path / "obs.zarr", zarr_format=2)
    shutil.make_archive(str(tmp_path / "obs.zarr"), "zip", tmp_path, "obs.zarr")
    found = open_observations(tmp_path / "obs.zarr.zip")
    np.testing.assert_array_equal(found.observation, VALUES)


def test_fsspec_in_memory(series, file):
    fs = fsspec.filesystem("memory")
    series.to_zarr("memory://of_test/obs.zarr", mode="w", zarr_format=2)
    fs.pipe("/of_test/obs.nc", file.read_bytes())
    for name in ("obs.nc", "obs.zarr", "*.nc"):
        found = open_observations(f"memory://of_test/{name}")
        np.testing.assert_array_equal(found.observation, VALUES)
    with pytest.raises(InputError, match="no file matches"):
        open_observations("memory://of_test/nothing_*.nc")
    with pytest.raises(InputError, match="does not exist; check the address"):
        open_observations("memory://of_test/nothing.nc")


@pytest.mark.parametrize("kind", [NameError, MemoryError])
def test_errors_that_no_file_causes_pass(file, monkeypatch, kind):
    def broken(*_, **__):
        raise kind("not the file's fault")

    monkeypatch.setattr(xr, "open_dataset", broken)
    for name in (file, "memory://of_test/obs.zarr"):
        with pytest.raises(kind, match="not the file's fault"):
            locations.opened(name)


@pytest.fixture
def server(tmp_path):
    """Serve the files of the test, and a data set by OPeNDAP (DAP 2), over HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            kind = self.path.partition("?")[0].removeprefix("/dodsC/series")
            if kind not in OPENDAP:
                return super().do_GET()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(OPENDAP[kind])

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


_DDS = b"Dataset {\n  Float64 observation[time = 4][state = 3];\n} series;\n"
_NUMBERS = np.arange(12.0).astype(">f8").tobytes()
_COUNT = np.array([12, 12], ">i4").tobytes()
OPENDAP = {
    ".dds": _DDS,
    ".das": b"Attributes {\n  observation {\n    String units \"K\";\n  }\n}\n",
    ".dods": _DDS + b"\nData:\n" + _COUNT + _NUMBERS,
}  # fmt: skip


def test_http_and_opendap(series, file, server):
    series.to_zarr(file.with_name("obs.zarr"), zarr_format=2)
    for name in ("obs.nc", "obs.zarr"):
        found = open_observations(f"{server}/{name}")
        np.testing.assert_array_equal(found.observation, VALUES)
    with pytest.raises(InputError, match="does not exist; check the address"):
        open_observations(f"{server}/nothing.nc")
    found = open_observations(f"{server}/dodsC/series")
    np.testing.assert_array_equal(found.observation, np.arange(12.0).reshape(4, 3))
    assert found.observation.attrs["units"] == "K"


def test_addresses_that_lead_nowhere():
    for url in ("nowhere://a/obs.nc", "http://127.0.0.1:9/obs.nc"):
        with pytest.raises(InputError, match="check the address"):
            open_observations(url)


def test_a_locked_file_says_so_and_how_to_read_it(file):
    with open(file, "rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="locked by another process") as refused:
            open_observations(file)
        look = f"import pyvda; print(pyvda.open_observations({str(file)!r}).sizes['time'])"
        remedy = {"HDF5_USE_FILE_LOCKING": "FALSE"}
        assert "HDF5_USE_FILE_LOCKING=FALSE" in str(refused.value)
        done = subprocess.run(
            [sys.executable, "-c", look], env={**os.environ, **remedy}, capture_output=True
        )
        assert done.stdout.split() == [b"12"], done.stderr
    np.testing.assert_array_equal(open_observations(file).observation, VALUES)


def test_other_formats_are_named(file, tmp_path, monkeypatch):
    grib = tmp_path / "obs.grib"
    grib.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(InputError, match=r"GRIB file.*cfgrib.*convert"):
        open_observations(grib)
    monkeypatch.setattr(xr.backends, "list_engines", lambda: {"cfgrib": None})
    asked = {}
    monkeypatch.setattr(xr, "open_dataset", lambda path, **how: asked.update(how) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_observations(grib)
    assert asked["engine"] == "cfgrib"


def test_a_compressed_file_is_unpacked_as_the_message_says(file):
    packed = file.with_name("obs.nc.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    with pytest.raises(InputError, match=r"compressed by gzip.*\(gunzip obs.nc.gz\)"):
        open_observations(packed)
    subprocess.run(["gunzip", packed.name], cwd=file.parent, check=True)
    np.testing.assert_array_equal(open_observations(file).observation, VALUES)


def test_a_zip_archive_of_a_netcdf_file(file):
    with zipfile.ZipFile(file.with_name("a.zip"), "w") as archive:
        archive.write(file, "obs.nc")
    with pytest.raises(InputError, match=r"zip archive of obs\.nc, expected a zarr"):
        open_observations(file.with_name("a.zip"))


def test_a_folder_of_files_is_read_as_the_message_says(series, tmp_path):
    for n in range(2):
        series.isel(time=slice(6 * n, 6 * n + 6)).to_netcdf(tmp_path / f"{n}.nc")
    with pytest.raises(InputError, match="folder of files") as refused:
        open_observations(tmp_path)
    advised = str(refused.value).rpartition(" as ")[2]
    np.testing.assert_array_equal(open_observations(advised).observation, VALUES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing.nc", "nothing.nc does not exist"),
        ("nothing_*.nc", "no file matches nothing_"),
        ("", "the path is empty"),
        ([], "an empty list; give at least one file"),
        (["obs.nc", "obs.nc"], "given more than once"),
        ("~nobody_has_this_name/obs.nc", "does not exist|cannot be resolved"),
        ("empty.nc", "the file has 0 bytes"),
        ("text.nc", "cannot be read as netCDF or zarr"),
    ],
)
def test_what_is_not_there_is_refused(file, given, message, monkeypatch):
    monkeypatch.chdir(file.parent)
    Path("empty.nc").touch()
    Path("text.nc").write_text("time,x\n1,2\n" * 10)
    with pytest.raises(InputError, match=message):
        open_observations(given)


@pytest.mark.parametrize("index", ["numbers", "dates"])
def test_a_csv_file_of_a_frame_with_its_index(tmp_path, index):
    time = 0.01 * np.arange(12) if index == "numbers" else pd.date_range("2020", periods=12)
    frame = pd.DataFrame(VALUES, index=time, columns=list("xyz"))
    frame.to_csv(tmp_path / "table.csv")
    found = open_observations(tmp_path / "table.csv", model=get_model("lorenz63"))
    np.testing.assert_allclose(found.observation, VALUES)
    np.testing.assert_array_equal(found.time, time)
    (tmp_path / "table.csv").write_text("")
    with pytest.raises(InputError, match="is empty"):
        open_observations(tmp_path / "table.csv")


def test_a_large_file_stays_on_disk(file, monkeypatch):
    assert opened(file).observation.chunks is None
    monkeypatch.setattr("pyvda.state.chunking.ONE_BLOCK_BYTES", 100)
    assert set(by_size(locations.opened(file))) == {"time"}
    lazy = opened(file).observation
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, VALUES)


def test_archives_that_are_no_stores_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.ones((4, 3)))
    with pytest.raises(InputError, match=r"a\.npz holds arrays of NumPy .* give a DataArray"):
        open_observations(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(InputError, match=r"a\.xlsx is a document .* save its table as CSV"):
        open_observations(tmp_path / "a.xlsx")


def test_a_file_that_the_disk_does_not_give_is_refused(file, monkeypatch):
    def broken(*args, **keywords):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", broken)
    with pytest.raises(
        InputError, match=r"cannot be read as netCDF or zarr \(OSError: .*Input/out"
    ):
        locations.opened(file)


def test_a_name_in_another_encoding(file, tmp_path):
    path = tmp_path / "obs_\udcff.nc"
    path.write_bytes(Path(file).read_bytes())
    with pytest.raises(InputError, match="is not in the encoding of file names, utf-8; rename"):
        open_observations(path)
