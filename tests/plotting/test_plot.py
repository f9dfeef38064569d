"""`pyvda.plot` draws what the function of each kind draws, and refuses what has no effect."""

import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from plotting.gridded import made

import pyvda
from pyvda.errors import InputError
from pyvda.plotting.hovmoller import figure_of_hovmoller
from pyvda.plotting.maps import plot_maps
from pyvda.plotting.plot import KINDS
from pyvda.plotting.rank_histogram import plot_rank_histogram
from pyvda.plotting.series import figure_of_series
from pyvda.plotting.spectra import plot_spectra
from pyvda.plotting.style import drawn_figure


def pixels(axes) -> np.ndarray:
    canvas = FigureCanvasAgg(drawn_figure(axes))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda a, t: plot_maps(a, t)),
        ({"kind": "maps", "step": 1}, lambda a, t: plot_maps(a, t, step=1)),
        ({"kind": "series", "window": 1}, lambda a, t: figure_of_series(a, t, window=1)),
        ({"kind": "spectra"}, lambda a, t: plot_spectra(a, t)),
        ({"kind": "rank-histogram"}, lambda a, t: plot_rank_histogram(a, t)),
        ({"kind": "hovmoller", "row": 2}, lambda a, t: figure_of_hovmoller(a, t, at=2)),
    ],
)
def test_each_kind_is_its_function(options, expected) -> None:
    analysis, truth = made(windows=2, land=np.zeros((6, 8), bool))
    found = pyvda.plot(analysis, truth, **options)
    np.testing.assert_array_equal(pixels(found), pixels(expected(analysis, truth)))


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"kind": "series"}, ["RMS of sst (K)", "RMS of ssh (K)"]),
        ({"kind": "series", "variables": ["ssh"]}, ["RMS of ssh (K)"]),
        ({"kind": "spectra"}, ["variance of a mode of sst (K)²"]),
        ({"kind": "rank-histogram"}, ["density"]),
        ({"kind": "hovmoller"}, ["time (model units) at lat (°N) = 51.5", "", ""]),
        ({"kind": "maps"}, 2 * ["lat (°N)", "", "", "", ""]),
    ],
)
def test_the_axes_of_all_panels_are_returned_in_order(options, labels) -> None:
    analysis, truth = made(variables=("sst", "ssh"), land=np.zeros((6, 8), bool))
    found = pyvda.plot(analysis, truth, **options)
    assert isinstance(found, Axes) == (len(labels) == 1)
    assert [axis.get_ylabel() for axis in np.ravel(found)] == labels


def test_an_animation_has_a_frame_for_each_time() -> None:
    analysis, truth = made()
    animation = pyvda.plot(analysis, truth, kind="animation")
    assert isinstance(animation, FuncAnimation)
    assert len(list(animation.new_frame_seq())) == analysis.sizes["time"]
    animation._draw_was_started = True  # one that is never drawn warns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "map"}, "expected one of windows, maps"),
        ({"kind": "descent", "truth": made()[1]}, r"truth .*no effect on the kind descent"),
        ({"kind": "rank-histogram", "window": 1}, r"window .*no effect .* maps or series"),
        ({"kind": "rank-histogram"}, "--truth"),
        ({"kind": "descent"}, "history_cost"),
        ({"row": 1}, r"row .*no effect on the kind maps.* hovmoller"),
        ({"kind": "windows", "step": 0}, r"step .*no effect on the kind windows"),
    ],
)
def test_what_has_no_effect_is_refused(options, message) -> None:
    assert "windows" in KINDS
    with pytest.raises(InputError, match=message):
        pyvda.plot(made()[0], **options)


