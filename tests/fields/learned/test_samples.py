"""Samples: nothing that is compared with is seen."""

from dataclasses import replace

import numpy as np
import pytest
from field_models import configuration
from gappy import field, tracks

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields.learned.configuration import FieldSource
from pyvda.fields.learned.frames import Span
from pyvda.fields.learned.guesses import CHANNELS
from pyvda.fields.learned.samples import Samples
from pyvda.fields.local_variance import LocalVariance
from pyvda.fields.mean import seasonal_mean

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def samples(tmp_path, ds, truth=None, half=1, stacked=False, **more):
    if not (tmp_path / "obs.nc").exists():
        ds.to_netcdf(tmp_path / "obs.nc")
    section = configuration(tmp_path / "obs.nc")["field"] | more
    if truth is not None:
        truth.to_netcdf(tmp_path / "truth.nc")
        section["truth"] = str(tmp_path / "truth.nc")
    return Samples(FieldSource(**section), half, get_engine("torch"), stacked=stacked)


def test_what_is_compared_with_is_not_seen(tmp_path) -> None:
    made = samples(tmp_path, field(times=12, seed=4)[0])
    values = made.series["sst"].values
    found = made.epoch(0)
    assert found
    for one in found:
        _, mask, *_ = one.inputs()
        known = np.isfinite(one.target[0])
        assert known.any()
        assert not mask[0, 1][known].any()
        # The target is the departure from the mean of the others.
        t, p = np.full(known.sum(), one.time), made._frames.index[known]
        mean = made.series["sst"].mean.without_own(made.field.days[t], p, values[t, p])
        scale = made.series["sst"].scale
        np.testing.assert_allclose(one.target[0][known] * scale, values[t, p] - mean, atol=1e-5)


@pytest.mark.parametrize("stacked", [False, True])
def test_inputs_are_those_of_a_file_without_what_is_hidden(stacked, tmp_path) -> None:
    """The mean, too, is one without it, up to the season of the whole field."""
    made = samples(tmp_path, field(times=12, seed=4)[0], stacked=stacked)
    one = made.epoch(0)[0]
    series, days = made.series["sst"], made.field.days
    hidden = made._frames.index[np.isfinite(one.target[0])]
    left, target = series.values.copy(), np.full(series.values.shape, np.nan)
    left[one.time, hidden] = np.nan
    target[one.time, hidden] = 0.0
    mean = seasonal_mean(left, days, None)
    made.series["sst"] = replace(series, values=left, mean=mean, level=mean)
    made._frames = None
    at, none = np.arange(len(days)) == one.time, np.zeros(left.shape, bool)
    [alone] = made._cut({"sst": left}, {"sst": target}, none, at, 0)
    for found, expected in zip(one.inputs(), alone.inputs(), strict=True):
        np.testing.assert_allclose(found, expected, atol=0.03)
    apart = series.mean.at(days)[0, hidden] - made.series["sst"].mean.at(days)[0, hidden]
    assert np.abs(apart / series.scale).max() > 0.06
    assert one.others.shape[1] == CHANNELS * stacked


def test_the_local_variance_is_that_without_what_is_hidden(tmp_path) -> None:
    """A constant mean is drawn to the field's, so that sums without a datum are not exact."""
    ds = field(times=12, ny=9, nx=10, seed=4)[0]
    made = samples(tmp_path, ds, stacked=True, season_days=0)
    series, days = made.series["sst"], made.field.days
    one = max(made.epoch(0), key=lambda s: s.hidden.sum())
    left = series.values.copy()
    left[one.time, made._frames.index[one.hidden]] = np.nan
    mean = seasonal_mean(left, days, None)
    there = one.spread[0] > 0
    at, seen = made._frames.index[there], one.others[0, 6][there]
    without = LocalVariance.of(made.field, lambda: [(days, left)], mean).scale(at)
    np.testing.assert_allclose(seen, np.log(without), atol=0.005)
    assert np.abs(np.log(series.local.scale(at) / without)).max() > 0.03


def test_values_of_validation_are_used_for_nothing_else(tmp_path) -> None:
    ds = field(times=12, seed=4)[0]
    made = samples(tmp_path, ds)
    checks = made.checks()
    assert {s.time for s in checks} == set(np.flatnonzero(made.validation))
    assert len(checks) == round(0.15 * 12)
    other = ds.copy(deep=True)
    for one in checks:
        other.sst.values[one.time][np.isfinite(one.target[0])] += 7.0
        assert not one.inputs()[1][0, 1][np.isfinite(one.target[0])].any()
    (tmp_path / "obs.nc").unlink()
    changed = samples(tmp_path, other)
    for a, b in zip(made.epoch(0), changed.epoch(0), strict=True):
        np.testing.assert_array_equal(a.target, b.target)
        for x, y in zip(a.inputs(), b.inputs(), strict=True):
            np.testing.assert_array_equal(x, y)
    apart = [np.nanmin(b.target - a.target) for a, b in zip(checks, changed.checks(), strict=True)]
    np.testing.assert_allclose(apart, 7.0 / made.series["sst"].scale, rtol=1e-4)


