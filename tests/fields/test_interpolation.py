import numpy as np
import pytest
from gappy import COVARIANCE, field

from pyvda.engine import get_engine
from pyvda.engine.data import Selection
from pyvda.errors import InputError
from pyvda.fields import interpolation
from pyvda.fields.covariance import Factor, SpaceTimeCovariance
from pyvda.fields.field import opened

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def estimates(found, anomaly, covariance=COVARIANCE, days=2.0, own=3, engine=None, where=None):
    noise = np.full(anomaly.shape, covariance.nugget)
    selection = Selection(own, 1, days, np.inf)
    parts = interpolation.interpolated(
        engine or get_engine("torch"), anomaly, noise, found.days, found.places, covariance,
        selection, where,
    )  # fmt: skip
    return np.concatenate([part.value for _, part in parts])


def test_the_result_does_not_depend_on_the_blocks(monkeypatch) -> None:
    found = opened(field()[0])
    anomaly = found.read("sst").values - 15.0
    whole = estimates(found, anomaly)
    monkeypatch.setattr(interpolation, "_QUERIES", 2 * len(found.places))
    np.testing.assert_array_equal(estimates(found, anomaly), whole)


def test_a_block_where_nothing_is_asked_for_is_skipped(monkeypatch) -> None:
    """The others take data near the times that are asked for alone."""
    found = opened(field(times=12)[0])
    anomaly = found.read("sst").values - 15.0
    where = np.zeros(anomaly.shape, bool)
    where[9, 2:5] = True
    expected = np.where(where, estimates(found, anomaly), np.nan)
    engine, seen = get_engine("torch"), []

    class Counted:
        def optimal_interpolation(self, data, *given):
            seen.append(data.group_time)
            return engine.optimal_interpolation(data, *given)

    monkeypatch.setattr(interpolation, "_QUERIES", 4 * len(found.places))
    result = estimates(found, anomaly, engine=Counted(), where=where)
    np.testing.assert_array_equal(result, expected)
    assert [list(days) for days in seen] == [list(found.days[7:12])]


def test_complete_data_come_back_to_within_their_noise() -> None:
    found = opened(field(cloud=0.0, land=False)[0])
    anomaly = found.read("sst").values - 15.0
    misfit = estimates(found, anomaly) - anomaly
    assert np.sqrt((misfit**2).mean()) < 1.2 * np.sqrt(COVARIANCE.nugget)


def test_a_covariance_that_is_not_definite() -> None:
    found = opened(field(cloud=0.0, land=False)[0])
    smooth = SpaceTimeCovariance(
        factors=(Factor(variance=1.0, km=1e5, days=1e5, space="gaussian", time="gaussian"),),
        nugget=1e-18,
    )
    with pytest.raises(InputError, match="larger nugget"):
        estimates(found, found.read("sst").values - 15.0, smooth, days=9.0, own=9)