def data_of(axis) -> list[np.ndarray]:
    lines = [np.asarray(line.get_xydata(), float) for line in axis.lines]
    meshes = [np.ma.filled(np.ma.masked_invalid(c.get_array()), -9.0) for c in axis.collections]
    return [*lines, *meshes, *(np.array([patch.get_height()]) for patch in axis.patches)]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 5), ({"kind": "series"}, 1), ({"kind": "spectra"}, 1), ({"kind": "hovmoller"}, 3),
        ({"kind": "rank-histogram"}, 1),
    ],
)  # fmt: skip
def test_panels_are_drawn_into_given_axes(options, count) -> None:
    analysis, truth = made(land=np.zeros((6, 8), bool))
    own = np.ravel(pyvda.plot(analysis, truth, **options))
    figure = Figure()
    axes = figure.subplots(1, count)
    assert pyvda.plot(analysis, truth, ax=axes, **options) is axes
    for given, alone in zip(np.ravel(axes), own, strict=True):
        for found, known in zip(data_of(given), data_of(alone), strict=True):
            np.testing.assert_array_equal(found, known)
        assert given.get_xlabel()
    wrong = figure.subplots(1, count + 1)
    with pytest.raises(InputError, match=rf"ax has {count + 1} axes, and the figure (one|{count})"):
        pyvda.plot(analysis, truth, ax=wrong, **options)


def test_windows_and_their_descent_are_drawn_into_given_axes() -> None:
    truth = pyvda.simulate("lorenz63", 2, 1, steps=20, engine="torch")
    analysis = pyvda.assimilate(
        pyvda.observe(truth, "lorenz63", 2), model="lorenz63", engine="torch", iterations=3
    )
    alone = analysis.vda.plot(truth, windows=[0, 1])
    assert alone.shape == (3, 2)
    assert len(drawn_figure(alone).axes) > 6  # with the descent
    axes = Figure().subplots(3, 2)
    assert analysis.vda.plot(truth, windows=[0, 1], ax=axes) is axes
    assert [axis.get_title()[:8] for axis in axes[0]] == ["window 0", "window 1"]
    assert axes[0, 0].get_legend() is not None
    assert all(len(axis.lines) >= 2 for axis in axes.flat)
    one = Figure().subplots()
    assert pyvda.plot(analysis, kind="descent", ax=one) is one
    assert pyvda.plot(analysis, kind="descent").get_ylabel() == "cost"  # a single panel
    assert len(one.lines) >= 1
    with pytest.raises(InputError, match="no effect on the kind animation"):
        pyvda.plot(made()[0], kind="animation", ax=one)


@pytest.mark.parametrize("wrong", [[], "left", [None]])
def test_what_is_no_axes_is_refused(wrong) -> None:
    with pytest.raises(InputError, match="expected an Axes or an array of Axes"):
        pyvda.plot(*made(), ax=wrong)


def test_fields_without_a_model_are_not_windows() -> None:
    with pytest.raises(InputError, match="drawn as maps; choose another kind"):
        pyvda.plot(made()[0], kind="windows")


def test_a_forecast_is_drawn_as_such() -> None:
    truth = pyvda.simulate("lorenz63", 1, 1, steps=20)
    analysis = pyvda.assimilate(pyvda.observe(truth, "lorenz63", 2), method="strong-constraint")
    forecast = pyvda.forecast(analysis, 5)
    axes = pyvda.plot(forecast)
    line = axes[1, 0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), forecast["forecast"][0, :, 1])
    np.testing.assert_array_equal(line.get_xdata(), forecast["time"])
    legend = [text.get_text() for text in axes[0, 0].figure.legends[0].get_texts()]
    assert legend == ["forecast", "± 2 standard deviations"]
    assert pyvda.plot(forecast, kind="series").lines[0].get_label() == "spread"


def test_a_forecast_of_a_field_is_a_map_on_its_grid() -> None:
    model = pyvda.get_model("qg", n=17)
    truth = pyvda.simulate(model, 1, 1, steps=4)
    analysis = pyvda.assimilate(
        pyvda.observe(truth, "qg-tracks", 2), model=model, method="letkf", members=5
    )
    forecast = analysis.isel(window=0).vda.forecast(2, model=model)
    axes = np.ravel(pyvda.plot(forecast))
    assert [axis.get_title() for axis in axes] == ["forecast", "spread"]
    drawn = axes[0].collections[1].get_array().filled(np.nan).reshape(17, 17)
    np.testing.assert_array_equal(drawn, forecast["psi"][-1])
    assert axes[0].get_xlim() == pytest.approx((-1 / 32, 1 + 1 / 32))
