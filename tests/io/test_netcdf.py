"""Files in and out, against files made with plain netCDF4 calls."""

import os
import subprocess
import sys
import tracemalloc

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.netcdf import append_history, open_observations, save_analysis, time_step
from pyvda.io.writing import blockwise

RNG = np.random.default_rng(7)


def series(steps=12, state=3):
    values = RNG.normal(size=(steps, state))
    values[::2, 1:] = np.nan
    time = ("time", 0.01 * np.arange(steps), {"units": "1", "axis": "T"})
    return xr.Dataset({"observation": (("time", "state"), values)}, coords={"time": time})


def foreign_file(path, *, windows=4, steps=6, state=3):
    """Write a packed file of somebody else, with plain netCDF4; return the values as float64."""
    packed = RNG.integers(-1000, 1000, size=(state, windows, steps)).astype("i2")
    packed[:, :, 1::2] = -9999
    with netCDF4.Dataset(path, "w") as file:
        file.title = "buoy array"
        file.history = "2020-01-01: made by hand"
        file.createDimension("station", state)
        file.createDimension("sample", windows)
        file.createDimension("n", steps)
        time = file.createVariable("when", "f8", ("n",))
        time.units = "hours since 1999-12-31 06:00"
        time.calendar = "noleap"
        time.standard_name = "time"
        time.bounds = "when_bounds"
        time[:] = 3.0 * np.arange(steps)
        file.createDimension("two", 2)
        file.createVariable("when_bounds", "f8", ("n", "two"))[:] = 0.0
        label = file.createVariable("station", str, ("station",))
        label[:] = np.array(["a", "b", "c"], dtype=object)
        depth = file.createVariable("depth", "f4", ("station",))
        depth.units = "m"
        depth[:] = [1, 2, 3]
        temperature = file.createVariable(
            "sst", "i2", ("station", "sample", "n"), fill_value=-9999, zlib=True
        )
        temperature.set_auto_maskandscale(False)
        temperature.scale_factor = 0.01
        temperature.add_offset = 20.0
        temperature.units = "degC"
        temperature.standard_name = "sea_surface_temperature"
        temperature.coordinates = "depth"
        temperature.ancillary_variables = "quality sst_std"
        temperature[:] = packed
        file.createVariable("quality", "i1", ("station", "sample", "n"))[:] = 1
        error = file.createVariable("sst_std", "f4", ("station",))
        error.standard_name = "sea_surface_temperature standard_error"
        error.units = "degC"
        error[:] = [0.5, 1.0, 2.0]
        file.createVariable("salinity", "f4", ("station", "sample", "n"))[:] = 35.0
    values = np.where(packed == -9999, np.nan, packed * 0.01 + 20.0)
    return values.transpose(1, 2, 0)  # (window, time, state)


@pytest.mark.parametrize("chunks", [None, {"window": 2}])
@pytest.mark.parametrize("variable", ["sst", "sea_surface_temperature"])
def test_foreign_packed_file(tmp_path, chunks, variable):
    expected = foreign_file(tmp_path / "buoys.nc")
    ds = open_observations(tmp_path / "buoys.nc", variable, chunks=chunks)

    assert set(ds.data_vars) == {"observation", "observation_error"}
    assert ds.observation.dims == ds.observation_error.dims == ("window", "time", "state")
    assert ds.observation.dtype == ds.observation_error.dtype == np.float64
    np.testing.assert_allclose(ds.observation, expected, rtol=1e-14)
    np.testing.assert_array_equal(ds.observation_error[1, 2], [0.5, 1.0, 2.0])
    assert (ds.observation.chunks is None) == (chunks is None)
    assert ds.observation.attrs["units"] == "degC"
    assert ds.observation.attrs["ancillary_variables"] == "observation_error"
    assert ds.attrs == {"title": "buoy array", "history": "2020-01-01: made by hand"}
    assert list(ds.state.values) == ["a", "b", "c"]
    assert ds.depth.attrs["units"] == "m"
    assert str(ds.time.values[1]) == "1999-12-31 09:00:00"
    assert time_step(ds) is None


def test_foreign_file_survives_saving(tmp_path):
    expected = foreign_file(tmp_path / "buoys.nc")
    save_analysis(open_observations(tmp_path / "buoys.nc", "sst"), tmp_path / "copy.nc")
    with netCDF4.Dataset(tmp_path / "copy.nc") as file:
        np.testing.assert_allclose(file["observation"][:].filled(np.nan), expected, rtol=1e-14)
        assert file["time"].units.startswith("hours since 1999-12-31")
        assert file["time"].calendar == "noleap"
        np.testing.assert_array_equal(file["time"][:], 3.0 * np.arange(6))
        assert "_FillValue" not in file["time"].ncattrs()
        assert file["time"].bounds == "when_bounds"
        np.testing.assert_array_equal(file["when_bounds"][:], np.zeros((6, 2)))
        assert "coordinates" not in file["when_bounds"].ncattrs()


