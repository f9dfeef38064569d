"""Excerpts of an analysis that are drawn: titles, times, observations, what is left out."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from pyvda.errors import InputError
from pyvda.plotting.window_axes import draw, excerpts_of, figure_size, without_gaps


def analysis(shape: tuple[int, ...] = (3, 8, 2), **coords: object) -> tuple[xr.Dataset, xr.Dataset]:
    dims = ("window", "time", "state")[-len(shape) :]
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((2, *shape))
    y = np.where(rng.random(shape) < 0.5, truth, np.nan)
    ds = xr.Dataset({"analysis": (dims, x), "innovation": (dims, y - x)}, coords)
    return ds, xr.Dataset({"truth": (dims, truth)}, coords)


def test_a_window_with_its_truth() -> None:
    ds, truth = analysis()
    first, last = excerpts_of(ds, truth, (0, 2, 7))
    np.testing.assert_array_equal(last.analysis, ds["analysis"][2])
    np.testing.assert_array_equal(last.truth, truth["truth"][2])
    observed = (ds["analysis"] + ds["innovation"])[0].values
    np.testing.assert_allclose(first.observation, observed)
    error = float(((ds["analysis"] - truth["truth"])[0] ** 2).mean())
    assert first.title == f"window 0, R = {error:.3g}"
    assert first.time.tolist() == list(range(8))
    assert excerpts_of(ds, None, (1,))[0].title == "window 1"


def test_windows_in_trouble_say_so() -> None:
    ds, _ = analysis()
    ds["status"] = ("window", [1, 3, 2])
    titles = [excerpt.title for excerpt in excerpts_of(ds, None, (0, 1, 2))]
    assert titles == ["window 0", "window 1, diverged", "window 2, no observations"]


def test_a_series_is_drawn_in_stretches() -> None:
    ds, _ = analysis((900, 2), time=0.1 * np.arange(900))
    found = excerpts_of(ds, None, range(100))
    assert np.concatenate([e.analysis for e in found]).shape == (900, 2)
    steps = [int(word) for word in found[1].title.split() if word.isdigit()]
    assert steps[1] - steps[0] + 1 == len(found[1].analysis)
    np.testing.assert_allclose(found[1].time, 0.1 * np.arange(steps[0], steps[1] + 1))


def test_what_cannot_be_drawn_is_refused() -> None:
    ds, truth = analysis()
    with pytest.raises(InputError, match=r"none of the windows \(5, 6\) is among the 3"):
        excerpts_of(ds, None, (5, 6))
    with pytest.raises(InputError, match="no variable 'analysis'"):
        excerpts_of(truth, None, (0,))
    with pytest.raises(InputError, match=r"windows is '0,1', expected numbers .* \[0, 1\]"):
        excerpts_of(ds, None, "0,1")
    with pytest.raises(
        InputError, match=r"dimensions window, state, expected .* isel\(time=\[0\]\)"
    ):
        excerpts_of(ds.isel(time=0), None, (0,))
    with pytest.raises(InputError, match="no variable 'truth'"):
        excerpts_of(ds, truth.rename(truth="x"), (0,))


def test_sizes_grow_with_what_is_drawn() -> None:
    few, _ = analysis()
    many, truth = analysis((3, 8, 40))
    widths = [figure_size(excerpts_of(few, None, range(n)))[0] for n in (1, 2, 3)]
    assert widths[0] > 3.3  # the legend's entries have a place
    assert widths[1] - widths[0] < widths[2] - widths[1]
    lines = figure_size(excerpts_of(few, None, (0,)))[1]
    maps = figure_size(excerpts_of(many, None, (0,)))[1]
    assert maps < 40 * lines / 2  # a map for all components, not a row for each
    assert figure_size(excerpts_of(many, truth, (0,)))[1] > maps


def test_regular_observations_fill_their_gaps() -> None:
    time, values = np.arange(10.0), np.full((10, 2), np.nan)
    values[1::4, 0] = 1.0
    assert without_gaps(time, values)[0].tolist() == [1, 5, 9]
    values[3, 1] = 1.0
    assert without_gaps(time, values)[0].tolist() == [1, 3, 5, 7, 9]
    values[4, 1] = 1.0
    assert without_gaps(time, values)[0].tolist() == time.tolist()
    assert without_gaps(time, np.full((10, 2), np.nan))[0].tolist() == time.tolist()


def test_bands_error_bars_and_joints() -> None:
    ds, _ = analysis((30, 2), time=0.1 * np.arange(30))
    ds["state_stdev"] = ("time", "state"), 0.5 + 0 * ds["analysis"].values
    ds = ds.assign_coords(window_number=("time", np.repeat([0, 1, 2], 10)))
    ds.attrs["observation_error_variance"] = 4.0
    (excerpt,) = excerpts_of(ds, None, (0,))
    assert excerpt.observation_stdev == 2.0
    np.testing.assert_allclose(excerpt.joints, [1.0, 2.0])
    upper = Figure().subplots()
    draw(upper.figure, [excerpt], ds)
    axis = upper.figure.axes[1]
    band, bars = axis.collections
    top = band.get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(float(ds["analysis"][:, 0].max()) + 1.0)
    lengths = [float(np.ptp(path.vertices[:, 1])) for path in bars.get_paths()]
    lengths = [length for length in lengths if np.isfinite(length)]
    np.testing.assert_allclose(lengths, 4.0)
    assert len(lengths) == int(ds["innovation"][:, 0].notnull().sum())
    joints = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in joints] == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ('{"options": {"observation_variance": 9.0}}', 3.0),  # before what the file states
        ('{"options": {"observation_variance": null}}', 2.0),
        ('{"options": []}', 2.0),
        ("of another program", 2.0),
    ],
)
def test_error_bars_are_those_of_the_option_or_the_file(configuration, expected) -> None:
    ds, _ = analysis()
    ds.attrs.update(observation_error_variance=4.0, pyvda_configuration=configuration)
    assert excerpts_of(ds, None, (0,))[0].observation_stdev == expected


def test_what_was_not_observed_or_lies_on_land_is_left_out() -> None:
    ds, truth = analysis()
    (found,) = excerpts_of(ds.drop_vars("innovation"), None, 1)
    assert np.isnan(found.observation).all()
    on_land = ds.copy(deep=True)
    on_land["analysis"][:, :, 1] = np.nan
    error = float(((ds["analysis"] - truth["truth"])[0, :, 0] ** 2).mean())
    assert excerpts_of(on_land, truth, 0)[0].title == f"window 0, R = {error:.3g}"
    on_land["analysis"][:] = np.nan
    assert excerpts_of(on_land, truth, 0)[0].title == "window 0"


def test_one_step_is_drawn_by_markers() -> None:
    ds, truth = analysis()
    axes = draw(Figure(), excerpts_of(ds.isel(time=[3]), truth.isel(time=[3]), 0), ds)
    assert all(line.get_marker() == "_" for line in axes[0, 0].lines[:2])
