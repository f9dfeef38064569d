"""What a figure of a field needs is taken from the right place of the files."""

import numpy as np
import pytest
import xarray as xr
from plotting.gridded import LAND, made

from pyvda.errors import InputError
from pyvda.plotting.fields import field_names, fields_of, has_maps, last_observed, without_jump


def test_arrays_are_those_of_the_files() -> None:
    analysis, truth = made(windows=2)
    (field,) = fields_of(analysis.transpose("lon", "lat", "time", "window"), truth, window=1)
    np.testing.assert_array_equal(
        field.analysis, analysis["sst"][1].transpose("time", "lat", "lon")
    )
    (field,) = fields_of(analysis, truth, window=1)
    np.testing.assert_array_equal(field.truth, truth["sst"][1])
    np.testing.assert_array_equal(field.stdev, analysis["sst_stdev"][1])
    expected = analysis["sst"][1] + analysis["sst_innovation"][1]
    np.testing.assert_array_equal(field.observation, expected)
    np.testing.assert_array_equal(field.land, LAND)
    np.testing.assert_array_equal(field.error, (analysis["sst"] - truth["sst"])[1])
    assert field.labelled() == "sst (K)"
    assert [axis.label for axis in field.axes] == ["lat (°N)", "lon (°E)"]
    assert field.spacing_unit == "km"
    assert field.spacing == pytest.approx((55.6, 69.6), rel=0.01)
    assert field.aspect == pytest.approx(55.6 / 0.5 / 69.6, rel=0.01)
    assert last_observed(field) == 2


def test_the_truth_may_have_more_times() -> None:
    analysis, truth = made()
    (field,) = fields_of(analysis.isel(time=[1, 2]), truth)
    np.testing.assert_array_equal(field.truth, truth["sst"][0, 1:3])
    with pytest.raises(InputError, match="not all of the 4 of the analysis"):
        fields_of(analysis, truth.isel(time=[0, 1, 2]))


def test_dates_and_numbers_in_titles() -> None:
    days = np.datetime64("2001-02-03", "ns") + np.arange(4) * np.timedelta64(6, "h")
    assert fields_of(made(time=days)[0])[0].at(1) == "2001-02-03 06:00"
    assert fields_of(made()[0])[0].at(1) == "time 1"


def test_vectors_are_fields_of_one_dimension() -> None:
    x = np.random.default_rng(1).normal(size=(3, 40))
    dims = ("time", "state")
    analysis = xr.Dataset(
        {"analysis": (dims, x), "innovation": (dims, x), "state_stdev": (dims, x)}
    )
    (field,) = fields_of(analysis, xr.Dataset({"truth": (dims, x + 1)}))
    np.testing.assert_allclose(field.error, -1)
    assert not has_maps(analysis)
    assert has_maps(made()[0])


def test_what_is_not_there_is_refused() -> None:
    analysis, truth = made(variables=("sst", "ssh"))
    assert field_names(analysis) == ["sst", "ssh"]
    with pytest.raises(InputError, match="no u on a grid of one or two dimensions, but sst, ssh"):
        fields_of(analysis, variables=["u"])
    with pytest.raises(
        InputError, match="no field on a grid of one or two dimensions; choose the kind"
    ):
        fields_of(xr.Dataset())
    with pytest.raises(InputError, match=r"window is 0\.5, expected a whole number"):
        fields_of(analysis, window=0.5)
    assert [field.name for field in fields_of(analysis, variables="ssh,sst")] == ["ssh", "sst"]
    with pytest.raises(InputError, match="no window 3 among the 1"):
        fields_of(analysis, window=3)
    with pytest.raises(InputError, match="truth has no variable 'ssh'"):
        fields_of(analysis, truth.drop_vars("ssh"))
    with pytest.raises(InputError, match="on the grid of the analysis"):
        fields_of(analysis, truth.isel(lat=[0, 1]))
    with pytest.raises(InputError, match="expected those of the analysis"):
        fields_of(analysis, truth.rename(lat="latitude"))


@pytest.mark.parametrize(("dates", "times"), [(True, "t"), (True, "day"), (False, "t")])
def test_times_and_windows_may_have_other_names(dates, times) -> None:
    days = np.datetime64("2001-02-03", "ns") + np.arange(4) * np.timedelta64(1, "D")
    analysis, truth = made(windows=2, time=days if dates else None)
    (expected,) = fields_of(analysis, truth, window=1)
    other = {"window": "member"} | ({"time": times} if times == "t" else {})
    (found,) = fields_of(*(_named(ds, other, times) for ds in (analysis, truth)), window=1)
    for part in ("time", "analysis", "observation", "truth", "stdev"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    assert found.time_label == expected.time_label


def _named(ds, other, times):
    """Return a Dataset with other names; `day` is a coordinate of a dimension without its own."""
    if times != "day":
        return ds.rename(other)
    return ds.rename(other).rename(time="n").reset_index("n").rename_vars(n="day")


def test_maps_have_the_latitude_upwards_and_no_seam_in_longitude() -> None:
    analysis, truth = made()
    for ds in (analysis, truth):
        ds["lon"] = ds["lon"].copy(data=(356.0 + np.arange(8)) % 360)
        ds["lon"].attrs["units"] = "degrees_east"
    (field,) = fields_of(analysis.transpose("lon", "lat", ...), truth.transpose("lon", ...))
    np.testing.assert_array_equal(field.axes[0].values, analysis["lat"])
    np.testing.assert_array_equal(field.axes[1].values, np.arange(-4, 4))
    np.testing.assert_array_equal(field.truth, truth["sst"][0])
    assert field.spacing[1] == pytest.approx(69.6, rel=0.01)  # km of a degree at 51 °N
    rows = {"sst": ("obs", [1.0, 2.0]), "time": ("obs", [0.0, 0.0]),
            "lat": ("obs", [50.1, 50.2]), "lon": ("obs", [359.5, 1.5])}  # fmt: skip
    (field,) = fields_of(analysis, observations=xr.Dataset(rows))
    np.testing.assert_array_equal(field.points.places[1], [-0.5, 1.5])


@pytest.mark.parametrize("longitude", [np.arange(8.0), np.arange(8.0)[::-1], 170.0 + np.arange(8)])
def test_longitudes_without_a_jump_are_unchanged(longitude) -> None:
    np.testing.assert_array_equal(without_jump(longitude), longitude)