def test_only_candidate_is_taken(tmp_path):
    ds = series().rename(observation="height")
    ds["quality"] = ds.height.notnull().astype("i1")
    ds["truth"] = ds.height.fillna(0.0)
    ds.to_netcdf(tmp_path / "a.nc")
    opened = open_observations(tmp_path / "a.nc")
    np.testing.assert_array_equal(opened.observation, ds.height)
    np.testing.assert_array_equal(opened.truth, ds.truth)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("chunks", [None, {"window": 3}])
def test_round_trip(tmp_path, suffix, chunks):
    values = RNG.normal(size=(7, 10, 2))
    values[2, 3:5] = np.nan
    dims = ("window", "time", "state")
    ds = xr.Dataset(
        {
            "observation": (
                dims,
                values,
                {"units": "K", "ancillary_variables": "observation_error"},
            ),
            "observation_error": (dims, np.full_like(values, 0.5), {"units": "K"}),
            "truth": (dims, values**2, {"units": "K"}),
        },
        coords={
            "time": (
                "time",
                xr.date_range("2001-02-03", periods=10, freq="6h"),
                {"standard_name": "time"},
            ),
            "state": ["north", "south"],
            "window_start": ("window", 5 * np.arange(7), names.attributes("window_start")),
        },
        attrs={"title": "round trip", "history": "made"},
    )
    ds.time.encoding = {"units": "hours since 2000-01-01", "calendar": "standard"}
    path = tmp_path / f"file.{suffix}"
    save_analysis(ds if chunks is None else ds.chunk(chunks), path)
    again = open_observations(path, chunks=chunks)
    xr.testing.assert_identical(again.load(), ds)
    assert again.time.encoding["units"] == "hours since 2000-01-01"
    assert os.listdir(tmp_path) == [path.name]

    save_analysis(again, path)  # onto itself: replaced, equal
    xr.testing.assert_identical(open_observations(path), ds)
    assert os.listdir(tmp_path) == [path.name]


def test_encoding_is_honoured(tmp_path):
    save_analysis(series(), tmp_path / "a.nc", encoding={"observation": {"dtype": "float32"}})
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["observation"].dtype == np.float32
        assert file["observation"].filters()["zlib"]


def test_irregular_dask_chunks_reach_zarr(tmp_path):
    ds = series().chunk(time=(5, 2, 5))
    save_analysis(ds, tmp_path / "a.zarr")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "a.zarr"), series().assign(ds))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("step", [0.01, 0.05, 1.0 / 3.0])
def test_time_step_of_plain_numbers(dtype, step):
    ds = series(200).assign_coords(time=(step * np.arange(200)).astype(dtype))
    expected = step if dtype == np.float64 else float(f"{step:.6g}")
    assert time_step(ds) == pytest.approx(expected, rel=1e-12)
    assert time_step(series()) == 0.01
    assert time_step(ds.drop_vars("time")) is None


def test_history_keeps_the_past():
    once = append_history(series().assign_attrs(history="2020: made\n"), "pyvda\n  assimilate")
    first, last = once.attrs["history"].split("\n")
    assert first == "2020: made"
    assert last.endswith("Z: pyvda assimilate")
    assert "\n" not in append_history(series(), "x").attrs["history"]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.nc does not exist"):
        open_observations(tmp_path / "nothing.nc")


def test_not_a_netcdf_file(tmp_path):
    (tmp_path / "a.nc").write_text("time,x\n0,1\n")
    (tmp_path / "empty.zarr").mkdir()
    for name in ("a.nc", "empty.zarr"):
        with pytest.raises(InputError, match="cannot be read as netCDF or zarr"):
            open_observations(tmp_path / name)


@pytest.mark.parametrize("chunks", [None, "auto"])
@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_truncated_file(tmp_path, format_, chunks):
    path = tmp_path / "a.nc"
    series(500).to_netcdf(path, format=format_)
    open_observations(path)
    whole = path.read_bytes()
    for size in (0, 3, 10, 90, 300, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="cannot be read as netCDF or zarr") as caught:
            open_observations(path, chunks=chunks)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunks", [None, {}])
def test_damaged_values(tmp_path, chunks):
    """The header is whole, a compressed chunk is not: only reading the values shows it."""
    path = tmp_path / "a.nc"
    ds = series(4000)
    ds.to_netcdf(path, encoding={"observation": {"zlib": True, "fletcher32": True}})
    whole = bytearray(path.read_bytes())
    start = len(whole) // 2
    whole[start : start + 2000] = bytes(2000)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="cannot be read as netCDF or zarr"):
        open_observations(path, chunks=chunks)


