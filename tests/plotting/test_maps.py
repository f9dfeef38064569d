"""Maps show the data they are given, on the scales that they say."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from plotting.gridded import LAND, made

from pyvda.errors import InputError
from pyvda.plotting.animation import animate_maps
from pyvda.plotting.maps import plot_map, plot_maps
from pyvda.plotting.style import LAND as GREY
from pyvda.plotting.style import save_figure

pytestmark = pytest.mark.filterwarnings("error")


def panels(axes) -> dict:
    return {axis.get_title(): axis for axis in axes if axis.get_title()}


def shown(axis) -> np.ndarray:
    """Return the field of a map, which is drawn over the land."""
    return np.ma.filled(axis.collections[1].get_array(), np.nan).reshape(LAND.shape)


def test_all_panels_show_their_data() -> None:
    analysis, truth = made()
    axes = plot_maps(analysis, truth)
    figure, found, step = axes[0].figure, panels(axes), 2  # nothing is observed at the last
    assert list(found) == ["truth", "observations", "analysis", "error", "spread"]
    np.testing.assert_array_equal(shown(found["truth"]), truth["sst"][0, step])
    np.testing.assert_array_equal(shown(found["analysis"]), analysis["sst"][0, step])
    np.testing.assert_array_equal(shown(found["error"]), (analysis["sst"] - truth["sst"])[0, step])
    np.testing.assert_array_equal(shown(found["spread"]), analysis["sst_stdev"][0, step])
    observed = (analysis["sst"] + analysis["sst_innovation"])[0, step].values
    dots = found["observations"].collections[2]
    seen = np.isfinite(observed)
    np.testing.assert_array_equal(dots.get_array(), observed[seen])
    y, x = np.nonzero(seen)
    np.testing.assert_allclose(dots.get_offsets(), np.stack([x, 50 + 0.5 * y], 1))
    assert figure._suptitle.get_text() == "time 2"
    spec = {name: axis.get_subplotspec() for name, axis in found.items()}
    rows = {name: one.rowspan.start for name, one in spec.items()}
    assert rows == {"truth": 0, "observations": 0, "analysis": 0, "error": 1, "spread": 1}
    assert figure.get_size_inches()[0] < 6.5  # its labels are readable in a page's column


def test_states_share_a_scale_and_land_is_grey() -> None:
    axes = plot_maps(*made())
    found = panels(axes)
    scales = {found[name].collections[1].get_clim() for name in ("truth", "analysis")}
    scales |= {found["observations"].collections[2].get_clim()}
    assert len(scales) == 1
    low, high = found["error"].collections[1].get_clim()
    assert low == -high
    assert found["spread"].collections[1].get_clim()[0] == 0
    land = found["truth"].collections[0]
    np.testing.assert_array_equal(~np.ma.getmaskarray(land.get_array()).reshape(LAND.shape), LAND)
    assert np.allclose(land.get_cmap()(0)[:3], float(GREY), atol=0.01)
    labels = [axis.get_xlabel() for axis in axes[0].figure.axes]
    assert {"sst (K)", "error (K)", "spread (K)", "lon (°E)"} <= set(labels)
    assert found["truth"].get_ylabel() == "lat (°N)"


def test_a_row_for_each_variable_and_only_what_is_known(tmp_path) -> None:
    analysis, _ = made(variables=("sst", "ssh"))
    axes = plot_maps(analysis.drop_vars("ssh_stdev"), step=0)
    assert list(panels(axes)) == ["observations", "analysis", "spread"]
    assert len(axes) == 5
    figure = axes[0].figure
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert len(visible) == 5 + 3  # maps and colour bars
    save_figure(figure, tmp_path / "a.png", dpi=40)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_one_map_into_given_axes() -> None:
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    values = made()[0]["sst"][0, 1]
    assert plot_map(values, ax=axis) is axis
    np.testing.assert_array_equal(shown(axis), values)
    assert plot_map(values.rename("ssh")).get_xlabel() == "lon (°E)"
    with pytest.raises(InputError, match="a map has two dimensions, found time, lat, lon"):
        plot_map(made()[0]["sst"][0])


def test_a_map_in_a_projection() -> None:
    crs = pytest.importorskip("cartopy.crs")
    from matplotlib.figure import Figure

    axis = Figure().subplots(subplot_kw={"projection": crs.Orthographic(-50, 45)})
    values = made()[0]["sst"][0, 1]
    plot_map(values, ax=axis)
    np.testing.assert_array_equal(shown(axis), values)
    # The corners of the cells lie where the projection has their longitudes and latitudes.
    x, y = axis.projection.transform_point(values.lon[0], values.lat[0], crs.PlateCarree())
    left, right, low, high = axis.get_extent()
    assert left < x < right
    assert low < y < high
    assert right - left > 1e4  # metres, not degrees


def test_what_cannot_be_drawn_is_refused() -> None:
    analysis, truth = made()
    with pytest.raises(InputError, match="no step 9 among the 4"):
        plot_maps(analysis, truth, step=9)
    with pytest.raises(InputError, match=r"step is 1\.5, expected a whole number"):
        plot_maps(analysis, truth, step=1.5)
    axes = [Figure().subplots() for _ in range(5)]
    with pytest.raises(InputError, match="ax has axes of 5 figures, expected those of one"):
        plot_maps(analysis, truth, ax=axes)
    line = analysis.isel(lat=0, drop=True)
    with pytest.raises(InputError, match="sst has one dimension, and a map two"):
        plot_maps(line)


def test_observations_along_tracks_are_those_nearest_to_the_time() -> None:
    analysis, truth = made()
    rows = {
        "sst": ("obs", [1.0, 2.0, 3.0, 4.0]),
        "time": ("obs", [0.2, 0.9, 1.4, 2.6]),
        "lat": ("obs", [50.1, 50.2, 50.3, 50.4]),
        "lon": ("obs", [1.0, 2.5, 3.5, 4.0]),
    }
    tracks = xr.Dataset(rows)
    dots = panels(plot_maps(analysis, truth, observations=tracks, step=1))["observations"]
    np.testing.assert_array_equal(dots.collections[2].get_array(), [2.0, 3.0])
    np.testing.assert_array_equal(dots.collections[2].get_offsets(), [[2.5, 50.2], [3.5, 50.3]])
    assert plot_maps(analysis, observations=tracks)[0].figure._suptitle.get_text() == "time 3"
    moving = animate_maps(analysis, truth, observations=tracks)
    moving._func(0)
    shown = panels(moving._fig.axes)["observations"].collections[2]
    np.testing.assert_array_equal(shown.get_array(), [1.0])
    moving._draw_was_started = True  # it is not to be shown
    with pytest.raises(InputError, match="no time, lat, lon for each datum"):
        plot_maps(analysis, observations=tracks.drop_vars("lon"))
    days = np.datetime64("2001-01-01", "ns") + np.arange(4)
    with pytest.raises(InputError, match="times of type"):
        plot_maps(analysis, observations=tracks.assign(time=("obs", days)))


@pytest.mark.parametrize("dims", [("lat", "lon"), ("lon", "lat")])
def test_one_map_is_as_wide_as_its_cells(dims) -> None:
    values = made()[0]["sst"][0, 0].isel(lat=[2])
    land = xr.DataArray(LAND[[2]], dims=("lat", "lon")).transpose(*dims).values
    axis = plot_map(values.transpose(*dims), land=land)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("lon (°E)", "lat (°N)")
    assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, 7.5), (50.5, 51.5))
    drawn = axis.collections[1].get_array().filled(np.nan).ravel()
    np.testing.assert_array_equal(drawn, np.where(LAND[2], np.nan, values.values[0]))


def test_labels_of_colour_bars_are_above_the_titles_below_them() -> None:
    axes = plot_maps(*made())
    figure = axes[0].figure
    figure.draw_without_rendering()
    (bar,) = (axis for axis in figure.axes if axis.get_xlabel() == "sst (K)")
    lowest = bar.xaxis.label.get_window_extent().y0
    below = max(axis.title.get_window_extent().y1 for axis in axes[-2:])
    assert lowest - below > 0.05 * figure.dpi
