"""`pyvda.plot` draws what the function of each kind draws, and refuses what has no effect."""

import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from plotting.gridded import made

import pyvda
from pyvda.errors import InputError
from pyvda.plotting.hovmoller import figure_of_hovmoller
from pyvda.plotting.maps import plot_maps
from pyvda.plotting.plot import KINDS
from pyvda.plotting.rank_histogram import plot_rank_histogram
from pyvda.plotting.series import figure_of_series
from pyvda.plotting.spectra import plot_spectra


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda a, t: plot_maps(a, t)),
        ({"kind": "maps", "step": 1}, lambda a, t: plot_maps(a, t, step=1)),
        ({"kind": "series", "window": 1}, lambda a, t: figure_of_series(a, t, window=1)),
        ({"kind": "spectra"}, lambda a, t: plot_spectra(a, t).figure),
        ({"kind": "rank-histogram"}, lambda a, t: plot_rank_histogram(a, t).figure),
        ({"kind": "hovmoller", "row": 2}, lambda a, t: figure_of_hovmoller(a, t, at=2)),
    ],
)
def test_each_kind_is_its_function(options, expected) -> None:
    analysis, truth = made(windows=2, land=np.zeros((6, 8), bool))
    found = pyvda.plot(analysis, truth, **options)
    np.testing.assert_array_equal(pixels(found), pixels(expected(analysis, truth)))


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
