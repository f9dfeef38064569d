"""Stored values that are not valid are missing, as netCDF4's own reader has it."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.io.netcdf import open_observations, save_analysis
from pyvda.io.quality.packing import unpacked, valid_bounds
from pyvda.notices import Notice

STEPS, STATE = 8, 3
RNG = np.random.default_rng(3)

# Type stored, stored values, attributes.
STORED = {
    "float range": ("f4", [1, -999, 3], {"valid_range": np.array([-100, 100], "f4")}),
    "float range of integers": ("f4", [1, -999, 3], {"valid_range": np.array([-100, 100], "i8")}),
    "double bound of a float": ("f4", [0.1, 0.2, 0.3], {"valid_max": np.float32(0.2)}),
    "minimum": ("f8", [1, -1e-9, 0], {"valid_min": 0.0}),
    "maximum": ("f8", [1, 5, 6], {"valid_max": 5.0}),
    "both": ("f8", [1, 5, 6], {"valid_min": 2.0, "valid_max": 5.0}),
    "packed": ("i2", [0, 100, 101],
               {"valid_range": np.array([0, 100], "i2"), "scale_factor": 0.01, "add_offset": 5.0}),
    "packed, float32": ("i2", [-1, 0, 30000],
                        {"valid_range": np.array([0, 29999], "i2"),
                         "scale_factor": np.float32(0.001), "add_offset": np.float32(273.15)}),
    "packed downwards": ("i2", [-7, 0, 7],
                         {"valid_min": np.int16(0), "scale_factor": -0.5}),
    "several missing values": ("i4", [1, -5, -7],
                               {"missing_value": np.array([-5, -6, -7], "i4")}),
    "missing and fill value": ("f4", [1, -999, 1e20],
                               {"missing_value": np.float32(-999), "_FillValue": 1e20}),
    "never written": ("f4", [1, netCDF4.default_fillvals["f4"], 3], {}),
    "never written, packed": ("i2", [1, netCDF4.default_fillvals["i2"], 3],
                              {"scale_factor": 0.1}),
}  # fmt: skip


def write(path, kind, stored, attrs):
    attrs = dict(attrs)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", STEPS)
        file.createDimension("state", STATE)
        file.createVariable("time", "f8", ("time",))[:] = 0.01 * np.arange(STEPS)
        fill = attrs.pop("_FillValue", None)
        variable = file.createVariable("y", kind, ("time", "state"), fill_value=fill)
        variable.set_auto_maskandscale(False)
        variable.setncatts(attrs)
        variable[:] = np.broadcast_to(np.array(stored, kind), (STEPS, STATE))
    return path


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
@pytest.mark.parametrize("chunks", [None, {"time": 3}])
@pytest.mark.parametrize("case", STORED)
def test_the_same_values_are_missing_as_for_netcdf4(tmp_path, case, chunks):
    path = write(tmp_path / "a.nc", *STORED[case])
    with netCDF4.Dataset(path) as file:
        expected = np.ma.filled(file["y"][:].astype(float), np.nan)
    assert np.isnan(expected).any()
    found = open_observations(path, "y", chunks=chunks)
    np.testing.assert_allclose(found.observation, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_a_range_of_floats_beside_packed_integers_is_unpacked(tmp_path):
    """By the netCDF User Guide; netCDF4's reader takes all ranges to be packed."""
    attrs = {"valid_range": np.array([5.0, 6.0]), "scale_factor": 0.01, "add_offset": 5.0}
    found = open_observations(write(tmp_path / "a.nc", "i2", [0, 100, 101], attrs), "y")
    np.testing.assert_allclose(found.observation[0], [5.0, 6.0, np.nan])


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_unsigned_bytes(tmp_path):
    attrs = {"valid_range": np.array([0, -2], "i1"), "_Unsigned": "true", "scale_factor": 0.5}
    found = open_observations(write(tmp_path / "a.nc", "i1", [1, -1, -2], attrs), "y")
    np.testing.assert_array_equal(found.observation[0], [0.5, np.nan, 127.0])


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
@pytest.mark.parametrize("case", [case for case in STORED if "never" not in case])
def test_decoded_by_nobody_by_xarray_or_by_netcdf4(tmp_path, case):
    """A Dataset that a user made of the file, in three ways, has the same missing values."""
    import pyvda.io.cf.conventions as conventions

    path = write(tmp_path / "a.nc", *STORED[case])
    expected = conventions.normalise(open_observations(path, "y"))
    raw = xr.open_dataset(path, mask_and_scale=False)
    decoded = xr.open_dataset(path).load()
    for ds in (raw, decoded):
        found = conventions.normalise(ds, "y")
        np.testing.assert_allclose(found.observation, expected.observation, rtol=1e-6)
    with netCDF4.Dataset(path) as file:
        if file["y"].ncattrs():
            by_hand = xr.Dataset({"y": (("time", "state"), file["y"][:], file["y"].__dict__)})
            found = conventions.normalise(by_hand, "y")
            np.testing.assert_allclose(found.observation, expected.observation, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_the_range_of_an_analysis_is_in_the_units_of_its_values(tmp_path):
    kind, stored, attrs = STORED["packed"]
    ds = open_observations(write(tmp_path / "a.nc", kind, stored, attrs), "y")
    np.testing.assert_allclose(ds.observation.attrs["valid_range"], [5.0, 6.0])
    save_analysis(ds, tmp_path / "b.nc")
    again = open_observations(tmp_path / "b.nc")
    np.testing.assert_array_equal(again.observation, ds.observation)


@pytest.mark.parametrize("given", [[1.0], "low to high", [np.nan, 1.0], [[1.0, 2.0]]])
def test_what_is_no_range_is_said_and_not_used(given):
    variable = xr.Variable("t", [1.0, 2.0], {"valid_range": given})
    with pytest.warns(Notice, match="valid_range of y is .*, expected two numbers; it is ignored"):
        assert valid_bounds(variable, "y") is None


def test_text_may_be_a_range():
    variable = xr.Variable("t", [1.0, 2.0], {"valid_range": "-2, 7.5"})
    bounds = valid_bounds(variable, "y")
    assert (bounds.low, bounds.high) == (-2.0, 7.5)


def test_a_packed_range_of_values_whose_packing_is_unknown():
    """Arithmetic keeps attributes and loses the packing."""
    variable = xr.Variable("t", [1.0, 2.0], {"valid_range": np.array([0, 9000], "i2")})
    with pytest.warns(Notice, match="units of a packing that the values no longer have"):
        assert valid_bounds(variable, "y") is None


def test_what_is_in_memory_stays_there(tmp_path):
    """A file without a _FillValue is decoded once more, for the default one of netCDF."""
    data = {"observation": (("time", "state"), np.ones((4, 3)), {"valid_range": [-9.0, 9.0]})}
    ds = xr.Dataset(data, {"time": np.arange(4.0)})
    ds.to_netcdf(tmp_path / "a.nc", encoding={"observation": {"_FillValue": None}})
    with xr.open_dataset(tmp_path / "a.nc") as opened:
        found = normalise(opened.load())
    assert found.observation.chunks is None


@pytest.mark.parametrize("key", ["_FillValue", "missing_value"])
def test_a_fill_value_that_is_stated_after_decoding_counts(key):
    values = np.array([1.0, -999.0, 3.0])
    ds = xr.Dataset({"y": ("time", values, {key: -999.0})})
    ds["y"].encoding = {"_FillValue": -1e30, "missing_value": -1e30}
    found = unpacked(ds)["y"]
    np.testing.assert_array_equal(found, [1.0, np.nan, 3.0])


# What xarray compares with the stored values, and finds none that is equal.
UNSEEN = {
    "text": ("f4", [1, -999, 3], {"missing_value": "-999"}),
    "several in a text": ("f8", [1, -999, -888], {"missing_value": "-999, -888"}),
    "float64 beside float32": ("f4", [1, -999.9, 3], {"missing_value": -999.9}),
    "text beside packed integers": ("i2", [1, -99, 3],
                                    {"missing_value": "-99", "scale_factor": 0.01}),
    "unpacked beside packed integers": ("i2", [1, -9900, 3],
                                        {"missing_value": -99.0, "scale_factor": 0.01}),
}  # fmt: skip


@pytest.mark.parametrize("chunks", [None, {"time": 3}])
@pytest.mark.parametrize("case", UNSEEN)
def test_missing_values_of_another_type(tmp_path, case, chunks):
    kind, stored, attrs = UNSEEN[case]
    found = open_observations(write(tmp_path / "a.nc", kind, stored, attrs), "y", chunks=chunks)
    missing = np.array(stored) < -90
    np.testing.assert_array_equal(found.observation.isnull()[0], missing)
    kept = np.array(stored)[~missing] * attrs.get("scale_factor", 1)
    np.testing.assert_allclose(found.observation[0, ~missing], kept)


@pytest.mark.parametrize("given", ["none", "nan", ""])
def test_a_text_without_a_number_is_no_missing_value(tmp_path, given):
    path = write(tmp_path / "a.nc", "f8", [1, 2, 3], {"missing_value": given})
    np.testing.assert_array_equal(open_observations(path, "y").observation[0], [1, 2, 3])


def test_a_scale_factor_may_be_text(tmp_path):
    attrs = {"scale_factor": "0.5", "add_offset": "10", "_FillValue": -1}
    path = write(tmp_path / "a.nc", "i2", [2, -1, 4], attrs)
    np.testing.assert_array_equal(open_observations(path, "y").observation[0], [11, np.nan, 12])


@pytest.mark.parametrize(("key", "value"), [("scale_factor", 0.0), ("scale_factor", np.nan),
                                            ("add_offset", np.inf)])  # fmt: skip
def test_packing_that_leaves_no_values_is_refused(tmp_path, key, value):
    path = write(tmp_path / "a.nc", "i2", [1, 2, 3], {key: value})
    with pytest.raises(InputError, match=f"attribute {key} of 'y' is {value}, which leaves no"):
        open_observations(path, "y")


@pytest.mark.parametrize("chunks", [None, 3])
@pytest.mark.parametrize(
    ("kind", "key", "value", "more"),
    [
        ("f4", "FillValue", np.float64(-999.9), {}),
        ("f8", "fill_value", "-999.9", {}),
        ("f4", "CodeMissingValue", "-999.9", {}),
        ("i2", "nodata", np.int16(-999), {"scale_factor": 0.1}),
        ("i2", "missing_Value", -99.9, {"scale_factor": 0.1}),
    ],
)
def test_missing_values_under_other_names(tmp_path, kind, key, value, more, chunks):
    stored = [1, -999 if kind == "i2" else -999.9, 3]
    path = write(tmp_path / "a.nc", kind, stored, {key: value, **more})
    found = open_observations(path, "y", chunks=chunks)
    scale = more.get("scale_factor", 1.0)
    np.testing.assert_allclose(found.observation[0], [scale, np.nan, 3 * scale])
