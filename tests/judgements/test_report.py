"""The report on a file, on innovations with known faults."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import pyvda
from pyvda import names
from pyvda.io.cf import layout
from pyvda.judgements.report import ATTRIBUTE, report_on, with_report
from pyvda.names import Doubt, Status

WINDOWS, STEPS = 64, 25


def analysed(d: np.ndarray, fit: np.ndarray | None = None) -> xr.Dataset:
    """Return an analysis with innovations d (W, T, D) of unit variance."""
    per_window: dict[str, Any] = {
        names.STATUS: np.zeros(len(d), np.int8),
        names.DOUBTS: np.zeros(len(d), np.int16),
        names.FIT: (d**2).mean((1, 2)) if fit is None else fit,
        names.OBJECTIVE: np.ones(len(d)),
    }
    data = {name: (names.WINDOW, values) for name, values in per_window.items()}
    return xr.Dataset({names.INNOVATION: (names.DIMENSIONS, d), **data})


def white(seed: int, windows: int = WINDOWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((windows, STEPS, 1))


def test_independent_errors_of_the_stated_size_make_no_finding() -> None:
    assert not any(report_on(analysed(white(seed))).findings for seed in range(200))


def test_interval_of_the_fit_is_that_of_a_mean() -> None:
    d = white(0)
    fit = report_on(analysed(d)).fit
    each = (d**2).mean((1, 2))
    assert fit is not None
    assert fit.mean == pytest.approx(each.mean())
    assert fit.high - fit.mean == pytest.approx(
        scipy.stats.t.ppf(0.975, 63) * scipy.stats.sem(each)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda d: 1.25 * d, "not as stated", id="errors-larger"),
        pytest.param(
            lambda d: d / 2, "overstated; see observation_variance and model_error",
            id="errors-smaller",
        ),
        pytest.param(lambda d: d + 0.5, "biased", id="bias"),
        pytest.param(
            lambda d: np.where(np.arange(d.size).reshape(d.shape) % 20 == 0, 5.0, d),
            "gross errors", id="gross-errors",
        ),
        pytest.param(
            lambda d: (d + np.roll(d, 1, 1)) / np.sqrt(2), "correlation", id="correlation"
        ),
    ],
)  # fmt: skip
def test_a_fault_of_all_windows_is_named_and_doubts_them(change: Any, said: str) -> None:
    found = with_report(analysed(change(white(1))))
    assert said in found.attrs[ATTRIBUTE]
    assert (found[names.STATUS] == Status.DOUBTFUL).all()
    assert (found[names.DOUBTS] & int(Doubt.WHOLE_FILE) > 0).all()


def test_the_fit_of_members_must_differ_by_more() -> None:
    d = white(8, 800)
    for factor, doubtful in ((1.08, [True, False]), (1.2, [True, True]), (0.8, [True, True])):
        minimum = analysed(np.sqrt(factor) * d)
        members = minimum.assign({names.MISFIT: minimum[names.FIT]})
        assert [bool(report_on(one).findings) for one in (minimum, members)] == doubtful


def test_innovations_of_an_uneven_spread_are_not_taken_for_gross_errors() -> None:
    """Their variance is R - σ², with R = 1: 0.04 in three quarters of the windows."""
    d = white(6)
    square = np.where(np.arange(WINDOWS) % 4, 0.96, 0.0)[:, None, None]
    stdev = np.broadcast_to(np.sqrt(square), d.shape)
    d = d * np.sqrt(1 - square)
    plain = analysed(d, np.random.default_rng(9).chisquare(5, WINDOWS) / 5)
    assert "gross errors" in str(report_on(plain))
    stated = plain.assign({names.STATE_STDEV: (names.DIMENSIONS, stdev)})
    assert not report_on(stated).findings
    series = stated.stack(steps=("window", "time")).drop_vars(["window", "time", "steps"])
    series = series.rename(steps="time").transpose("time", "state")
    whole = {name: plain[name] for name in (names.STATUS, names.DOUBTS, names.FIT)}
    assert not report_on(series.assign(whole)).findings
    gross = np.where(np.random.default_rng(7).random(d.shape) < 0.03, 5.0, d)
    found = report_on(stated.assign({names.INNOVATION: (names.DIMENSIONS, gross)}))
    assert "gross errors" in str(found)


def test_innovations_at_a_few_steps_of_a_large_spread_are_no_gross_errors() -> None:
    """The first of nine steps has σ² = 0.98 R, as a filter's whose background is wide."""
    random = np.random.default_rng(12)
    square = np.full((64, 9, 1), 0.5)
    square[:, 0] = 0.98
    d = random.standard_normal(square.shape) * np.sqrt(1 - square)
    fit = (d**2 / (1 - square)).mean((1, 2))
    spread = np.sqrt(square) * random.uniform(0.97, 1.0, square.shape)
    stated = analysed(d, fit).assign({names.STATE_STDEV: (names.DIMENSIONS, spread)})
    assert not report_on(stated).findings
    assert report_on(stated).outliers == pytest.approx(0.0027, abs=0.006)


