"""Times in every spelling: the axis of an analysis is the user's own, and changes are said."""

import cftime
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.cf import times
from pyvda.io.netcdf import open_observations, save_analysis
from pyvda.notices import Notice

STEPS = 6
QUICK = {"model": "lorenz63", "engine": "torch", "iterations": 2, "step": 1.0}
CALENDARS = ("standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day")
UNITS = ("microseconds", "msec", "seconds", "min", "hours", "hrs", "days", "months", "years")


def observed(time, dim="time", **attrs):
    values = np.random.default_rng(0).normal(size=(STEPS, 3))
    return xr.Dataset({"observation": ((dim, "state"), values)}, {dim: (dim, time, attrs)})


def write(path, numbers, units, calendar="standard"):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", STEPS)
        file.createDimension("state", 3)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar, time[:] = units, calendar, numbers
        values = np.random.default_rng(0).normal(size=(STEPS, 3))
        file.createVariable("observation", "f8", ("time", "state"))[:] = values
    return path


def stored(path):
    with netCDF4.Dataset(path) as file:
        time = file["time"]
        return np.asarray(time[:]), time.units, time.calendar


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("unit", UNITS)
def test_units_and_calendars_come_back(tmp_path, unit, calendar):
    """Opened by pyvda or by xarray, saved, and read by another library: the same dates."""
    steps = np.arange(STEPS) + (0.0 if unit == "microseconds" else 0.5)
    path = write(tmp_path / "a.nc", steps, f"{unit} since 1960-01-01", calendar)
    save_analysis(open_observations(path), tmp_path / "b.nc")
    numbers, units, kept = stored(tmp_path / "b.nc")
    with netCDF4.Dataset(tmp_path / "b.nc") as file:
        assert file["time"].standard_name == "time"
    assert units.startswith(f"{unit} since 1960-01-01")
    assert kept == calendar
    np.testing.assert_allclose(numbers, steps, rtol=1e-12)


def test_months_that_xarray_decoded_come_back(tmp_path):
    path = write(tmp_path / "a.nc", 0.5 + np.arange(STEPS), "months since 1960-01-01", "360_day")
    ds = xr.open_dataset(path)
    assert isinstance(ds.time.values[0], cftime.datetime)
    analysis = pyvda.assimilate(ds, time_step=0.01, **QUICK)
    save_analysis(analysis, tmp_path / "b.nc")
    numbers, units, calendar = stored(tmp_path / "b.nc")
    np.testing.assert_allclose(numbers, 0.5 + np.arange(STEPS))
    assert (units, calendar) == ("months since 1960-01-01", "360_day")


def test_numbers_with_units_are_dates():
    ds = observed(np.arange(STEPS), units="days since 2000-01-01")
    with pytest.raises(InputError, match="dates or nothing, so the step in model time units"):
        pyvda.assimilate(ds, **QUICK)
    found = pyvda.assimilate(ds, time_step=0.01, **QUICK)
    xr.testing.assert_identical(found.time.variable, ds.time.variable)


@pytest.mark.parametrize("unit", ["hours", "s", "days"])
def test_numbers_of_physical_time_are_no_model_time(unit):
    ds = observed(6.0 * np.arange(STEPS), units=unit)
    with pytest.raises(InputError, match=f"steps of 6 {unit}, .* time_step=0.01"):
        pyvda.assimilate(ds, **QUICK)
    pyvda.assimilate(ds, time_step=6, **QUICK)
    pyvda.assimilate(observed(0.01 * np.arange(STEPS), units=unit), **QUICK)