@pytest.mark.parametrize("stacked", [False, True])
def test_neither_network_nor_first_guess_sees_beyond_an_end(stacked, tmp_path) -> None:
    ds = field(times=12, seed=4)[0]
    made = samples(tmp_path, ds, half=3, stacked=stacked, ends=1.0)
    values, series = made.series["sst"].values, made.series["sst"]
    spans, changed = set(), 0
    for one in made.epoch(0):
        times = np.arange(-3, 4)[one.inputs()[1].any((0, 2, 3))]
        first, last = one.span
        assert times.min() >= (-3 if first is None else first)
        assert times.max() <= (3 if last is None else last)
        lag = np.arange(12) - one.time
        seen = (lag >= (-12 if first is None else first)) & (lag <= (12 if last is None else last))
        without = np.where(seen[:, None], values, np.nan)
        place = made._frames.index[one.spread[0] > 0]
        under = made._frames.index[one.hidden]
        given = (series, one.time, place, under, Span())
        expected = made._guessed(without, *given)[0]
        np.testing.assert_allclose(one.guess[0][one.spread[0] > 0], expected, atol=1e-6)
        changed += not np.allclose(made._guessed(values, *given)[0], expected, atol=1e-3)
        spans.add(one.span)
    assert changed > 5
    assert len(spans) > 4
    assert all(one.span == Span() for one in made.checks())


def test_epochs_follow_from_the_seed_and_take_draws_in_turn(tmp_path) -> None:
    ds = field(times=12, seed=4)[0]
    one, other = samples(tmp_path, ds), samples(tmp_path, ds)
    other.epoch(0)
    for a, b in zip(one.epoch(1), other.epoch(1), strict=True):
        np.testing.assert_array_equal(a.target, b.target)
        np.testing.assert_array_equal(a.guess, b.guess)
    hidden = [{(s.time, s.hidden.tobytes()) for s in one.epoch(e)} for e in range(3)]
    assert hidden[0] == hidden[2] != hidden[1]


def test_a_truth_is_compared_with_everywhere(tmp_path) -> None:
    ds, truth = field(times=12, seed=4)
    made = samples(tmp_path, ds, ds.assign(sst=(ds.sst.dims, truth)))
    first, second = made.epoch(0), made.epoch(1)
    assert {s.time for s in made.checks()} == {10, 11}
    for one in (*first, *second):
        known = np.isfinite(one.target[0])
        assert known.sum() == 19
        assert not one.is_datum
        mean = made.field.on_grid(made.series["sst"].mean.at(made.field.days))
        anomaly = truth[one.time] - mean[one.time]
        np.testing.assert_allclose(
            one.target[0][known], anomaly[known] / made.series["sst"].scale, rtol=1e-5, atol=1e-5
        )
    # The file's own observations, then those of other times' points.
    masks = [
        np.stack([s.inputs()[1][0, 1] for s in sorted(epoch, key=lambda s: s.time)])
        for epoch in (first, second)
    ]
    observed = np.isfinite(ds.sst.values)[:10]
    np.testing.assert_array_equal(masks[0], observed)
    assert (masks[1] != observed).any()


def test_tracks_lie_on_the_grid_of_the_truth(tmp_path) -> None:
    ds, truth = field(times=6, land=False)
    truth = ds.assign(sst=(ds.sst.dims, truth, ds.sst.attrs)).expand_dims("window")
    tracks().to_netcdf(tmp_path / "obs.nc")
    made = samples(tmp_path, None, truth)
    found = made.epoch(0)
    seen = sum(int(one.inputs()[1][0, 1].sum()) for one in found)
    assert 0 < seen < 5 * 20
    # The mean is that of the truth.
    np.testing.assert_allclose(made.mean()[0, 0], truth.sst.mean("time").values.ravel(), atol=0.05)
    for one in found:
        anomaly = truth.sst.values[0, one.time] - made.field.on_grid(made.mean()[0])[0]
        np.testing.assert_allclose(one.target[0] * made.series["sst"].scale, anomaly, atol=1e-4)
    with pytest.raises(InputError, match="give complete fields"):
        samples(tmp_path, None)
    with pytest.raises(InputError, match="withhold would have no effect"):
        samples(tmp_path, None, truth, withhold="out")


def test_all_times_of_a_window_are_compared_with_those_of_their_own_share(tmp_path) -> None:
    ds, truth = field(times=12, seed=4)
    samples(tmp_path, ds, ds.assign(sst=(ds.sst.dims, truth)))
    section = configuration(tmp_path / "obs.nc", field={"first_guess": "mean"})["field"]
    section |= {"truth": str(tmp_path / "truth.nc"), "validation": 0.3}
    made = Samples(FieldSource(**section), 2, get_engine("torch"), together=True)
    one = made.series["sst"]
    anomaly = made.field.on_grid((one.truth - one.mean.at(made.field.days)) / one.scale)
    seen = {}
    for kind, found in (("training", made.epoch(0)), ("validation", made.checks())):
        seen[kind] = set()
        for sample in found:
            assert 2 <= sample.time <= 9  # a window within the file
            values, mask, guess, spread, *_ = sample.inputs()
            assert values.shape == mask.shape == sample.target.shape == (1, 5, 4, 5)
            assert not guess.any()
            np.testing.assert_allclose(spread**2, one.covariance.variance / one.scale**2)
            for place, time in enumerate(range(sample.time - 2, sample.time + 3)):
                known = np.isfinite(sample.target[0, place])
                assert known.sum() in (0, 19)
                seen[kind] |= {time} if known.any() else set()
                np.testing.assert_allclose(
                    sample.target[0, place][known], anomaly[time][known], rtol=1e-5, atol=1e-5
                )
    assert seen == {"training": set(range(8)), "validation": {8, 9, 10, 11}}


def test_large_domains_are_cut_around_what_is_compared_with(tmp_path) -> None:
    ds = field(times=6, ny=10, nx=14, seed=4)[0]
    for one in samples(tmp_path, ds, tile=8).epoch(0):
        assert one.target.shape == (1, 8, 8)
        assert np.isfinite(one.target).any()


@pytest.mark.parametrize("times", [1, 2])
def test_too_few_times_are_refused(times, tmp_path) -> None:
    with pytest.raises(InputError):
        samples(tmp_path, field(times=times, seed=4)[0])