def test_right_errors_that_differ_from_datum_to_datum_are_no_gross_errors() -> None:
    random = np.random.default_rng(10)
    size = np.exp(random.uniform(-2, 1.5, (WINDOWS, STEPS, 1)))
    for members in (False, True):
        d = random.standard_normal(size.shape)
        right = analysed(size * d, (d**2).mean((1, 2)))
        bad = np.where(random.random(d.shape) < 0.1, 5.0, d)  # of R that is overstated
        wrong = analysed(size * bad, (bad**2).mean((1, 2)) / (bad**2).mean())
        if members:
            right, wrong = (one.assign({names.MISFIT: one[names.FIT]}) for one in (right, wrong))
        found = report_on(right)
        assert found.outliers is not None
        assert found.outliers > 0.1
        assert not found.findings
        assert "gross errors" in str(report_on(wrong))


@pytest.mark.parametrize("kind", ["points", "channels"])
def test_innovations_that_are_not_of_components_are_judged_as_well(kind: str) -> None:
    name, dims, label = {
        "points": (names.POINT_INNOVATION, (names.WINDOW, names.DATUM), "the data at points"),
        "channels": (
            names.CHANNEL_INNOVATION, (names.WINDOW, names.TIME, names.CHANNEL), "channel 1",
        ),
    }[kind]  # fmt: skip
    random = np.random.default_rng(11)
    d = random.standard_normal((WINDOWS, STEPS, 3)[: len(dims)])
    empty = np.full((WINDOWS, STEPS, 1), np.nan)

    def analyses(values: np.ndarray) -> list[xr.Dataset]:
        """Return windows, and a series of them."""
        found = analysed(empty, np.full(WINDOWS, np.nan))
        of_series = found.drop_vars(names.INNOVATION)
        of_series[names.INNOVATION] = ((names.TIME, names.STATE), empty.reshape(-1, 1))
        starts = {names.WINDOW_START: (names.WINDOW, STEPS * np.arange(WINDOWS))}
        of_series = of_series.assign_coords(starts)
        joined = (dims, values) if kind == "points" else (dims[1:], values.reshape(-1, 3))
        return [found.assign({name: (dims, values)}), of_series.assign({name: joined})]

    biased = d + (0.4 if kind == "points" else np.array([0.0, 0.4, 0.0]))
    uneven = np.where(random.random(d.shape) < 0.1, 5 * d, d)  # R - σ² is
    assert not any(report_on(one).findings for one in analyses(uneven))
    for one in analyses(biased):
        (said,) = report_on(one).findings
        assert f"innovations of {label} have the mean" in said


def test_windows_of_an_unknown_fit_that_cannot_be_fitted_doubt_the_others() -> None:
    analysis = analysed(white(2), np.full(WINDOWS, np.nan))
    analysis[names.DOUBTS][:20] = np.int16(Doubt.MISFIT_LARGE)
    found = with_report(analysis)
    assert "20 of 64 windows cannot be fitted" in found.attrs[ATTRIBUTE]
    assert (found[names.STATUS] == Status.DOUBTFUL).all()


def test_windows_without_an_analysis_keep_their_status() -> None:
    analysis = analysed(white(1) / 2)
    analysis[names.STATUS][:2] = [Status.DIVERGED, Status.NO_OBSERVATIONS]
    found = with_report(analysis)
    assert found[names.STATUS].values[:3].tolist() == [3, 2, 4]
    assert found[names.STATUS].dtype == np.int8


def test_many_windows_that_do_not_fit_doubt_the_others() -> None:
    analysis = analysed(white(2))
    analysis[names.DOUBTS][:20] = np.int16(Doubt.MISFIT_LARGE)
    assert "20 of 64 windows" in with_report(analysis).attrs[ATTRIBUTE]


