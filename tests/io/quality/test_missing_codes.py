"""Missing values that nothing states are found by their distance from all others, and said."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.observations import prepared
from pyvda.io.quality.missing_codes import codes_of
from pyvda.notices import Notice

MODEL = pyvda.get_model("lorenz63")
VALUES = np.where(np.arange(60) % 4, np.nan, np.linspace(-18.0, 22.0, 60)).reshape(20, 3)


def observed(code: float, dtype: str = "f8", **attrs: object) -> xr.Dataset:
    values = np.where(np.isnan(VALUES), code, VALUES).astype(dtype)
    time = 0.01 * np.arange(20)
    return xr.Dataset({"y": (("time", "state"), values, attrs)}, {"time": time})


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("code", [-9999, -999.9, 99999, 1e20, 1e35])
def test_a_code_is_missing_and_said(tmp_path, code, dtype):
    ds = observed(code, dtype)
    ds.to_netcdf(tmp_path / "o.nc", encoding={"y": {"_FillValue": None}})
    for given in (ds, tmp_path / "o.nc"):
        with pytest.warns(Notice, match=r"45 times the value .* it is taken for missing"):
            found = pyvda.open_observations(given, "y", model=MODEL)
        np.testing.assert_allclose(found.observation, VALUES, rtol=1e-6)
    with pytest.warns(Notice, match="y has 45 times"):
        found, _ = prepared(ds, "y", MODEL)
    np.testing.assert_allclose(found.observation, VALUES, rtol=1e-6)


def test_values_on_disk_are_refused_and_the_remedies_work():
    ds = observed(-9999.0).chunk({"time": 5})
    with pytest.raises(
        InputError, match=r"45 times the value -9999.*missing_value=-9999"
    ) as raised:
        prepared(ds, "y", MODEL)
    assert "ds.where(ds != -9999)" in str(raised.value)
    ds["y"].attrs["missing_value"] = -9999.0
    for remedied in (ds, observed(-9999.0).chunk({"time": 5}).where(lambda d: d != -9999)):
        np.testing.assert_array_equal(prepared(remedied, "y", MODEL)[0].observation, VALUES)


@pytest.mark.parametrize("ds", [observed(-9999.0, valid_min=-1e4), observed(-99.0), observed(61.5)])
def test_what_is_valid_or_near_is_data(ds, recwarn):
    found, _ = prepared(ds, "y", MODEL)
    np.testing.assert_array_equal(found.observation, ds.y)
    assert not recwarn.list


def test_a_missing_value_of_all_variables():
    """Files of moorings state it once, among the attributes of the file."""
    ds = observed(1e35, "f4").assign_attrs(missing_value=np.float32(1e35))
    np.testing.assert_allclose(prepared(ds, "y", MODEL)[0].observation, VALUES, rtol=1e-6)


def test_a_negative_code_is_as_far_as_the_others_reach():
    discharge = np.linspace(0.0, 9000.0, 20)
    assert codes_of(np.append(discharge, -9999.0)) == [(-9999.0, 1)]
    assert codes_of(np.append(discharge, -999.0)) == []
    assert codes_of(np.append(discharge, 99999.0)) == [(99999.0, 1)]
    assert codes_of(np.append(discharge, 32767.0)) == []


def test_several_codes_and_few_values():
    values = np.concatenate([np.linspace(0.0, 1.0, 11), [99.0, 999.0, 99.0]])
    assert sorted(codes_of(values)) == [(99.0, 2), (999.0, 1)]
    assert codes_of(values[[0, 4, 11]]) == []
    assert codes_of(np.full(4, -9999.0)) == [(-9999.0, 4)]
    assert codes_of(np.full(4, 99.0)) == []
    powers = 10.0 ** np.arange(5, 11)  # of counts, by dilution
    assert codes_of(powers) == []
    assert codes_of(np.append(powers, 1e20)) == [(1e20, 1)]


def of_variables() -> xr.Dataset:
    y = np.where(np.arange(20) % 4, np.linspace(0.0, 1.0, 20), 99.9)
    values = {"x": np.full(20, 99.0), "y": y, "z": np.linspace(9e4, 1.1e5, 20)}
    return xr.Dataset({n: ("time", v) for n, v in values.items()}, {"time": 0.01 * np.arange(20)})


@pytest.mark.parametrize("way", ["memory", "file"])
def test_each_variable_of_a_file_is_looked_at_by_itself(tmp_path, way):
    ds = of_variables()
    plain = {name: {"_FillValue": None} for name in ds}
    ds.to_netcdf(tmp_path / "o.nc", encoding=plain)
    with pytest.warns(Notice, match=r"y has 5 times the value 99\.9"):
        found = pyvda.open_observations(ds if way == "memory" else tmp_path / "o.nc", model=MODEL)
    expected = np.stack([ds.x, ds.y.where(ds.y < 99), ds.z], -1)
    np.testing.assert_array_equal(found.observation, expected)
    with pytest.raises(InputError, match=r"y has 5 times the value 99\.9"):
        prepared(ds.chunk(time=5), None, MODEL)
    ds["y"].attrs["valid_max"] = 100.0
    ds.to_netcdf(tmp_path / "v.nc", encoding=plain)
    found = pyvda.open_observations(ds if way == "memory" else tmp_path / "v.nc", model=MODEL)
    np.testing.assert_array_equal(found.observation.isel(state=1), ds.y)


def test_rows_of_a_file(tmp_path):
    value = np.where(np.arange(60) % 4, np.linspace(-9.0, 9.0, 60), -9999.0)
    rows = {"time": 0.01 * np.repeat(np.arange(20), 3), "component": np.tile([0, 1, 2], 20)}
    ds = xr.Dataset({n: ("row", v) for n, v in {**rows, "value": value}.items()})
    ds.to_netcdf(tmp_path / "r.nc", encoding={"value": {"_FillValue": None}})
    with pytest.warns(Notice, match="value has 15 times the value -9999"):
        found = pyvda.open_observations(tmp_path / "r.nc", model=MODEL)
    assert int(found.observation.count()) == 45


@pytest.mark.filterwarnings("error:All-NaN")
def test_a_component_without_data_in_chunks_is_passed_over_in_silence():
    ds = observed(np.nan)
    ds["y"][:, 1] = np.nan
    found, statistics = prepared(ds.chunk(time=5), "y", MODEL)
    np.testing.assert_array_equal(found.observation, ds.y)
    np.testing.assert_array_equal(statistics.high, ds.y.max("time").fillna(-np.inf))
