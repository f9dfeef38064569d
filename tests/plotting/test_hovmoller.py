"""Fields over time and one dimension."""

import numpy as np
import pytest
import xarray as xr
from plotting.gridded import LAND, made

from pyvda.errors import InputError
from pyvda.plotting.hovmoller import figure_of_hovmoller, plot_hovmoller

pytestmark = pytest.mark.filterwarnings("error")


def shown(axis) -> np.ndarray:
    return np.ma.filled(axis.collections[0].get_array(), np.nan).reshape(4, -1)


def test_panels_show_a_row_over_time() -> None:
    analysis, truth = made()
    axes = figure_of_hovmoller(analysis, truth, at=2)
    found = {axis.get_title(): axis for axis in axes}
    assert list(found) == ["truth", "analysis", "error"]
    np.testing.assert_array_equal(shown(found["truth"]), truth["sst"][0, :, 2])
    np.testing.assert_array_equal(shown(found["error"]), (analysis["sst"] - truth["sst"])[0, :, 2])
    assert np.isnan(shown(found["truth"])).all(0).tolist() == LAND[2].tolist()
    assert found["truth"].get_ylabel() == "time (model units) at lat (°N) = 51"
    assert found["truth"].get_xlabel() == "lon (°E)"
    scale = found["truth"].collections[0].get_clim()
    assert scale == found["analysis"].collections[0].get_clim()


def test_the_middle_row_and_other_quantities() -> None:
    from matplotlib.figure import Figure

    analysis, truth = made()
    axis = Figure().subplots()
    assert plot_hovmoller(analysis, truth, quantity="spread", ax=axis) is axis
    np.testing.assert_array_equal(shown(axis), analysis["sst_stdev"][0, :, 3])


def test_vectors_and_dates() -> None:
    time = np.datetime64("2001-02-03", "ns") + np.arange(4) * np.timedelta64(6, "h")
    x = np.random.default_rng(1).normal(size=(4, 40))
    dims = ("time", "state")
    analysis = xr.Dataset({"analysis": (dims, x), "innovation": (dims, x)}, {"time": time})
    axis = plot_hovmoller(analysis)
    np.testing.assert_array_equal(shown(axis), x)
    assert axis.get_xlabel() == "component"
    axis.figure.canvas.draw()
    with pytest.raises(InputError, match="has one dimension, of which all is drawn"):
        plot_hovmoller(analysis, at=1)


def test_what_cannot_be_drawn_is_refused() -> None:
    analysis, truth = made()
    with pytest.raises(InputError, match="no row 9 among the 6 of sst"):
        plot_hovmoller(analysis, truth, at=9)
    with pytest.raises(InputError, match="the error of sst is not known, but analysis, spread"):
        plot_hovmoller(analysis, quantity="error")
    with pytest.raises(InputError, match=r"sst has one point, .*\(--kind series\)"):
        plot_hovmoller(analysis.isel(lon=[0]))
    with pytest.raises(InputError, match=r"row .* is 1\.5, expected a whole number"):
        plot_hovmoller(analysis, at=1.5)
    with pytest.raises(InputError, match="one time"):
        plot_hovmoller(analysis.isel(time=[0]))
