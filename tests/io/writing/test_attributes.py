"""Attributes of any type become what netCDF and zarr can hold, or are refused by name."""

import datetime
import decimal
import enum
import json
import pathlib
import uuid
import warnings

import cftime
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pyvda.assimilate import assimilate
from pyvda.errors import InputError
from pyvda.io.netcdf import save_analysis
from pyvda.io.writing.attributes import storable
from pyvda.notices import Notice


class Level(enum.Enum):
    """A quality level."""

    HIGH = 3


AS_TEXT = {
    "mapping": ({"a": 1, "b": {"c": None}}, '{"a": 1, "b": {"c": null}}'),
    "none": (None, "null"),
    "bool": (True, "true"),
    "numpy_bool": (np.bool_(False), "false"),
    "bools": ([True, False], "[true, false]"),
    "datetime": (datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), "2020-01-02T00:00:00+00:00"),
    "date": (datetime.date(2020, 1, 2), "2020-01-02"),
    "timestamp": (pd.Timestamp("2020-01-02 03:00"), "2020-01-02T03:00:00"),
    "not_a_time": (pd.NaT, "null"),
    "datetime64": (np.datetime64("2020-01-02"), "2020-01-02"),
    "dates": (np.array(["2020-01-02"], "M8[D]"), '["2020-01-02"]'),
    "cftime": (cftime.DatetimeNoLeap(2020, 1, 2), "2020-01-02T00:00:00"),
    "period": (pd.Period("2020-01"), "2020-01"),
    "timedelta": (datetime.timedelta(hours=1), "P0DT1H0M0S"),
    "set": ({3, 1}, "[1, 3]"),
    "empty": ([], "[]"),
    "nested": ([[1, 2], [3]], "[[1, 2], [3]]"),
    "matrix": (np.eye(2), "[[1.0, 0.0], [0.0, 1.0]]"),
    "mixed": ([1, "a"], '[1, "a"]'),
    "objects": (np.array(["a", None], dtype=object), '["a", null]'),
    "large": (2**70, str(2**70)),
    "path": (pathlib.PurePosixPath("/data/a.nc"), "/data/a.nc"),
    "uuid": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "complex": (1 + 2j, "(1+2j)"),
    "nul": ("a\0b", '"a\\u0000b"'),
    "surrogate": ("a\udcff", '"a\\udcff"'),
}
AS_IT_IS = {
    "text": "Grüße", "empty_text": "", "number": 3, "real": 0.5, "texts": ["a", "b"],
    "numbers": [1, 2.5], "array": np.array([1, 2], np.int16), "numpy": np.float32(2),
    "unsigned": 2**63, "list_of_numpy": [np.int64(3), 2], "nan": float("nan"),
}  # fmt: skip
AS_NUMBERS = {
    "enum": (Level.HIGH, 3),
    "half": (np.float16(0.5), 0.5),
    "long": (np.longdouble(2), 2),
}


def dataset(attrs, of_variable=None):
    return xr.Dataset({"x": ("t", [1.0], of_variable or {})}, attrs=attrs)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_every_type_is_written_and_named_in_one_notice(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    given = {name: value for name, (value, _) in {**AS_TEXT, **AS_NUMBERS}.items()} | AS_IT_IS
    with pytest.warns(Notice, match="written as text") as told:
        save_analysis(dataset(given, {"flag": True}), path)
    with xr.open_dataset(path, engine=None if suffix == "nc" else "zarr") as found:
        for name, (_, expected) in {**AS_TEXT, **AS_NUMBERS}.items():
            assert found.attrs[name] == expected, name
        for name, value in AS_IT_IS.items():
            np.testing.assert_array_equal(found.attrs[name], value)
        assert found.x.attrs["flag"] == "true"
    notices = [str(one.message) for one in told if issubclass(one.category, Notice)]
    assert len(notices) == 1
    named = set(notices[0].partition(": ")[2].split(", "))
    assert named == {*AS_TEXT, "x.flag"}


def test_what_netcdf_holds_is_neither_changed_nor_mentioned():
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        found = storable(dataset(AS_IT_IS))
    assert list(found.attrs) == list(AS_IT_IS)
    assert found.attrs["array"].dtype == np.int16


def test_json_text_gives_the_value_again():
    value = {"levels": [1, 2.5, None, True], "of": {"name": "a\0b"}}
    with pytest.warns(Notice):
        assert json.loads(storable(dataset({"run": value})).attrs["run"]) == value


def test_the_given_dataset_is_not_changed():
    ds = dataset({"a": None}, {"b": None})
    with pytest.warns(Notice):
        storable(ds)
    assert ds.attrs == {"a": None}
    assert ds.x.attrs == {"b": None}


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        [object()],
        {"a": {"b": object()}},
        b"\xff",
        {(1, 2): 3},
        np.longdouble("0.1"),
    ],
    # Each process of a run of several must know a test by the same name.
    ids=["object", "function", "list", "dict", "bytes", "key", "longdouble"],
)
def test_what_no_text_stands_for_is_refused_by_name(tmp_path, value):
    for ds, name in (
        (dataset({"made_by": value}), "made_by"),
        (dataset({}, {"q": value}), r"x\.q"),
    ):
        with pytest.raises(InputError, match=f"the attribute {name} is .*; turn it into text"):
            save_analysis(ds, tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_assimilate_refuses_before_the_work_what_cannot_be_saved():
    ds = xr.Dataset({"observation": (("time", "state"), np.zeros((5, 3)))}, {"time": np.arange(5)})
    with pytest.raises(InputError, match="the attribute made_by is"):
        assimilate(ds.assign_attrs(made_by=object()), model="lorenz63")


@pytest.mark.parametrize("name", ["", "a/b", " a", "a\n"])
def test_names_that_netcdf_does_not_allow(name):
    with pytest.raises(InputError, match="has a name that netCDF does not allow; rename it"):
        storable(dataset({name: 1}))


def test_other_names_become_text_and_those_of_the_library_are_left_out(tmp_path):
    save_analysis(dataset({3: "three", "_NCProperties": "version=2"}), tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file.getncattr("3") == "three"
    with pytest.raises(InputError, match="two attributes would be called 3"):
        storable(dataset({3: 1, "3": 2}))
