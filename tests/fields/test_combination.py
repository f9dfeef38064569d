"""Interpolations combined by passes that are left out."""

import json

import numpy as np
import pytest
from gappy import COVARIANCE, as_mapping, field, tracks
from gappy import drawn_passes as drawn

import pyvda
from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.errors import InputError
from pyvda.fields.combination import corrected, learned, others, weights_of
from pyvda.fields.scattered import interpolated_at

SELECTION = Selection(6, 2, 10.0, np.inf)


def test_weights_are_those_that_errors_have_and_0_where_nothing_is_better() -> None:
    rng = np.random.default_rng(0)
    folds = np.repeat(np.arange(5), 200)
    apart = rng.normal(size=(2, 1000))
    error = 0.5 * apart[0] - 0.2 * apart[1] + 0.1 * rng.normal(size=1000)
    found = weights_of(np.stack([error, *(error - apart)]), folds)
    np.testing.assert_allclose(found, [0.5, -0.2], atol=0.02)
    unrelated = rng.normal(size=1000)
    assert not weights_of(np.stack([unrelated, *(unrelated - apart)]), folds, [1e-3]).any()
    same = weights_of(np.stack([error, error - apart[0], error]), folds)  # one of them differs
    assert same[0] > 0.4
    assert same[1] == 0


def test_the_correction_is_the_weighted_difference_from_each_other() -> None:
    rows = drawn(count=12, each=8)
    rows = rows._replace(noise=np.full(len(rows.value), 0.1))
    covariance = COVARIANCE.model_copy(update={"track_variance": 0.2})
    where = rows.places, np.arange(20), np.full(20, 7.5)
    engine, weights = get_engine("torch"), np.array([0.3, 0.0, 0.0, -0.2, 0.4])

    def found(one):
        return interpolated_at(engine, rows, *where, one, SELECTION, 5.0)

    first, parts = found(covariance), [found(one).value for one in others(covariance)]
    assert all(np.abs(part - first.value).max() > 1e-3 for part in parts)
    better = corrected(
        lambda *given: interpolated_at(engine, rows, *where, *given, 5.0), covariance, SELECTION,
        weights,
    )  # fmt: skip
    expected = first.value + weights @ (np.array(parts) - first.value)
    np.testing.assert_allclose(better.value, expected, atol=1e-12)
    np.testing.assert_array_equal(better.variance, first.variance)


@pytest.mark.parametrize(("scale", "best"), [(0.25, 0.97), (1.0, 1.01)])
def test_a_wrong_covariance_is_corrected_and_a_right_one_stays(scale, best) -> None:
    rows = drawn(count=40, each=20)
    wrong = COVARIANCE.model_copy(update={"factors": tuple(
        one.model_copy(update={"km": scale * one.km, "days": scale * one.days})
        for one in COVARIANCE.factors
    )})  # fmt: skip
    rows = rows._replace(noise=rows.noise + wrong.nugget)
    hidden = rows.track % 5 == 0
    engine = get_engine("torch")
    weights = learned(engine, rows.at(~hidden), wrong, SELECTION, 5.0)
    where = rows.places.at(hidden), np.arange(hidden.sum()), rows.days[hidden]

    def squares(some):
        found = corrected(
            lambda *given: interpolated_at(engine, rows.at(~hidden), *where, *given, 5.0), wrong,
            SELECTION, np.asarray(some),
        )  # fmt: skip
        return ((rows.value[hidden] - found.value) ** 2).mean()

    assert squares(weights) < best * squares([])


def test_the_option_is_for_passes() -> None:
    given = {"variable": "sst", "method": "oi", "covariance": as_mapping(), "combined": True}
    found = pyvda.assimilate(tracks(), grid="5:6:0.5,40:40.6:0.3", **given)
    constants = json.loads(found.attrs["pyvda_configuration"])["variables"]["sst"]
    assert len(constants["weights"]) == 5
    with pytest.raises(InputError, match="there are 9, expected at least 10; leave out combined"):
        pyvda.assimilate(tracks(9), grid="5:6:0.5,40:40.6:0.3", **given)
    with pytest.raises(InputError, match="combined would have no effect: it is for data at points"):
        pyvda.assimilate(field()[0], **given)
