"""The fit by passes: its errors against dense solves, and covariances that data were drawn from."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from gappy import COVARIANCE, varying, worst_slope
from gappy import drawn_passes as drawn

from pyvda.errors import InputError
from pyvda.fields import passes
from pyvda.fields.fitted import fit_field_covariance
from pyvda.fields.passes import fit_by_passes
from pyvda.fields.places import on_plane
from pyvda.fields.scattered import NO_TRACK

SHORT = {"kinds": [("exponential", "exponential")], "iterations": 12}


def test_data_of_a_pass_are_estimated_from_others_as_by_a_dense_solve(monkeypatch) -> None:
    monkeypatch.setattr(passes, "_DATA", 1000)  # all
    rows = drawn(count=12, each=6, track_variance=0.3)
    covariance = COVARIANCE.model_copy(update={"track_variance": 0.3})
    sets = passes._sets(rows, 1.0, 0)
    assert sets.value.shape == (passes._LEAST_SETS, 70)
    found = passes._estimated(sets, covariance)
    km = np.linalg.norm(rows.places.position[:, None] - rows.places.position, axis=-1)
    field = COVARIANCE(km, rows.days[:, None] - rows.days)
    same = rows.track[:, None] == rows.track
    data = field + 0.3 * same * np.exp(-km / 20.0) + COVARIANCE.nugget * np.eye(72)
    expected = {}
    for number in range(12):
        own, other = rows.track == number, rows.track != number
        cross = field[np.ix_(other, own)]
        weights = np.linalg.solve(data[np.ix_(other, other)], cross)
        error = rows.value[own] - weights.T @ rows.value[other]
        spread = COVARIANCE.variance - (cross * weights).sum(0) + COVARIANCE.nugget + 0.3
        expected |= dict(zip(rows.value[own].tolist(), zip(error, spread, strict=True),
                             strict=True))  # fmt: skip
    seen = np.array([expected[one] for one in sets.value[:, 66:].ravel().tolist()])
    np.testing.assert_allclose(
        np.stack([found.error, found.spread], -1).reshape(-1, 2), seen, atol=1e-9
    )


def test_the_gradient_is_that_of_differences(monkeypatch) -> None:
    rows = varying(drawn(count=14, each=3, track_variance=0.3))  # targets that are there twice
    kinds = [("exponential", "matern52"), ("matern32", "gaussian")]
    worst = worst_slope(monkeypatch, passes, lambda: fit_by_passes(rows, 1.0, 5.0, kinds=kinds))
    assert worst < 1e-6


def test_data_over_their_deviations_have_one_covariance_and_scores_are_of_the_data() -> None:
    rows = drawn(count=20, track_variance=0.3)
    twice = rows._replace(
        places=replace(rows.places, deviation=np.full(len(rows.days), 2.0)), value=2 * rows.value
    )
    one, two = (fit_by_passes(some, 1.0, 5.0, **SHORT) for some in (rows, twice))
    np.testing.assert_allclose(two.covariance.variance, one.covariance.variance, rtol=0.05)
    np.testing.assert_allclose(two.rmse, 2 * one.rmse, rtol=0.02)


def test_a_fit_predicts_passes_as_well_as_the_truth(monkeypatch) -> None:
    monkeypatch.setattr(passes, "_SETS", 100)
    rows, others = drawn(track_variance=0.4), drawn(track_variance=0.4, seed=1)
    fit = fit_by_passes(rows, 1.0, 5.0, **SHORT)
    assert 0.8 < fit.calibration < 1.2
    sets = passes._sets(others, 5.0, 0)
    truth = COVARIANCE.model_copy(update={"track_variance": 0.4})
    found, best = (
        float(np.mean(passes._estimated(sets, one).error ** 2)) for one in (fit.covariance, truth)
    )
    assert found < 1.1 * best


def test_the_nearest_of_the_same_time_and_of_those_around_are_used(monkeypatch) -> None:
    monkeypatch.setattr(passes, "_DATA", 40)
    rows = drawn()
    sets = passes._sets(rows, 5.0, 0)
    assert not (sets.days[:, :40, 40:] == 0).any()  # other passes, at other times
    assert sets.km.shape == (len(rows.value) // passes._TARGETS, 40, 44)
    at_once = (sets.days[:, :40, 40] <= 2.5).sum(1)
    assert (at_once >= 20).mean() > 0.9
    assert (at_once < 40).all()


def test_short_passes_have_fewer_targets_and_a_flow_moves_data() -> None:
    rows = drawn(each=3)
    sets = passes._sets(rows, 5.0, 0)
    assert (sets.counted.sum(1) == 3).all()
    flow = np.tile([30.0, -10.0, 0.0], (len(rows.days), 1))
    along = rows.places.position + flow * rows.days[:, None]
    moved = rows._replace(places=on_plane(along[:, 1], along[:, 0]), velocity=flow)
    np.testing.assert_allclose(passes._sets(moved, 5.0, 0).km, sets.km, atol=1e-9)


def test_data_of_a_field_beside_the_passes_are_data_alone() -> None:
    rows = drawn(count=14)
    beside = rows._replace(track=np.where(rows.track < 4, NO_TRACK, rows.track))
    sets = passes._sets(beside, 5.0, 0)
    of_field = np.isin(sets.value, rows.value[rows.track < 4])
    assert of_field[:, :-4].any()
    assert not of_field[:, -4:].any()
    alone = sets.same & ~np.eye(sets.same.shape[1], dtype=bool)
    assert not alone[of_field[:, :-4]].any()


def test_the_command_fits_by_passes_where_it_is_asked_to() -> None:
    rows = drawn(count=12, each=10)
    ds = xr.Dataset({
        "sst": ("obs", rows.value), "time": ("obs", rows.days), "pass_id": ("obs", rows.track),
        **{n: ("obs", rows.places.map[:, i], {"units": "km", "axis": n.upper()})
           for i, n in enumerate("xy")},
    })  # fmt: skip
    by = {
        name: fit_field_covariance(ds, "sst", factors=1, fit_by=name)[1]["sst"].fit
        for name in ("passes", "likelihood")
    }
    assert by["passes"].count == 4 * passes._LEAST_SETS
    assert by["likelihood"].count > by["passes"].count
    assert by["passes"].rmse > by["likelihood"].rmse  # none of the same pass


def test_too_few_passes_or_data() -> None:
    with pytest.raises(InputError, match="there are 9, expected at least 10"):
        fit_by_passes(drawn(count=9), 1.0, 5.0)
    with pytest.raises(InputError, match="expected at least 40"):
        fit_by_passes(drawn(count=10, each=3), 1.0, 5.0)