MONTHLY = {
    "starts": pd.date_range("2020-01-01", periods=STEPS, freq="MS"),
    "ends": pd.date_range("2020-01-31", periods=STEPS, freq="ME"),
    "middles": np.array(["2001-01-16T12", "2001-02-15", "2001-03-16T12", "2001-04-16",
                         "2001-05-16T12", "2001-06-16"], "M8[ns]"),
    "years": pd.date_range("2019-01-01", periods=STEPS, freq="YS"),
    "noleap": xr.date_range("2020", periods=STEPS, freq="MS", calendar="noleap", use_cftime=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", MONTHLY)
def test_months_and_years_are_steps(kind):
    ds = observed(MONTHLY[kind])
    with pytest.warns(Notice, match="apart, which are not equally long; each is one step"):
        found = pyvda.assimilate(ds, **QUICK)
    given = pyvda.assimilate(ds, time_step=0.01, **QUICK)
    np.testing.assert_array_equal(found.analysis, given.analysis)
    np.testing.assert_array_equal(found.time, ds.time)


def test_a_month_that_is_left_out_is_refused():
    time = MONTHLY["starts"].delete(2).append(pd.DatetimeIndex(["2020-07-01"]))
    with pytest.raises(InputError, match="time step is not uniform"):
        pyvda.assimilate(observed(time), time_step=0.01, **QUICK)


@pytest.mark.parametrize("chunks", [None, {"time": 2}])
@pytest.mark.parametrize(
    ("order", "message"),
    [
        (slice(None, None, -1), "time decreases along the file"),
        ([0, 3, 1, 5, 2, 4], "not in order"),
    ],
)
def test_other_orders_are_sorted(order, message, chunks):
    ds = observed(0.01 * np.arange(STEPS))
    other = ds.isel(time=order)
    with pytest.warns(Notice, match=f"{message}.*sorted by time"):
        found = pyvda.assimilate(other if chunks is None else other.chunk(chunks), **QUICK)
    xr.testing.assert_equal(found.analysis.compute(), pyvda.assimilate(ds, **QUICK).analysis)


def test_repeated_times_name_the_first_pair_and_the_remedy_works():
    ds = observed(pd.DatetimeIndex(["2020-01-01"] * 2 + ["2020-01-02"] * 2 + ["2020-01-03"] * 2))
    with pytest.raises(InputError, match=r"time 2020-01-01.* occurs twice, at steps 0 and 1"):
        pyvda.assimilate(ds, time_step=0.01, **QUICK)
    pyvda.assimilate(ds.drop_duplicates("time"), time_step=0.01, **QUICK)


ZONED = {
    "index": pd.date_range("2020-01-01", periods=STEPS, tz="Europe/Paris"),
    "objects": np.array(
        list(pd.date_range("2020-01-01", periods=STEPS, tz="Europe/Paris")), object
    ),
    "text": np.array([f"2020-01-0{n}T00:00:00+01:00" for n in range(1, 1 + STEPS)]),
}


@pytest.mark.parametrize("kind", ZONED)
def test_time_zones_become_utc(kind):
    with pytest.warns(Notice, match="have a time zone; they are converted to UTC"):
        found = pyvda.assimilate(observed(ZONED[kind]), time_step=0.01, **QUICK)
    assert found.time.dtype.kind == "M"
    assert found.time.values[0] == np.datetime64("2019-12-31T23")


@pytest.mark.parametrize("form", ["2020-01-0{}", "2020-01-0{}T00:00", "2020-01-0{}T00:00:00Z",
                                  "2020-01-0{}_00:00:00"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["U", "S", "O"])
def test_iso_text_is_dates(form, dtype):
    text = np.array([form.format(n) for n in range(1, 1 + STEPS)]).astype(dtype)
    found = pyvda.assimilate(observed(text), time_step=0.01, **QUICK)
    np.testing.assert_array_equal(found.time, np.arange("2020-01-01", "2020-01-07", dtype="M8[D]"))


def test_wrf_times(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("Time", STEPS), ("DateStrLen", 19), ("state", 3)):
            file.createDimension(name, size)
        text = np.array([f"2000-01-24_{hour:02}:00:00" for hour in range(STEPS)], "S19")
        file.createVariable("Times", "S1", ("Time", "DateStrLen"))[:] = netCDF4.stringtochar(text)
        file.createVariable("y", "f8", ("Time", "state"))[:] = 1.0
    found = open_observations(tmp_path / "a.nc", "y")
    hours = np.arange("2000-01-24T00", "2000-01-24T06", dtype="M8[h]")
    np.testing.assert_array_equal(found.time, hours)


def test_units_beside_dates_are_their_encoding(tmp_path):
    ds = observed(pd.date_range("2020-01-01", periods=STEPS, freq="h"))
    ds.time.attrs = {"units": "minutes since 2020-01-01", "calendar": "standard"}
    found = pyvda.assimilate(ds, time_step=0.01, **QUICK)
    found.to_netcdf(tmp_path / "a.nc")
    save_analysis(found, tmp_path / "b.nc")
    for name in "ab":
        numbers, units, _ = stored(tmp_path / f"{name}.nc")
        assert units == "minutes since 2020-01-01"
        np.testing.assert_array_equal(numbers, 60 * np.arange(STEPS))


def test_windows_of_numbers_with_units_have_durations():
    ds = observed(np.arange(STEPS), units="hours since 2000-01-01")
    windows = pyvda.state.windows.cut(open_like(ds), 3)
    assert windows.time.attrs["units"] == "hours"


def open_like(ds):
    from pyvda.io.cf.conventions import normalise

    return normalise(ds)


def test_other_texts_and_objects_are_no_times():
    for values in (["a", "b"], ["day 1", "day 2"]):
        ds = xr.Dataset(coords={"time": ("time", values)})
        assert times.recognised(ds).time.dtype.kind == ds.time.dtype.kind


@pytest.mark.parametrize("use_cftime", [False, True])
def test_months_go_on_as_months(use_cftime):
    axis = xr.date_range("2000-01-31", periods=14, freq="ME", use_cftime=use_cftime)
    time = xr.DataArray(axis, dims="time")
    following = times.later(time[:10], 4)  # after 31 October
    assert [(d.year, d.month, d.day) for d in pd.Index(following)] == [
        (2000, 11, 30), (2000, 12, 31), (2001, 1, 31), (2001, 2, 28),
    ]  # fmt: skip
    assert times.steps_until(time.values[:10], time.values[10:]) == 1.0
    assert times.steps_until(time.values[:8], time.values[10:]) == 3.0


def test_other_times_go_on_by_their_step():
    days = xr.DataArray(pd.date_range("2000-01-01", periods=3), dims="time")
    expected = pd.date_range("2000-01-04", periods=2)
    np.testing.assert_array_equal(times.later(days, 2), expected)
    np.testing.assert_allclose(times.later(xr.DataArray([0.0, 0.5]), 2), [1.0, 1.5])
    assert times.steps_until(days.values[:1], days.values[1:]) == 1.0


def test_a_zone_of_hours_alone_is_said():
    texts = [f"2000-01-0{day}T00:00:00+05" for day in (1, 2, 3)]
    ds = xr.Dataset(coords={"time": texts})
    with pytest.warns(Notice, match="converted to UTC"):
        times.recognised(ds)


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
@pytest.mark.parametrize("unit", ["months", "years"])
def test_months_and_years_are_steps_without_a_given_one(tmp_path, unit, calendar):
    path = write(tmp_path / "a.nc", np.arange(STEPS), f"{unit} since 1960-01-01", calendar)
    with pytest.warns(Notice, match="months or years apart, .* each is one step of lorenz63, 0.01"):
        found = pyvda.assimilate(path, model="lorenz63", engine="torch", iterations=2)
    expected = pyvda.assimilate(
        path, model="lorenz63", engine="torch", iterations=2, time_step=0.01
    )
    np.testing.assert_array_equal(found.analysis, expected.analysis)


@pytest.mark.parametrize("decode", [True, False])
def test_hours_since_1970_in_float32_are_even(tmp_path, decode):
    """They are rounded to minutes."""
    hours = (438_000 + 0.1 * np.arange(STEPS)).astype("f4")
    assert np.ptp(np.diff(hours)) > 0.02
    path = write(tmp_path / "a.nc", hours, "hours since 1970-01-01")
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("time", "unused")
        time = file.createVariable("time", "f4", ("time",))
        time.units, time[:] = file["unused"].units, hours
    assert open_observations(xr.open_dataset(path, decode_times=decode).drop_vars("unused"))
    late = hours.copy()
    late[3] += 0.05
    with netCDF4.Dataset(path, "a") as file:
        file["time"][:] = late
    with pytest.raises(InputError, match="not uniform"):
        open_observations(path)


def test_a_time_that_was_never_written_is_missing(tmp_path):
    path = write(tmp_path / "a.nc", np.arange(STEPS), "hours since 1970-01-01")
    with netCDF4.Dataset(path, "a") as file:
        file["time"][2] = netCDF4.default_fillvals["f8"]
    with pytest.raises(InputError, match="the time coordinate has missing values"):
        open_observations(path)


def test_a_time_beyond_all_dates_is_refused(tmp_path):
    path = write(tmp_path / "a.nc", np.r_[np.arange(STEPS - 2), 1e30, 5], "hours since 1970-01-01")
    with pytest.raises(InputError):
        open_observations(path)


def test_dates_before_the_calendar_reform_need_no_warning(tmp_path, recwarn):
    path = write(tmp_path / "a.nc", np.arange(STEPS), "days since 0001-01-01")
    assert isinstance(open_observations(path).time.values[0], cftime.datetime)
    assert not recwarn.list


@pytest.mark.parametrize("calendar", [None, "360_day"])
def test_numbers_whose_digits_are_a_date(tmp_path, calendar):
    """As CDO writes absolute times, across the end of a month."""
    last = 30 if calendar else 31
    days = [20000100 + last - 1, 20000100 + last, 20000201]
    numbers = np.repeat(np.array(days, float), 2) + np.tile([0.0, 0.5], 3)
    ds = observed(numbers, units="day as %Y%m%d.%f", **({"calendar": calendar} if calendar else {}))
    ds.to_netcdf(tmp_path / "a.nc")
    found = pyvda.assimilate(tmp_path / "a.nc", time_step=0.01, **QUICK)
    expected = xr.date_range(
        f"2000-01-{last - 1}", periods=STEPS, freq="12h", calendar=calendar or "standard",
        use_cftime=calendar is not None,
    )  # fmt: skip
    assert (found.time.values == expected).all()
    save_analysis(found, tmp_path / "b.nc")
    assert (xr.open_dataset(tmp_path / "b.nc").time.values == expected).all()
    no_dates = ds.assign_coords(time=("time", 20001390.0 + np.arange(STEPS), ds.time.attrs))
    with pytest.raises(InputError, match="give time_step"):
        pyvda.assimilate(no_dates, **QUICK)


@pytest.mark.parametrize("units", ["hours until 2000-01-01", "month as %Y%m.%f", "fortnights"])
def test_units_that_nothing_explains_are_no_model_time(units):
    ds = observed(6.0 * np.arange(STEPS), units=units)
    with pytest.raises(InputError, match=r"steps of 6 .* give time_step=0\.01"):
        pyvda.assimilate(ds, **QUICK)
    pyvda.assimilate(ds, time_step=0.01, **QUICK)


@pytest.mark.parametrize("units", ["1", "", "model time units", "Time units", "dimensionless"])
def test_units_of_model_time(units):
    pyvda.assimilate(observed(6.0 * np.arange(STEPS), units=units), **QUICK)


def test_dates_of_other_types():
    days = pd.date_range("2020-01-01", periods=STEPS)
    as_dates = np.array([day.date() for day in days], object)
    for time, expected in ((as_dates, days), (days.to_period("D"), days)):
        found = pyvda.assimilate(observed(time), time_step=0.01, **QUICK)
        np.testing.assert_array_equal(found.time, expected)


def test_intervals_are_refused_and_the_remedy_works():
    ds = observed(pd.interval_range(pd.Timestamp("2020-01-01"), periods=STEPS, freq="D"))
    with pytest.raises(InputError, match="is an interval, expected the times of the data") as told:
        pyvda.assimilate(ds, time_step=0.01, **QUICK)
    remedy = str(told.value).partition("of the intervals (")[2].removesuffix(")")
    middles = eval(remedy, {"pandas": pd, "ds": ds})
    found = pyvda.assimilate(middles, time_step=0.01, **QUICK)
    assert found.time.values[0] == np.datetime64("2020-01-01T12")


@pytest.mark.parametrize(
    "units", ["Hours Since 2000-1-1 0:0:0 UTC", "hours after 2000-01-01", "HOURS since 2000-01-01Z"]
)
def test_units_in_other_letters(tmp_path, units):
    path = write(tmp_path / "o.nc", 6.0 * np.arange(STEPS), units)
    expected = np.datetime64("2000-01-01") + 6 * np.arange(STEPS) * np.timedelta64(1, "h")
    model = pyvda.get_model("lorenz63")
    np.testing.assert_array_equal(open_observations(path, model=model).time, expected)
    raw = xr.open_dataset(path, decode_times=False)
    found = times.dates(times.recognised(raw)["time"])
    np.testing.assert_array_equal(found, expected)
