"""Scores of hidden values, against scipy's normal distribution and distances by brute force."""

import numpy as np
from gappy import field
from scipy.stats import norm

from pyvda.fields.field import opened
from pyvda.fields.options import Estimate
from pyvda.fields.predictions import Predictions, distances, ratio, scores


def predictions(scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.repeat(np.arange(20), 10)
    error = scale * (rng.normal(size=200) + np.repeat(rng.normal(size=20), 10))
    return Predictions(np.zeros(200, int), time, error, np.full(200, 2 * scale**2), np.ones(200))


def test_scores_are_those_of_a_normal_distribution() -> None:
    one = predictions()
    found = scores(one)
    np.testing.assert_allclose(found["nll"], -norm(0, np.sqrt(2)).logpdf(one.error).mean())
    assert 0.7 < found["calibration"] < 1.3
    assert found["count"] == 200


def test_a_ratio_has_an_interval_over_times() -> None:
    found = ratio(predictions(0.8), predictions(1.0, seed=0), 0)
    np.testing.assert_allclose(found["ratio"], 0.8)
    np.testing.assert_allclose([found["low"], found["high"]], 0.8)
    other = ratio(predictions(1.0, seed=1), predictions(1.0, seed=2), 0)
    assert other["low"] < other["ratio"] < other["high"]


def test_distances_to_the_nearest_datum() -> None:
    found = opened(field(land=False, cloud=0.0)[0])
    left = np.zeros((6, 20), bool)
    left[0, 0] = left[1, [3, 7]] = True
    at = np.zeros_like(left)
    at[0, 4] = at[1, 4] = at[2, 4] = True
    km = np.linalg.norm(found.places.position - found.places.position[4], axis=-1)
    np.testing.assert_allclose(distances(found, left, at), [km[0], min(km[3], km[7]), np.inf])


def test_predictions_of_a_field_are_those_of_its_hidden_values() -> None:
    found = opened(field(land=False, cloud=0.0)[0])
    values = np.full((6, 20), 3.0)
    values[2, 5] = np.nan
    hidden = np.zeros((6, 20), bool)
    hidden[2, 5] = hidden[2, 6] = hidden[4, 7] = True
    one = Estimate(np.full((6, 20), 2.5), np.full((6, 20), 0.3), np.full((6, 20), 0.16))
    first, second = (Predictions.of_field(found, values, one, hidden, draw) for draw in (0, 1))
    assert (first.km > 0).all()  # to data that are left
    both = Predictions.joined([first, second])
    assert both.time.tolist() == [2, 4, 2, 4]
    np.testing.assert_allclose(both.error, 0.5)
    np.testing.assert_allclose(both.variance, 0.25)
    assert both.chosen(both.draw == 1).km.tolist() == second.km.tolist()
