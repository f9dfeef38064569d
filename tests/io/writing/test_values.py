"""Values of any type become what netCDF and zarr hold."""

import datetime
import warnings

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pyvda
from pyvda.io.netcdf import save_analysis
from pyvda.io.writing.values import storable_values
from pyvda.notices import Notice

STARTS = np.array(["2000-01-01", "2000-02-01"], "M8[ns]")
HELD = {
    "f2": (np.array([0.5, 2.0], "f2"), np.array([0.5, 2.0], "f4")),
    "longdouble": (np.array([0.5, 2.0], np.longdouble), np.array([0.5, 2.0])),
    "periods": (pd.period_range("2000-01", periods=2, freq="M"), STARTS),
    "dates": (np.array([datetime.date(2000, 1, 1), datetime.date(2000, 2, 1)], object), STARTS),
    "zoned": (
        np.array([pd.Timestamp(f"2000-0{k}-01T02", tz="Etc/GMT-2") for k in (1, 2)], object), STARTS
    ),
    "not a time": (
        np.array([pd.Period("2000-01"), None], object), np.array(["2000-01-01", "NaT"], "M8[ns]")
    ),
    "categories": (pd.Categorical(["u", "v"]), np.array(["u", "v"])),
    "categories of numbers": (pd.Categorical([3, 1]), np.array([3, 1])),
    "Int64": (pd.array([1, None], dtype="Int64"), np.array([1, np.nan])),
    "boolean": (pd.array([True, None], dtype="boolean"), np.array([1, np.nan])),
    "string": (pd.array(["a", None], dtype="string"), np.array(["a", ""])),
    "text": (np.array(["é", "ab"]), np.array(["é", "ab"])),
}  # fmt: skip
AS_TEXT = {
    "intervals": (pd.interval_range(0, periods=2), ["(0, 1]", "(1, 2]"]),
    "complex": (np.array([1j, 2]), ["1j", "(2+0j)"]),
    "mixed": (np.array(["a", 1], object), ["a", "1"]),
    "mappings": (np.array([{"a": 1}, {}], object), ["{'a': 1}", "{}"]),
    "structures": (np.array([(1,), (2,)], [("a", "i4")]), ["(1,)", "(2,)"]),
}


def observed(coordinate):
    values = np.random.default_rng(0).normal(size=(2, 3))
    time = {"time": [0.0, 0.01], "c": ("time", coordinate)}
    return xr.Dataset({"observation": (("time", "state"), values)}, time)


def analysis_of(coordinate):
    return pyvda.assimilate(
        observed(coordinate), model="lorenz63", engine="torch", iterations=2, step=1.0
    )


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("kind", HELD)
def test_what_has_a_type_of_files_is_written_without_a_word(tmp_path, kind, suffix):
    given, expected = HELD[kind]
    analysis = analysis_of(given)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        warnings.simplefilter("error", xr.SerializationWarning)
        save_analysis(analysis, tmp_path / f"a{suffix}")
    with xr.open_dataset(tmp_path / f"a{suffix}") as found:
        np.testing.assert_array_equal(found.c.values.astype(expected.dtype), expected)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("kind", AS_TEXT)
def test_the_rest_becomes_text_and_is_named(tmp_path, kind, suffix):
    given, expected = AS_TEXT[kind]
    with pytest.warns(Notice, match="of types that files cannot hold are written as text: c$"):
        save_analysis(analysis_of(given), tmp_path / f"a{suffix}")
    with xr.open_dataset(tmp_path / f"a{suffix}") as found:
        assert found.c.values.tolist() == expected


def test_other_variables_stay_as_they_are():
    dates = np.array([cftime.DatetimeNoLeap(2000, 1, 1), cftime.DatetimeNoLeap(2000, 1, 2)])
    for values in ([1.5, np.nan], ["a", "b"], dates, np.array(["a", None], object), [True, False],
                   np.array([1, 2], object)):  # fmt: skip
        ds = observed(values)
        assert storable_values(ds) is ds
    lazy = observed(np.array([1, 2], "f2")).chunk(time=1)
    assert storable_values(lazy.reset_coords()).c.chunks is not None
