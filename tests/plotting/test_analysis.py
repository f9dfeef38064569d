"""Figures show the data they are given."""

import os
import warnings
import xml.etree.ElementTree

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.plotting.analysis import (
    plot_analysis,
    plot_convergence,
    plot_descent,
    plot_reconstruction,
    plot_window,
    save_figure,
)
from pyvda.plotting.style import drawn_figure
from pyvda.state.windows import analysis_dataset

RNG = np.random.default_rng(5)
pytestmark = pytest.mark.filterwarnings("error")


def made(shape=(5, 24, 3), offset=0.0, history=False, every=4):
    """Return an analysis and its truth."""
    truth = offset + np.sin(np.arange(np.prod(shape), dtype=float)).reshape(shape) * 5.0
    observation = np.full(shape, np.nan)
    observation[:, ::every, 0] = truth[:, ::every, 0] + 0.1
    observed = xr.Dataset(
        {"observation": (names.DIMENSIONS, observation)},
        coords={"time": ("time", 0.01 * np.arange(shape[1]), {"units": "1"})},
    )
    analysis = analysis_dataset(observed, truth + 0.5, {"status": np.arange(shape[0]) % 5})
    if history:
        iterations = np.array([0, 1, 10, 100])
        analysis = analysis.assign_coords(iteration=iterations)
        analysis["history_cost"] = ("iteration", [8.0, 4.0, 2.0, 1.0])
        analysis["history_r_score"] = ("iteration", [9.0, 3.0, 2.0, 1.0])
    return analysis, xr.Dataset({"truth": (names.DIMENSIONS, truth)})


def test_lines_show_truth_observations_and_analysis():
    analysis, truth = made()
    axes = plot_reconstruction(analysis, truth)
    assert axes.shape == (3, 4)
    for row in range(3):
        for column in range(4):
            lines = [np.asarray(line.get_ydata()) for line in axes[row, column].lines]
            np.testing.assert_array_equal(lines[0], truth.truth[column, :, row])
            np.testing.assert_array_equal(lines[1], analysis.analysis[column, :, row])
            assert len(lines) == (3 if row == 0 else 2)  # only the first is observed
    points = np.asarray(axes[0, 2].lines[2].get_ydata())
    np.testing.assert_allclose(points[::4], truth.truth[2, ::4, 0] + 0.1)
    assert np.isnan(points).sum() == 18
    assert [text.get_text() for text in axes[0, 0].figure.legends[0].texts] == [
        "truth",
        "observations",
        "analysis",
    ]
    assert axes[0, 1].get_title() == "window 1, R = 0.25"
    assert axes[0, 2].get_title() == "window 2, no observations, R = 0.25"
    assert axes[2, 0].get_xlabel() == "time (model units)"
    assert axes[1, 0].get_ylabel() == "component 1"


def test_fewer_windows_than_asked_for():
    analysis, _ = made((2, 24, 3))
    assert plot_reconstruction(analysis).shape == (3, 2)
    assert plot_reconstruction(analysis, windows=(1,)).shape == (3, 1)
    with pytest.raises(InputError, match=r"none of the windows \(7,\) is among the 2"):
        plot_reconstruction(analysis, windows=(7,))


def test_maps_share_one_scale_around_zero():
    analysis, truth = made((2, 24, 40))
    images = [axis.images[0] for axis in plot_reconstruction(analysis, truth).flat]
    assert len(images) == 8
    assert len({image.get_clim() for image in images}) == 1
    low, high = images[0].get_clim()
    assert low == -high
    np.testing.assert_array_equal(images[0].get_array(), truth.truth[0].T)
    np.testing.assert_allclose(images[6].get_array(), 0.5)
    # Every fourth step is observed: each datum is drawn four steps wide.
    assert images[2].get_array().shape == (40, 6)
    assert images[2].get_extent()[0] == pytest.approx(-0.02)
    assert images[2].get_extent()[2:] == [-0.5, 39.5]  # components count from 0


def test_maps_far_from_zero_give_errors_their_own_scale():
    analysis, truth = made((2, 24, 40), offset=280.0)
    images = [axis.images[0] for axis in plot_reconstruction(analysis, truth).flat]
    assert images[0].get_clim() == pytest.approx((275.0, 285.0), abs=0.01)
    assert images[-1].get_clim() == pytest.approx((0.0, 0.5))


def test_irregular_observations_keep_their_steps():
    analysis, truth = made((1, 24, 40), every=4)
    analysis.innovation[0, 7, 3] = 0.0
    images = [axis.images[0] for axis in plot_reconstruction(analysis, truth).flat]
    assert images[1].get_array().shape == (40, 24)


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize(
    "time",
    [
        np.datetime64("2001-01-01", "ns") + np.arange(450) * np.timedelta64(6, "h"),
        xr.date_range("2001", periods=450, calendar="noleap", use_cftime=True),
        0.1 * np.arange(450),
        None,
    ],
)
def test_long_series_in_stretches(tmp_path, size, time):
    analysis, truth = (ds.isel(window=0) for ds in made((1, 450, size)))
    analysis = analysis.drop_vars("time") if time is None else analysis.assign_coords(time=time)
    axes = plot_reconstruction(analysis, truth)
    titles = [axis.get_title() for axis in axes[0]]
    assert [title.split(",")[0] for title in titles] == [
        "steps 0 to 199",
        "steps 200 to 399",
        "steps 400 to 449",
    ]
    save_figure(drawn_figure(axes), tmp_path / "a.png", dpi=40)