def test_innovations_of_an_analysis_that_is_not_the_posterior_make_no_finding() -> None:
    """With `spread`, only the fit, which is that of the posterior, says what is wrong."""
    analysis = analysed(1.0 + white(5), np.random.default_rng(6).chisquare(STEPS, WINDOWS) / STEPS)
    assert "biased" in str(report_on(analysis))
    assert not report_on(analysis.drop_vars(names.OBJECTIVE)).findings
    wrong = analysis.drop_vars(names.OBJECTIVE).assign({names.FIT: 1.3 * analysis[names.FIT]})
    assert "the misfit is" in str(report_on(wrong))


def test_without_stated_errors_windows_are_counted_only() -> None:
    report = report_on(analysed(white(3) * 9, np.full(WINDOWS, np.nan)))
    assert (report.windows, report.status, report.findings) == (WINDOWS, {"converged": 64}, ())
    assert report.fit is None


def test_few_data_say_nothing_of_the_errors() -> None:
    assert report_on(analysed(white(5)[:, :7] / 3)).fit is None


def test_one_window_has_the_interval_of_its_data() -> None:
    fit = report_on(analysed(white(4, 1))).fit
    assert fit is not None
    assert fit.high - fit.low == pytest.approx(2 * 1.96 * np.sqrt(2 / STEPS))


def overlapping(seed: int, every: int, length: int = 100, steps: int = 3200) -> xr.Dataset:
    """Return an analysis of a series in windows that start `every` few steps."""
    d = np.random.default_rng(seed).standard_normal(steps)
    starts = np.arange(0, steps - length + 1, every)
    fit = np.array([(d[first : first + length] ** 2).mean() for first in starts])
    analysis = analysed(np.zeros((len(starts), 1, 1)), fit).drop_vars(names.INNOVATION)
    analysis[names.INNOVATION] = ((names.TIME, names.STATE), d[:, None])
    return analysis.assign_coords({names.WINDOW_START: (names.WINDOW, starts)})


@pytest.mark.parametrize("every", [100, 10])
def test_windows_that_overlap_are_worth_those_that_cover_the_series_once(every: int) -> None:
    fits = [report_on(overlapping(seed, every)).fit for seed in range(200)]
    covered = [fit is not None and fit.low < 1 < fit.high for fit in fits]
    assert 0.9 < np.mean(covered) < 0.99


@pytest.mark.parametrize(("every", "finding"), [(100, True), (10, False)])
def test_a_few_bad_data_in_many_windows_are_one_fault(every: int, finding: bool) -> None:
    """Twelve windows do not fit: where they overlap, because of the same data."""
    analysis = overlapping(0, every, steps=6400 * every // 100 + 100)
    analysis[names.DOUBTS][20:32] = np.int16(Doubt.MISFIT_LARGE)
    assert bool(report_on(analysis).findings) == finding


def sparse(seed: int) -> np.ndarray:
    """Return innovations of unit variance at a hundred random points of 65 x 65 at each step."""
    rng = np.random.default_rng(seed)
    d = np.full((8, 20, 65**2), np.nan)
    inside = np.arange(65**2).reshape(65, 65)[1:-1, 1:-1].ravel()
    for step in d.reshape(-1, 65**2):
        step[rng.choice(inside, 100, replace=False)] = rng.standard_normal(100)
    return d


def ocean(d: np.ndarray) -> xr.Dataset:
    """Return an analysis of the ocean's stream function, as a file has it."""
    analysis = analysed(d, np.nanmean(d**2, (1, 2)))
    analysis[names.ANALYSIS] = (names.DIMENSIONS, np.zeros_like(d))
    analysis[names.OBSERVATION] = (names.DIMENSIONS, d)
    found = layout.of_model(analysis, pyvda.get_model("quasi-geostrophic", n=65))
    return layout.restored(found.drop_vars(names.OBSERVATION))


def test_points_of_a_field_with_few_data_each_make_no_finding() -> None:
    reports = [report_on(ocean(sparse(seed))) for seed in range(10)]
    assert not any(report.findings for report in reports)
    assert all(list(report.bias) == ["psi"] for report in reports)


def test_a_fault_of_a_field_with_few_data_at_each_point_is_named() -> None:
    d = sparse(1)
    assert "innovations of psi" in report_on(ocean(d + 0.2)).findings[0]
    gross = np.where(np.random.default_rng(0).random(d.shape) < 0.03, 8.0, 1.0)
    assert any("gross errors" in one for one in report_on(ocean(d * gross)).findings)
