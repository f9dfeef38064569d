"""The step between two times of a file, and time axes that are mere indices."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.cf.time_step import model_time_step, time_step
from pyvda.models.registry import get_model

L63 = get_model("lorenz63")


def series(time):
    return xr.Dataset({"observation": (("time", "state"), np.ones((len(time), 3)))}, {"time": time})


@pytest.mark.parametrize(
    "time", [np.arange(5), np.arange(5.0), np.arange(1, 6), np.arange(5, dtype="f4")]
)
def test_an_axis_that_counts_is_refused_with_a_remedy_that_works(time):
    ds = series(time)
    with pytest.raises(InputError, match=r"counts its steps .* give time_step=0\.01") as refused:
        pyvda.assimilate(ds, model="lorenz63", iterations=1)
    assert "\n" not in str(refused.value)
    for step in (0.01, 1.0):
        assert model_time_step(ds, step, L63) == step
    assert pyvda.assimilate(ds, model="lorenz63", iterations=1, time_step=0.01) is not None


def test_a_count_is_the_step_of_a_model_with_step_one():
    from dataclasses import replace

    assert model_time_step(series(np.arange(5)), None, replace(L63, time_step=1.0)) == 1.0


@pytest.mark.parametrize(
    ("time", "step"),
    [(0.01 * np.arange(5), 0.01), (0.5 + np.arange(5.0), 1.0), (2 * np.arange(5), 2.0)],
)
def test_other_numbers_are_model_time(time, step):
    assert model_time_step(series(time), None, L63) == step


def test_dates_need_a_step_or_have_the_usual_one():
    ds = series(np.arange(5).astype("M8[h]").astype("M8[ns]"))
    assert time_step(ds) is None
    with pytest.raises(InputError, match="give time_step"):
        model_time_step(ds, None, L63)
    assert model_time_step(ds, None, L63, usual=True) == 0.01


@pytest.mark.parametrize("given", [0.0, -1.0, np.inf])
def test_a_step_that_is_not_positive_is_refused(given):
    with pytest.raises(InputError, match="expected a positive number"):
        model_time_step(series(0.01 * np.arange(5)), given, L63)


@pytest.mark.parametrize(("start", "kind"), [(1000.0, "f4"), (1e9, "f8"), (-3e5, "f8")])
def test_the_step_of_numbers_far_from_zero_is_not_their_rounding(start, kind):
    time = (start + 0.01 * np.arange(60)).astype(kind)
    assert (time[-1] - time[0]) / 59 != 0.01
    assert time_step(series(time)) == 0.01


@pytest.mark.parametrize(
    ("first", "step", "like"),
    [
        (730910.0, 0.25, "days of MATLAB's datenum"),
        (2451970.5, 0.25, "Julian days"),
        (983404800, 21600, "seconds since 1970"),
    ],
)
def test_numbers_like_dates_are_no_model_time(first, step, like):
    ds = series(first + step * np.arange(60))
    with pytest.raises(InputError, match=rf"{like}.*--time-step 0.01\), or {step:g} if") as raised:
        model_time_step(ds, None, get_model("lorenz63"))
    assert f"such as {first:.10g}" in str(raised.value)
    assert model_time_step(ds, step, get_model("lorenz63")) == step
    dated = series(first + 0.01 * np.arange(60))  # the usual step
    assert model_time_step(dated, None, get_model("lorenz63")) == 0.01