@pytest.mark.parametrize("size", [3, 40])
def test_diverged_window_does_not_hide_the_others(tmp_path, size):
    analysis, truth = made((3, 24, size))
    analysis.analysis[1] = 1e9
    analysis.analysis[2] = np.nan
    axes = plot_reconstruction(analysis, truth)
    if size == 3:
        low, high = axes[0, 0].get_ylim()
        assert -10 < low < -5
        assert 5 < high < 10
    else:
        assert all(abs(axis.images[0].get_clim()[1]) < 10 for axis in axes.flat)
    save_figure(drawn_figure(axes), tmp_path / "a.png", dpi=40)
    failed = plot_reconstruction(analysis.isel(window=[2]))
    save_figure(drawn_figure(failed), tmp_path / "b.png", dpi=40)


def test_descent():
    analysis, _ = made(history=True)
    cost, error = plot_descent(analysis)
    assert cost.get_xscale() == cost.get_yscale() == error.get_yscale() == "log"
    np.testing.assert_array_equal(cost.lines[0].get_xdata(), [1, 10, 100])
    np.testing.assert_array_equal(cost.lines[0].get_ydata(), [4.0, 2.0, 1.0])
    np.testing.assert_array_equal(cost.lines[1].get_ydata(), [8.0, 8.0])  # the first guess
    np.testing.assert_array_equal(error.lines[0].get_ydata(), [3.0, 2.0, 1.0])
    assert len(plot_descent(analysis.drop_vars("history_r_score"))) == 1
    with pytest.raises(InputError, match="no 'history_cost'"):
        plot_descent(made()[0])


def test_one_component_into_given_axes():
    analysis, truth = made()
    analysis["state_stdev"] = xr.full_like(analysis["analysis"], 0.5)
    axis = Figure().subplots()
    assert plot_window(analysis, truth, window=1, ax=axis) is axis
    true, found = axis.lines[:2]
    np.testing.assert_array_equal(true.get_ydata(), truth["truth"][1, :, 0])
    np.testing.assert_array_equal(found.get_ydata(), analysis["analysis"][1, :, 0])
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(float(analysis["analysis"][1, :, 0].max()) + 1.0)
    said = [text.get_text() for text in axis.get_legend().get_texts()]
    assert said == ["truth", "observations", "analysis", "± 2 standard deviations"]
    axis.figure.canvas.draw()
    legend = axis.get_legend().get_window_extent().transformed(axis.transData.inverted())
    assert legend.y0 > band.max()  # nothing is covered
    assert plot_window(analysis, component=2).get_ylabel() == "component 2"
    with pytest.raises(InputError, match="no component 3 among the 3"):
        plot_window(analysis, component=3)
    with pytest.raises(InputError, match="none of the windows"):
        plot_window(analysis, window=5)


def test_one_quantity_into_given_axes():
    analysis, _ = made(history=True)
    axis = Figure().subplots()
    assert plot_convergence(analysis, quantity="R-score", ax=axis) is axis
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [3.0, 2.0, 1.0])
    assert axis.get_ylabel() == "R-score"
    with pytest.raises(InputError, match="no R-score, but cost"):
        plot_convergence(analysis.drop_vars("history_r_score"), quantity="R-score")


@pytest.mark.parametrize("size", [3, 40])
def test_combined_figure(tmp_path, size):
    with_history, truth = made((2, 24, size), history=True)
    without, _ = made((2, 24, size))
    alone, found = (plot_analysis(ds, truth) for ds in (without, with_history))
    assert alone.shape == found.shape == plot_reconstruction(without, truth).shape
    figure = found[0, 0].figure
    assert isinstance(figure, Figure)  # with savefig, as a SubFigure has not
    assert len(figure.axes) == len(drawn_figure(alone).axes) + 2
    save_figure(figure, tmp_path / "a.png", dpi=40)


def test_variables_of_a_file_have_their_names_and_units():
    truth = pyvda.simulate("lorenz63", windows=1, steps=40, seed=1)
    observed = pyvda.observe(truth, "lorenz63", seed=2)["observation"].isel(window=0, drop=True)
    ds = xr.Dataset({n: observed.isel(state=i, drop=True) for i, n in enumerate(("u", "v", "w"))})
    ds["u"].attrs, ds["v"].attrs = {"units": "m s-1"}, {"units": "1"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        analysis = pyvda.assimilate(
            ds, model="lorenz63", variable="u,v,w", engine="torch", iterations=2
        )
    axes = plot_analysis(analysis)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["u (m s-1)", "v", "w"]
    assert plot_window(analysis, component=0).get_ylabel() == "u (m s-1)"


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_saved_files(tmp_path, kind):
    analysis, truth = made((2, 24, 3))
    for name in ("a", "b"):
        save_figure(drawn_figure(plot_reconstruction(analysis, truth)), tmp_path / f"{name}.{kind}")
    written = (tmp_path / f"a.{kind}").read_bytes()
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert written.startswith(start)
    assert written == (tmp_path / f"b.{kind}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [f"a.{kind}", f"b.{kind}"]
    if kind == "svg":
        xml.etree.ElementTree.fromstring(written)


def test_saving_fails_in_one_sentence(tmp_path):
    figure = drawn_figure(plot_reconstruction(made()[0]))
    with pytest.raises(InputError, match=r"must end in \.png, \.svg or \.pdf"):
        save_figure(figure, tmp_path / "a.jpeg")
    with pytest.raises(InputError, match="missing does not exist"):
        save_figure(figure, tmp_path / "missing" / "a.png")
    assert not list(tmp_path.iterdir())


def test_wrong_files():
    analysis, truth = made()
    with pytest.raises(InputError, match="no variable 'analysis'"):
        plot_reconstruction(truth)
    with pytest.raises(InputError, match="no variable 'truth'"):
        plot_reconstruction(analysis, analysis)
    with pytest.raises(InputError, match="give the truth of the same windows"):
        plot_reconstruction(analysis, truth.isel(window=slice(2)))
