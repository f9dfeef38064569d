"""Where an output can be written to, and which inputs it must not replace."""

import os
import stat
import subprocess

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.netcdf import save_analysis
from pyvda.io.writing.outputs import check_output, check_space


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("a.csv", "a.nc"), ("a.nc.gz", "a.nc"), ("a.zarr.zip", "a.zarr"), ("a.NPZ", "a.nc"),
        ("a.parquet", "a.nc"), ("a.b.txt", "a.nc"), ("a.nc.csv.bz2", "a.nc"),
    ],
)  # fmt: skip
def test_suffixes_of_other_formats(tmp_path, name, instead):
    with pytest.raises(InputError, match="whose name does not end in") as refused:
        check_output(tmp_path / name)
    remedy = str(refused.value).rpartition("write it to ")[2]
    assert remedy == str(tmp_path / instead)
    check_output(remedy)


@pytest.mark.parametrize("name", ["a.nc", "a.NC", "a.nc4", "a.zarr", "a", "a.b.nc", "a.h5"])
def test_suffixes_of_netcdf_and_zarr(tmp_path, name):
    check_output(tmp_path / name)


def test_an_output_of_a_former_run_is_replaced(tmp_path):
    xr.Dataset({"x": 1}).to_netcdf(tmp_path / "a.nc")
    check_output(tmp_path / "a.nc", [tmp_path / "obs.nc"])


@pytest.fixture
def inputs(tmp_path):
    """Write a file, a store and a model, with links to them; return their folder."""
    ds = xr.Dataset({"x": ("t", [1.0])})
    ds.to_netcdf(tmp_path / "obs.nc")
    ds.to_zarr(tmp_path / "obs.zarr", group="inner")
    (tmp_path / "model.jl").write_text("")
    (tmp_path / "soft.nc").symlink_to("obs.nc")
    os.link(tmp_path / "obs.nc", tmp_path / "hard.nc")
    (tmp_path / "soft.zarr").symlink_to("obs.zarr")
    (tmp_path / "folder").symlink_to(".")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "given"),
    [
        ("obs.nc", "obs.nc"), ("soft.nc", "obs.nc"), ("obs.nc", "soft.nc"), ("hard.nc", "obs.nc"),
        ("hard.nc", "soft.nc"), ("folder/obs.nc", "obs.nc"), ("obs.nc", "o*.nc"),
        ("obs.zarr", "obs.zarr"), ("soft.zarr", "obs.zarr"), ("obs.zarr", "soft.zarr"),
        ("obs.zarr/a.nc", "obs.zarr"), ("obs.zarr/inner/b.zarr", "obs.zarr"),
        ("obs.zarr", "obs.zarr/inner"), ("obs.nc", ["other.nc", ["obs.nc"]]),
    ],
)  # fmt: skip
def test_an_input_is_not_replaced(inputs, monkeypatch, output, given):
    monkeypatch.chdir(inputs)
    with pytest.raises(
        InputError, match=r"the input.*, which would be lost; .* or pass --overwrite"
    ):
        check_output(output, [None, 3, given])
    check_output(output, [None, 3, given], overwrite=True)


def test_a_model_in_a_file_is_an_input(inputs):
    model = inputs / "model.jl"
    with pytest.raises(InputError, match=r"which would be lost; choose another name$"):
        check_output(model, [f"{model}:rossler"], overwrite=None, suffixes=())


@pytest.mark.parametrize("output", ["a.nc", "obs_2.nc", "b.zarr"])
def test_other_names_beside_the_input_are_free(inputs, output):
    given = [inputs / "obs.nc", inputs / "obs.zarr", "s3://bucket/obs_2.nc", "memory://a.nc"]
    check_output(inputs / output, given)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "real.nc").write_bytes(b"older")
    (tmp_path / "a.nc").symlink_to("scratch/real.nc")
    (tmp_path / "new.nc").symlink_to("scratch/new.nc")
    (tmp_path / "lost.nc").symlink_to("nowhere/a.nc")
    (tmp_path / "store.zarr").symlink_to("scratch/store.zarr")
    ds = xr.Dataset({"x": ("t", [1.0])})
    for name, real in (("a.nc", "real.nc"), ("new.nc", "new.nc"), ("store.zarr", "store.zarr")):
        for _ in range(2):
            save_analysis(ds, tmp_path / name)
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / "scratch" / real).exists()
    with xr.open_dataset(tmp_path / "scratch" / "real.nc") as found:
        xr.testing.assert_equal(found, ds)
    assert not [n for n in os.listdir(tmp_path / "scratch") if n.startswith(".")]
    with pytest.raises(InputError, match="nowhere does not exist"):
        save_analysis(ds, tmp_path / "lost.nc")


def test_permissions_of_the_old_file_are_kept(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(b"older")
    path.chmod(0o664)
    save_analysis(xr.Dataset({"x": 1.0}), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is not an ordinary file"):
        check_output(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is not an ordinary file"):
        check_output("/dev/null")


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # as root, every folder can
    with pytest.raises(InputError, match=r"cannot be written to .*; choose another folder"):
        check_output(tmp_path / "a.nc")


def test_a_read_only_file_system(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here (that takes root)")
    try:
        with pytest.raises(InputError, match="read-only file system"):
            save_analysis(xr.Dataset({"x": 1.0}), tmp_path / "a.nc")
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_space_is_estimated(tmp_path):
    check_space(tmp_path / "a.nc", 1000)
    with pytest.raises(InputError, match=r"^no space left writing .*a\.nc; free space or"):
        check_space(tmp_path / "a.nc", 1 << 60)


def test_a_lazy_dataset_that_does_not_fit_is_refused_unread(tmp_path):
    da = pytest.importorskip("dask.array")
    values = da.zeros((1 << 30, 1 << 20), chunks=(1 << 20, 1 << 10))
    ds = xr.Dataset({"x": (("t", "s"), values)})
    with pytest.raises(InputError, match=r"no space left writing"):
        save_analysis(ds, tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())
    assert np.prod(values.shape) == 1 << 50


def test_a_folder_that_is_passed_through_must_exist(tmp_path):
    """The operating system does not take missing/.. away."""
    with pytest.raises(InputError, match=r"the folder .*missing.* does not exist"):
        check_output(tmp_path / "missing" / ".." / "a.nc")


@pytest.mark.parametrize("url", ["memory://a.zarr", "s3://bucket/a.zarr", "https://a.org/b.nc"])
def test_an_address_is_no_output(url):
    with pytest.raises(InputError, match=f"cannot write {url}: outputs are files of this machine"):
        check_output(url)


def test_a_file_where_a_store_is_to_be(tmp_path):
    (tmp_path / "a.zarr").write_text("notes")
    with pytest.raises(InputError, match="it is a file, and a zarr store is a folder"):
        check_output(tmp_path / "a.zarr")


def test_a_name_that_is_too_long_for_temporary_files(tmp_path):
    with pytest.raises(InputError, match="its name has 253 bytes, expected at most 200; choose"):
        check_output(tmp_path / ("x" * 250 + ".nc"))
    save_analysis(xr.Dataset({"x": 1.0}), tmp_path / ("x" * 197 + ".nc"))
    save_analysis(xr.Dataset({"x": 1.0}), tmp_path / ("x" * 195 + ".zarr"))


def test_standard_output_is_no_file():
    with pytest.raises(InputError, match="cannot write to standard output"):
        check_output("-")
