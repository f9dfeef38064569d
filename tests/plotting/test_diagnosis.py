"""The figure of a diagnosis: its panels show the numbers of the report."""

import numpy as np
import pytest
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.names import Doubt
from pyvda.plotting.diagnosis import plot_diagnosis


def analysed(fit: float = 1.0) -> xr.Dataset:
    d = np.random.default_rng(0).standard_normal((20, 25, 2))
    d[:, ::2] = np.nan
    doubts = np.zeros(20, np.int16)
    doubts[:3] = Doubt.MISFIT_SMALL
    per_window = {
        names.STATUS: np.zeros(20, np.int8), names.DOUBTS: doubts, names.FIT: np.full(20, fit)
    }  # fmt: skip
    data = {name: (names.WINDOW, values) for name, values in per_window.items()}
    return xr.Dataset({names.INNOVATION: (names.DIMENSIONS, d), **data})


def test_panels_show_fit_innovations_mean_and_doubts() -> None:
    fit, innovations, mean, doubts = plot_diagnosis(analysed()).axes
    assert sum(bar.get_height() for bar in fit.patches) == 20
    assert sum(b.get_height() * b.get_width() for b in innovations.patches) == pytest.approx(1)
    steps = mean.lines[0].get_xdata()
    np.testing.assert_array_equal(steps, np.arange(1, 25, 2))
    assert [label.get_text() for label in doubts.get_yticklabels()] == ["misfit small"]
    assert doubts.patches[0].get_width() == 3


def test_without_a_known_fit_there_is_no_histogram() -> None:
    assert not plot_diagnosis(analysed(np.nan)).axes[0].patches


def test_an_analysis_without_data_is_refused() -> None:
    empty = analysed()
    empty[names.INNOVATION][:] = np.nan
    with pytest.raises(InputError, match="no innovation"):
        plot_diagnosis(empty)
