"""Tables of pandas as Datasets: which column is what, time zones, nullable types."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.tables.frames import dataset
from pyvda.notices import Notice

DATES = pd.date_range("2024-03-30T22:00", periods=6, freq="h")
VALUES = np.arange(18.0).reshape(6, 3)


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x": VALUES[:, 0], **columns})


@pytest.mark.parametrize(
    "times",
    [
        DATES.tz_localize("UTC").tz_convert("Asia/Tokyo"),
        DATES.tz_localize("UTC").tz_convert("Europe/Paris").astype(object),
        [f"{date.isoformat()}Z" for date in DATES],
        [(date + pd.Timedelta("9h")).isoformat() + "+09:00" for date in DATES],
    ],
)
def test_time_zones_are_converted_to_utc_and_said_so(times):
    with pytest.warns(Notice, match="converted to UTC"):
        found = dataset(frame(time=times), "the table")
    np.testing.assert_array_equal(found.time, DATES.to_numpy())


@pytest.mark.parametrize(
    "name", ["time", "t", "date", "Timestamp", "time_utc", "Time (UTC)", "datetime [local]"]
)
def test_names_of_the_column_of_times(name):
    found = dataset(frame(**{name: DATES.astype(str)}), "the table")
    (dim,) = found.x.dims
    assert dim in (name, "time")
    np.testing.assert_array_equal(found[dim], DATES.to_numpy())


def test_an_index_without_a_name():
    for index in (DATES, pd.PeriodIndex(DATES, freq="h"), pd.Index(0.01 * np.arange(6))):
        found = dataset(frame().set_index(index), "the table")
        assert found.x.dims == ("time",)
    assert dataset(frame(), "the table").x.dims == ("datum",)
    assert "index" not in dataset(frame(), "the table").variables


def test_types_of_pandas_become_those_of_numpy():
    table = frame(
        time=DATES,
        whole=pd.array([1, 2, None, 4, 5, 6], dtype="Int64"),
        exact=pd.array([1, 2, 3, 4, 5, 6], dtype="Int64"),
        real=pd.array([0.5, None, 1, 1, 1, 1], dtype="Float64"),
        kind=pd.Categorical(["x", "y"] * 3),
        text=pd.array(["a"] * 6, dtype="string"),
        known=pd.array([True, None] * 3, dtype="boolean"),
    )
    found = dataset(table, "the table")
    np.testing.assert_array_equal(found["whole"], [1, 2, np.nan, 4, 5, 6])
    assert found["exact"].dtype == np.int64
    np.testing.assert_array_equal(found["real"][:3], [0.5, np.nan, 1])
    np.testing.assert_array_equal(found["known"][:2], [1, np.nan])
    assert list(found.kind.values[:2]) == ["x", "y"]
    assert list(found.text.values[:2]) == ["a", "a"]


def test_windows_are_a_dimension():
    table = pd.concat([frame(time=DATES, window=n) for n in range(2)])
    found = dataset(table.sample(frac=1, random_state=1), "the table")
    assert dict(found.x.sizes) == {"window": 2, "time": 6}
    xr.testing.assert_identical(found, dataset(table.set_index(["window", "time"]), "the table"))


def test_columns_of_two_levels():
    long = frame(time=DATES).melt("time", var_name="component").set_index(["time", "component"])
    found = dataset(long.unstack(), "the table")
    np.testing.assert_array_equal(found.x, VALUES[:, 0])
    two = pd.DataFrame(VALUES[:, :2], columns=pd.MultiIndex.from_tuples([("x", "a"), ("y", "b")]))
    with pytest.raises(InputError, match="columns of 2 levels"):
        dataset(two, "the table")
    two.columns = ["_".join(c) for c in two.columns]  # as the message says
    assert set(dataset(two, "the table").data_vars) == {"x_a", "y_b"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (frame().iloc[:0], "has no rows"),
        (frame(time=["yesterday"] * 6), "'yesterday' is not a date"),
        (pd.concat([frame(), frame()], axis=1), "two columns called 'x'"),
        (frame(time=DATES).set_index(pd.Index(DATES, name="time")), "a column and a level"),
        (
            frame().set_index(pd.MultiIndex.from_product([DATES, ["a"]])),
            "one has no name; name them",
        ),
    ],
)
def test_what_a_table_must_not_have(given, message):
    with pytest.raises(InputError, match=message):
        dataset(given, "the table")


@pytest.mark.parametrize(
    "columns",
    [
        {"Date": DATES.strftime("%Y-%m-%d"), "Time": DATES.strftime("%H:%M:%S")},
        {"date": DATES.date, "time (UTC)": DATES.strftime("%H:%M")},
        {"YY": DATES.year % 100, "Month": DATES.month, "Day": DATES.day, "hh": DATES.hour},
        {"Year": DATES.year, "Month": DATES.month, "Day": DATES.day, "Hour": DATES.hour},
        {
            "YY": DATES.year,
            "MM": DATES.month,
            "DD": DATES.day,
            "hh": DATES.hour,
            "mm": DATES.minute,
        },
    ],
)
def test_times_in_several_columns(columns):
    with pytest.warns(Notice, match="made of the columns .* first is 2024-03-30 22:00:00"):
        found = dataset(frame(**columns), "the table")
    np.testing.assert_array_equal(found.time, DATES.to_numpy())
    assert set(found.data_vars) == {"x"}


@pytest.mark.parametrize("hours", [{}, {"hour": DATES.hour}])
def test_the_least_value_is_no_minute(hours):
    day = {"year": DATES.year, "month": DATES.month, "day": np.arange(1, 7)}
    least = np.arange(6) - 2.5
    with pytest.warns(Notice, match="made of the columns year, month, day"):
        found = dataset(frame(**day, **hours, min=least, mm=least + 3), "the table")
    np.testing.assert_array_equal(found["min"], least)
    assert "mm" in found
    first = np.datetime64("2024-03-01T00" if not hours else "2024-03-01T22")
    assert found.time.values[0] == first


def test_dates_as_whole_numbers():
    days = pd.date_range("2024-02-27", periods=6)
    with pytest.warns(Notice, match="20240227 are read as dates, 2024-02-27"):
        found = dataset(frame(date=days.strftime("%Y%m%d").astype(int)), "the table")
    np.testing.assert_array_equal(found.date, days.to_numpy())
    found = dataset(frame(date=np.arange(20240227, 20240233)), "the table")  # no 20240230
    assert found.date.dtype.kind == "i"


def test_a_temperature_is_no_time():
    found = dataset(frame(**{"T (K)": np.arange(6.0)}), "the table")
    assert found.x.dims == ("datum",)
    assert "T (K)" in found.data_vars


def test_a_unit_in_the_name_of_the_times():
    found = dataset(frame(**{"Time (s)": 0.5 * np.arange(6)}), "the table")
    assert found.time.attrs == {"units": "s"}
    assert found.x.dims == ("time",)


def test_durations_and_decimal_numbers():
    table = frame(y=[Decimal("1.5"), None] * 3).set_index(DATES - DATES[0])
    found = dataset(table, "the table")
    assert found.x.dims == ("time",)
    np.testing.assert_array_equal(found.y, [1.5, np.nan] * 3)
