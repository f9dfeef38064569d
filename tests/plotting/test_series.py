"""Error and spread over time."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from plotting.gridded import made

from pyvda.errors import InputError
from pyvda.plotting.fields import fields_of
from pyvda.plotting.series import draw, figure_of_series, plot_series, rms

pytestmark = pytest.mark.filterwarnings("error")


def test_error_and_spread_are_means_over_the_sea() -> None:
    analysis, truth = made()
    axis = plot_series(analysis, truth)
    error, spread = (line.get_ydata() for line in axis.lines)
    difference = (analysis["sst"] - truth["sst"])[0]
    np.testing.assert_allclose(error, np.sqrt((difference**2).mean(("lat", "lon"))))
    expected = np.sqrt((analysis["sst_stdev"][0] ** 2).mean(("lat", "lon")))
    np.testing.assert_allclose(spread, expected)
    assert axis.get_ylabel() == "RMS of sst (K)"
    assert axis.get_xlabel() == "time (model units)"
    assert [text.get_text() for text in axis.get_legend().texts] == ["error", "spread"]


def test_without_a_truth_innovations_are_drawn() -> None:
    axis = plot_series(made()[0])
    _, innovation = axis.lines
    np.testing.assert_allclose(innovation.get_ydata(), [0.5, 0.5, 0.5, np.nan])


def test_several_variables_and_dates() -> None:
    days = np.datetime64("2001-02-03", "ns") + np.arange(4) * np.timedelta64(6, "h")
    axes = figure_of_series(*made(variables=("sst", "ssh"), time=days))
    assert [axis.get_ylabel() for axis in axes] == ["RMS of sst (K)", "RMS of ssh (K)"]
    axes[0].figure.canvas.draw()


def test_a_variable_over_time_alone() -> None:
    x = np.array([1.0, 2.0, 4.0])
    data = {"u": 0 * x + 1, "u_innovation": np.nan * x, "u_stdev": 0 * x + 0.5}
    ds = xr.Dataset({name: ("time", values) for name, values in data.items()})
    error, spread = plot_series(ds, xr.Dataset({"u": ("time", x)})).lines
    assert error.get_ydata().tolist() == [0.0, 1.0, 3.0]
    assert spread.get_ydata().tolist() == [0.5, 0.5, 0.5]
    with pytest.raises(InputError, match="no field on a grid of one or two dimensions; choose the"):
        fields_of(ds)


def test_into_given_axes() -> None:
    axis = Figure().subplots()
    assert plot_series(*made(), ax=axis) is axis


def test_times_without_values_have_no_mean() -> None:
    np.testing.assert_allclose(rms(np.array([[3.0, np.nan], [np.nan, np.nan]])), [3.0, np.nan])
    field = replace(fields_of(made()[0])[0], stdev=None, observation=None)
    with pytest.raises(InputError, match="neither the error nor the spread of sst"):
        draw(Figure().subplots(), field)


def test_what_is_unknown_everywhere_is_no_curve() -> None:
    analysis, truth = made()
    unseen = analysis.assign(sst_innovation=np.nan * analysis["sst_innovation"])
    assert [line.get_label() for line in plot_series(unseen).lines] == ["spread"]
    with pytest.raises(InputError, match="neither the error nor the spread of sst is known"):
        plot_series(np.nan * unseen, truth)
    markers = [
        line.get_marker() for line in plot_series(*(ds.isel(time=[1]) for ds in made())).lines
    ]
    assert markers == [".", "."]  # one time makes no line
