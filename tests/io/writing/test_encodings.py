"""What the old file's encoding says is not carried into a new one, except the units of times."""

import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.netcdf import save_analysis

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "h")


def series(time=TIMES, attrs=None, **encoding):
    ds = xr.Dataset({"observation": (("time", "state"), np.arange(18.0).reshape(6, 3))})
    ds = ds.assign_coords(time=("time", time, attrs or {}))
    ds.observation.encoding = encoding
    return ds


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize(
    "attrs",
    [
        {"units": "hours since 2020-01-01", "calendar": "standard"},
        {"units": "hours since 2020-01-01"},
        {"units": "no unit of time"},
        {"calendar": "360_day"},
    ],
    ids=str,
)
def test_units_of_dates_among_the_attributes(tmp_path, attrs, suffix):
    path = tmp_path / f"a.{suffix}"
    save_analysis(series(attrs=attrs), path)
    with xr.open_dataset(path, engine=None if suffix == "nc" else "zarr") as found:
        np.testing.assert_array_equal(found.time, TIMES)
    if attrs.get("units", "").startswith("hours") and suffix == "nc":
        with netCDF4.Dataset(path) as file:
            assert file["time"].units == "hours since 2020-01-01"


def test_units_both_among_attributes_and_in_the_encoding(tmp_path):
    ds = series(attrs={"units": "days since 1900-01-01"})
    ds.time.encoding = {"units": "hours since 2020-01-01", "dtype": "int8", "_FillValue": 7}
    save_analysis(ds, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["time"].units == "hours since 2020-01-01"
        assert "_FillValue" not in file["time"].ncattrs()


FOREIGN = [
    {"chunksizes": (4096, 4096), "zlib": True, "szip": True, "original_shape": (9999, 9999)},
    {"dtype": "int16", "scale_factor": 0.01, "add_offset": 7.0, "_FillValue": -9999},
    {"_FillValue": -1, "missing_value": -2},
    {"compressors": ("blosc",), "filters": None, "shards": (7, 7), "chunks": (1000, 1000)},
    {"units": "K", "coordinates": "lon lat", "grid_mapping": "crs"},
    {"contiguous": True, "preferred_chunks": {"time": 999}, "source": "/data/a.nc"},
]


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("encoding", FOREIGN, ids=lambda one: next(iter(one)))
def test_encodings_of_another_file(tmp_path, encoding, suffix):
    path = tmp_path / f"a.{suffix}"
    ds = series(**encoding).assign_attrs(title="t")
    ds.observation.attrs["units"] = "K"
    for values in (ds, ds.chunk(time=4)):
        save_analysis(values, path)
        with xr.open_dataset(path, engine=None if suffix == "nc" else "zarr") as found:
            np.testing.assert_array_equal(found.observation, ds.observation)
            assert found.observation.attrs == {"units": "K"}


def test_encodings_that_are_asked_for(tmp_path):
    asked = {
        "observation": {"dtype": "int16", "_FillValue": -1, "scale_factor": 0.5,
                        "chunksizes": (100, 3)},
        "time": {"units": "days since 2000-01-01", "dtype": "float64"},
    }  # fmt: skip
    ds = series()
    ds.observation[0, 0] = np.nan
    save_analysis(ds, tmp_path / "a.nc", encoding=asked)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["observation"].dtype == np.int16
        assert file["observation"].chunking() == [6, 3]
        assert file["time"].units == "days since 2000-01-01"
        np.testing.assert_array_equal(file["observation"][:].mask.sum(), 1)
    save_analysis(ds, tmp_path / "b.nc", encoding={"observation": {"contiguous": True}})
    with netCDF4.Dataset(tmp_path / "b.nc") as file:
        assert file["observation"].chunking() == "contiguous"


REFUSED = {
    "unknown variable": ({"sst": {}}, "is given for sst, but the variables are observation, time"),
    "NaN as integer": ({"observation": {"dtype": "int16"}}, "which has no NaN; give a _FillValue"),
    "fill value too large": (
        {"observation": {"dtype": "int8", "_FillValue": -9999}}, "int8 cannot hold; give one from",
    ),
    "no dtype": ({"observation": {"dtype": "nothing"}}, "which is not a numeric or text type"),
    "chunks of other dimensions": ({"observation": {"chunksizes": (1,)}}, "has 1 chunksizes"),
    "level of compression": ({"observation": {"complevel": 20}}, "complevel 20, .* 0 to 9"),
    "another library's level": (
        {"observation": {"compression": "zstd", "significant_digits": 30}}, "Invalid argument",
    ),
    "scale of zero": (
        {"observation": {"dtype": "int16", "scale_factor": 0.0, "_FillValue": -1}},
        "scale_factor 0.0, expected a finite number other than 0",
    ),
    "offset that is text": ({"observation": {"add_offset": "a"}}, "add_offset 'a', expected a fin"),
    "numbers as text": ({"observation": {"dtype": "S1"}}, "which cannot hold its numbers"),
    "chunks of no size": ({"observation": {"chunksizes": (0, 3)}}, "chunksizes .0, 3., expected a"),
    "chunks that are text": ({"observation": {"chunksizes": "ab"}}, "chunksizes 'ab', expected a"),
    "unknown key": ({"observation": {"zip": True}}, "cannot be written .*zip"),
    "another library's": ({"observation": {"shards": None}}, "cannot be written .*shards"),
    "two fill values": (
        {"observation": {"_FillValue": 1.0, "missing_value": 2.0}}, "cannot be written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_encodings_that_clash_are_refused_before_anything_is_computed(tmp_path, case, lazy):
    given, message = REFUSED[case]
    ds = series()
    if lazy:
        values = ds.observation.chunk(time=2)
        ds["observation"] = values.map_blocks(_fail, template=values)
    with pytest.raises(InputError, match=message) as refused:
        save_analysis(ds, tmp_path / "a.nc", encoding=given)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def _fail(block):
    raise AssertionError("values were computed")


def test_unlimited_dimensions_stay_unlimited(tmp_path):
    ds = series()
    ds.encoding["unlimited_dims"] = {"time", "gone"}
    for values in (ds, ds.chunk(time=3)):
        values.encoding = dict(ds.encoding)
        save_analysis(values, tmp_path / "a.nc")
        with netCDF4.Dataset(tmp_path / "a.nc") as file:
            assert file.dimensions["time"].isunlimited()
            assert not file.dimensions["state"].isunlimited()


def test_a_fill_value_among_the_attributes_gets_the_type_of_the_variable(tmp_path):
    ds = series()
    ds["count"] = ("time", np.arange(6), {"_FillValue": -9.0})
    ds["name"] = ("time", list("abcdef"), {"_FillValue": 3})
    ds.observation.attrs["_FillValue"] = -9999
    save_analysis(ds, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["observation"]._FillValue == -9999.0
        assert file["count"]._FillValue == -9


@pytest.mark.parametrize("name", [3, "a/b"])
def test_names_that_cannot_be_written(tmp_path, name):
    with pytest.raises(InputError, match="of a variable or dimension cannot be written"):
        save_analysis(series().assign({name: 1.0}), tmp_path / "a.nc")


def test_times_are_written_without_a_warning(tmp_path):
    bounds = np.stack([TIMES, TIMES + np.timedelta64(1, "h")], 1)
    ds = series(attrs={"bounds": "time_bnds"}).assign_coords(time_bnds=(("time", "nv"), bounds))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_analysis(ds, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        np.testing.assert_array_equal(file["time_bnds"][:, 0], file["time"][:])
        assert "units" not in file["time_bnds"].ncattrs()


NOT_HELD = {
    "packed": (
        np.float64, {"dtype": "int8", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": -128},
        r"from 3\.715 to 6\.275 as int8, but there are some from 0 to [0-9]+; give another scale",
    ),
    "short integers": (np.int64, {"dtype": "int8"}, "as int8, but .* from 0 to [0-9]+0000"),
    "unsigned": (np.int64, {"dtype": "uint8"}, "from 0 to 255 as uint8, but .* to [0-9]+0000"),
    "single precision": (np.float64, {"dtype": "float32"}, r"as float32, but .* to .*e\+30[01]"),
}  # fmt: skip
SCALES = {"short integers": 10_000, "unsigned": 10_000, "single precision": 1e300}


@pytest.mark.parametrize("chunks", [None, 2])
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("case", NOT_HELD)
def test_values_that_an_encoding_cannot_hold_are_refused(tmp_path, case, suffix, chunks):
    """xarray writes other numbers in their place."""
    dtype, encoding, message = NOT_HELD[case]
    ds = series()
    ds["observation"] = (ds.observation * SCALES.get(case, 1)).astype(dtype)
    if chunks is not None:
        ds = ds.chunk(time=chunks)
    with pytest.raises(InputError, match=message) as refused:
        save_analysis(ds, tmp_path / f"a.{suffix}", encoding={"observation": encoding})
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chunks", [None, 2])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_values_that_an_encoding_holds_are_written(tmp_path, dtype, chunks):
    packing = {"dtype": dtype, "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -128}
    ds = series() if chunks is None else series().chunk(time=chunks)
    ds["observation"] = ds.observation.where(ds.observation != 3)
    save_analysis(ds, tmp_path / "a.nc", encoding={"observation": packing})
    with xr.open_dataset(tmp_path / "a.nc") as found:
        np.testing.assert_allclose(found.observation, ds.observation, atol=0.05)


def test_dates_that_float32_cannot_hold_are_refused(tmp_path):
    time = np.datetime64("2001-03-01", "ns") + np.arange(5) * np.timedelta64(6, "h")
    ds = xr.Dataset({"x": ("time", np.zeros(5))}, {"time": time})
    asked = {"time": {"units": "seconds since 1970-01-01", "dtype": "float32"}}
    with pytest.raises(InputError, match=r"move its dates by up to .* seconds; give float64"):
        save_analysis(ds, tmp_path / "a.nc", encoding=asked)
    for remedy in ({"units": "seconds since 2001-01-01"}, {"dtype": "float64"}):
        save_analysis(ds, tmp_path / "a.nc", encoding={"time": asked["time"] | remedy})
        with xr.open_dataset(tmp_path / "a.nc") as found:
            np.testing.assert_array_equal(found.time, time)