def test_undecodable_time_units_stay_numbers(tmp_path):
    ds = series()
    ds.time.attrs["units"] = "fortnights since the flood"
    ds.to_netcdf(tmp_path / "a.nc")
    found = open_observations(tmp_path / "a.nc")
    np.testing.assert_array_equal(found.time, ds.time)
    assert found.time.attrs["units"] == "fortnights since the flood"
    assert time_step(found) is None


BAD_VALUES = {
    "infinite": (lambda ds: ds.observation.values.__setitem__((3, 0), np.inf), "1 infinite value"),
    "nothing": (lambda ds: ds.observation.values.fill(np.nan), "observation has no values"),
}


@pytest.mark.parametrize("chunks", [None, {"time": 5}])
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_bad_values(tmp_path, bad, chunks):
    spoil, message = BAD_VALUES[bad]
    ds = series()
    spoil(ds)
    ds.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=message):
        open_observations(tmp_path / "a.nc", chunks=chunks)


def test_output_folder_must_exist(tmp_path):
    for name in ("missing/a.nc", "missing/a.zarr"):
        with pytest.raises(InputError, match="missing does not exist"):
            save_analysis(series(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_folders_of_other_things_are_not_replaced(tmp_path):
    for name in ("thesis.zarr", "thesis.nc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "chapter1.tex").write_text("...")
        with pytest.raises(InputError, match="it is a folder"):
            save_analysis(series(), tmp_path / name)
        assert (tmp_path / name / "chapter1.tex").exists()


@pytest.fixture
def tiny_disk(tmp_path):
    """Return a folder on a disk of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small tmpfs cannot be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("name", ["big.nc", "big.zarr"])
def test_full_disk(tiny_disk, name):
    save_analysis(series(), tiny_disk / name)
    big = series(40_000, 10)
    for ds in (big, big.chunk(time=4000)):
        with pytest.raises(InputError, match=rf"^no space left writing .*{name}; free space or"):
            save_analysis(ds, tiny_disk / name)
    # The old output is whole, nothing else is left, and the disk is free again.
    assert os.listdir(tiny_disk) == [name]
    assert open_observations(tiny_disk / name).sizes["time"] == 12
    save_analysis(series(2000), tiny_disk / name)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(122, "Quota")])
def test_full_disk_as_reported_by_the_system(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        open(args[1], "wb").close()
        raise error

    monkeypatch.setattr(blockwise, "to_netcdf", fail)
    with pytest.raises(InputError, match=r"no space left writing .*a\.nc"):
        save_analysis(series(), tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_killed_writer_leaves_nothing_readable(tmp_path, name):
    """A process killed while it writes leaves the complete old file, or none."""
    program = f"""
import os, signal, numpy as np, dask.array as da, xarray as xr
from pyvda.io.netcdf import save_analysis
blocks = []
def block(block_info=None):
    blocks.append(1)
    if len(blocks) > 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.zeros((100, 3))
x = da.map_blocks(block, chunks=((100,) * 8, (3,)), dtype=float, meta=np.zeros((0, 0)))
save_analysis(xr.Dataset({{"observation": (("time", "state"), x)}}), {str(tmp_path / name)!r})
"""
    for existing in (False, True):
        if existing:
            save_analysis(series(), tmp_path / name)
        killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
        assert killed.returncode == -9, killed.stderr.decode()
        assert (tmp_path / name).exists() == existing
    assert open_observations(tmp_path / name).sizes["time"] == 12


def test_interrupted_writer_cleans_up(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        open(args[1], "wb").close()
        raise KeyboardInterrupt

    monkeypatch.setattr(blockwise, "to_netcdf", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_analysis(series(), tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_memory_stays_bounded(tmp_path):
    """Opening, checking and copying a file of 24 MB in blocks holds a fraction of it."""
    windows, steps = 1000, 1000
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("window", windows), ("time", steps), ("state", 3)):
            file.createDimension(name, size)
        variable = file.createVariable(
            "observation", "f8", ("window", "time", "state"), chunksizes=(20, steps, 3), zlib=True
        )
        for start in range(0, windows, 100):
            variable[start : start + 100] = 1.0
    tracemalloc.start()
    try:
        ds = open_observations(tmp_path / "a.nc", chunks={"window": 50})
        save_analysis(ds, tmp_path / "b.nc")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < windows * steps * 3 * 8 / 3


def test_writing_does_not_load_distributed(tmp_path):
    """Importing it takes a fifth of a second, which every command would pay."""
    program = f"""
import sys, xarray as xr
from pyvda.io.netcdf import save_analysis
ds = xr.Dataset({{"observation": (("time", "state"), [[1.0]])}})
save_analysis(ds, {str(tmp_path / "a.nc")!r})
assert "distributed" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    with xr.open_dataset(tmp_path / "a.nc") as written:
        assert written["observation"].item() == 1
