"""Errors of observations are found under the names that files give them."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.io.sources.open import open_observations
from pyvda.notices import Notice

STEPS, STATE = 5, 3
DEVIATION = np.linspace(0.5, 2.0, STEPS * STATE).reshape(STEPS, STATE)


def observed(name, values=DEVIATION, units="K", of_data="K", **attrs):
    data = xr.Variable(("time", "state"), np.ones((STEPS, STATE)), {"units": of_data, **attrs})
    errors = xr.Variable(("time", "state"), values, {"units": units})
    return xr.Dataset({"sst": data, name: errors}, {"time": 0.01 * np.arange(STEPS)})


@pytest.mark.parametrize(
    "name",
    [
        "sst_error",
        "sst_uncertainty",
        "sst_stdev",
        "SST_standard_error",
        "sst_ObsError",
        "sst_err",
        "sst_sd",
        "sigma_sst",
        "Error_SST",
        "std_sst",
    ],
)
@pytest.mark.parametrize("variable", ["sst", None])
def test_by_name(name, variable):
    found = normalise(observed(name), variable)
    np.testing.assert_array_equal(found.observation_error, DEVIATION)


@pytest.mark.parametrize("chunks", [None, 2])
@pytest.mark.parametrize("units", ["K2", "K^2", "(K)2", "K**2", "kelvin2"])
def test_a_variance_becomes_a_standard_deviation(units, chunks):
    ds = observed("sst_error_variance", DEVIATION**2, units)
    found = normalise(ds if chunks is None else ds.chunk(chunks), "sst")
    np.testing.assert_allclose(found.observation_error, DEVIATION, rtol=1e-15)
    ds = ds.rename(sst_error_variance="variance_sst")
    np.testing.assert_allclose(normalise(ds, "sst").observation_error, DEVIATION, rtol=1e-15)


def test_declared_ones_before_names():
    ds = observed("sst_error", ancillary_variables="uncertainty")
    ds["uncertainty"] = ("state", [1.0, 2.0, 3.0], {"units": "kelvin"})
    assert normalise(ds, "sst").observation_error[0].values.tolist() == [1.0, 2.0, 3.0]
    ds["sd"] = ("state", [4.0, 5.0, 6.0], {"standard_name": "temperature standard_error"})
    ds.sst.attrs["ancillary_variables"] = "uncertainty sd"
    assert normalise(ds, "sst").observation_error[0].values.tolist() == [4.0, 5.0, 6.0]


def test_one_for_each_of_several_variables():
    ds = xr.Dataset(coords={"time": 0.01 * np.arange(STEPS)})
    for k, name in enumerate("xyz"):
        ds[name] = ("time", np.ones(STEPS))
        ds[f"{name}_error_variance"] = ("time", DEVIATION[:, k] ** 2)
    found = normalise(ds, "x,y,z")
    np.testing.assert_allclose(found.observation_error, DEVIATION)


@pytest.mark.parametrize(
    ("name", "units", "message"),
    [
        ("sst_error", "m", "the errors 'sst_error' have the units 'm', expected 'K', as 'sst'"),
        ("sst_error_variance", "K", r"have the units 'K', expected '\(K\)2'"),
        ("sst_uncertainty", "%", "have the units '%'"),
    ],
)
def test_other_units(name, units, message):
    with pytest.raises(InputError, match=message):
        normalise(observed(name, units=units), "sst")


@pytest.mark.parametrize(
    ("units", "theirs"),
    [("psu", "PSU"), ("degrees", "degree"), ("1e-3", "0.001"), ("ug m-3", "\u00b5g m-3"),
     ("mm/day", "mm d-1")],
)  # fmt: skip
def test_other_spellings(units, theirs, recwarn):
    found = normalise(observed("sst_error", units=theirs, of_data=units), "sst")
    np.testing.assert_array_equal(found.observation_error, DEVIATION)
    assert not [one for one in recwarn if "cannot be compared" in str(one.message)]


@pytest.mark.parametrize("units", ["psu", "dBZ"])
def test_units_that_are_not_known_are_used_and_said(units):
    with pytest.warns(Notice, match=f"units '{units}', which cannot be compared with .* 'K'"):
        found = normalise(observed("sst_error", units=units), "sst")
    np.testing.assert_array_equal(found.observation_error, DEVIATION)


def test_a_difference_of_degrees_celsius_is_one_of_kelvin():
    found = normalise(observed("sst_error", units="degree_Celsius"), "sst")
    np.testing.assert_array_equal(found.observation_error, DEVIATION)


@pytest.mark.parametrize(
    ("name", "units", "factor"),
    [("sst_error", "mK", 1e3), ("sst_error", "cK", 1e2), ("sst_error_variance", "mK2", None)],
)
def test_units_are_converted(name, units, factor):
    stored = (1e3 * DEVIATION) ** 2 if factor is None else factor * DEVIATION
    found = normalise(observed(name, stored, units=units), "sst")
    np.testing.assert_allclose(found.observation_error, DEVIATION)


@pytest.mark.parametrize("multiplier", [2, 1.96, np.array([2.0])])
def test_a_multiple_of_the_standard_error(multiplier):
    values = DEVIATION * np.asarray(multiplier).item()
    made = observed("u", values)
    made["u"].attrs |= {
        "standard_name": "x standard_error", "standard_error_multiplier": multiplier,
    }  # fmt: skip
    made["sst"].attrs["ancillary_variables"] = "u"
    found = normalise(made, "sst")
    np.testing.assert_allclose(found.observation_error, DEVIATION)


@pytest.mark.parametrize("multiplier", [0, -1, "two", np.nan])
def test_a_multiplier_that_is_none(multiplier):
    made = observed("sst_error")
    made["sst_error"].attrs["standard_error_multiplier"] = multiplier
    with pytest.raises(InputError, match=r"standard_error_multiplier of 'sst_error' is .*positive"):
        normalise(made, "sst")


def test_by_the_standard_name_without_a_reference():
    made = observed("u")
    made["u"].attrs["standard_name"] = "sea_surface_temperature standard_error"
    made["sst"].attrs["standard_name"] = "sea_surface_temperature"
    found = normalise(made, "sst")
    np.testing.assert_array_equal(found.observation_error, DEVIATION)
    made["other"] = made["sst"]  # of which of the two?
    assert "observation_error" not in normalise(made, "sst")


@pytest.mark.parametrize(
    "words", ["standard deviation of sst", "Total uncertainty", "random error"]
)
def test_an_ancillary_variable_by_its_long_name(words):
    made = observed("u")
    made["u"].attrs["long_name"] = words
    assert "observation_error" not in normalise(made, "sst")
    made["sst"].attrs["ancillary_variables"] = "u"
    found = normalise(made, "sst")
    np.testing.assert_array_equal(found.observation_error, DEVIATION)
    made["u"].attrs |= {"flag_values": [0.0, 1.0], "flag_meanings": "small large"}
    assert "observation_error" not in normalise(made, "sst")


@pytest.mark.parametrize("chunks", [None, 2])
@pytest.mark.parametrize(
    ("kind", "attrs", "stored"),
    [
        ("f4", {"missing_value": np.float64(1e20)}, 1e20),
        ("f4", {"valid_range": np.array([0, 10], "f4")}, 99.0),
        ("f4", {}, netCDF4.default_fillvals["f4"]),
        ("i2", {"scale_factor": 0.1, "valid_max": np.int16(100)}, 999),
    ],
)
def test_an_error_that_is_missing_or_not_valid_is_none(tmp_path, kind, attrs, stored, chunks):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", STEPS)
        file.createDimension("state", STATE)
        file.createVariable("sst", "f8", ("time", "state"))[:] = 1.0
        error = file.createVariable("sst_error", kind, ("time", "state"))
        error.set_auto_maskandscale(False)
        error.setncatts(attrs)
        error[:] = 5
        error[1, 2] = stored
    with pytest.raises(InputError, match="not a positive number at 1 observed points"):
        open_observations(tmp_path / "a.nc", "sst", chunks=chunks)
    with xr.open_dataset(tmp_path / "a.nc") as ds:
        ds.sst[1, 2] = np.nan
        found = open_observations(ds, "sst", chunks=chunks)
    expected = np.full((STEPS, STATE), 5 * attrs.get("scale_factor", 1.0))
    expected[1, 2] = np.nan
    np.testing.assert_allclose(found.observation_error, expected)


def test_the_total_of_several_errors_is_used():
    names = ("uncertainty_random", "uncertainty_systematic", "uncertainty_total")
    ds = observed(names[0], ancillary_variables=" ".join(names))
    for k, name in enumerate(names[1:], 2):
        ds[name] = ("state", np.full(STATE, float(k)), {"units": "K"})
    assert (normalise(ds, "sst").observation_error == 3.0).all()
    ds = ds.drop_vars(names[2])
    with pytest.warns(Notice, match="of the errors .* only uncertainty_random is used; name one"):
        found = normalise(ds, "sst").observation_error
    np.testing.assert_array_equal(found, DEVIATION)
    ds.sst.attrs["ancillary_variables"] = names[1]
    assert (normalise(ds, "sst").observation_error == 2.0).all()


def test_a_density_is_no_error_of_a_temperature():
    ds = observed("sigma_theta", of_data="degC", units="kg m-3").rename(sst="theta")
    assert "observation_error" not in normalise(ds, "theta")
