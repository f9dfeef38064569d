import numpy as np
import pytest
import scipy.stats
from gappy import COVARIANCE, field, worst_slope

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields import fit
from pyvda.fields.field import opened
from pyvda.fields.mean import seasonal_mean

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


@pytest.mark.julia
def test_a_fit_predicts_as_well_as_the_true_covariance() -> None:
    ds, _ = field(times=10, ny=5, nx=6, seed=5)
    found = opened(ds)
    values = found.read("sst").values
    mean = seasonal_mean(values, found.days, None)
    done = fit.fit_covariance(
        get_engine("julia"), values, mean, found.days, found.places, sample=100,
        kinds=[("exponential", "exponential")] * 2,
        iterations=5,
    )  # fmt: skip
    assert 0.5 < done.calibration < 2
    assert done.rmse < 0.9 * np.nanstd(values - mean.at(found.days))
    assert 0.2 < done.covariance.variance / COVARIANCE.variance < 5
    assert np.isfinite(done.nll)


@pytest.mark.parametrize("engine", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
def test_the_gradient_is_that_of_differences(monkeypatch, engine) -> None:
    ds, _ = field(times=10, ny=5, nx=6, seed=5)
    ds["sst"] += 9.0 * (np.arange(ds.sst.size).reshape(ds.sst.shape) % 50 == 0)  # and tails
    found = opened(ds)
    values = found.read("sst").values
    mean = seasonal_mean(values, found.days, None)
    worst = worst_slope(monkeypatch, fit, lambda: fit.fit_covariance(
        get_engine(engine), values, mean, found.days, found.places, sample=20,
        variance=np.full_like(values, 0.01), kinds=[("exponential", "matern32")],
    ))  # fmt: skip
    assert worst < 1e-6


def test_the_derivatives_of_the_likelihood_with_tails_are_those_of_differences() -> None:
    error, spread = np.array([0.5, -3.0, 9.0, -20.0]), np.array([1.0, 2.0, 1.5, 4.0])
    value, *derivatives = fit.unlikeliness(error, spread)
    near = fit.unlikeliness(error[:2], spread[:2])[0]
    expected = scipy.stats.norm.logpdf(error[:2], 0, np.sqrt(spread[:2])).mean()
    assert near == pytest.approx(-expected - 0.5 * np.log(2 * np.pi))
    for which, derivative in enumerate(derivatives):
        for k in range(4):
            moved = [[error.copy(), spread.copy()] for _ in range(2)]
            moved[0][which][k] += 1e-6
            moved[1][which][k] -= 1e-6
            above, below = (fit.unlikeliness(*one)[0] for one in moved)
            assert derivative[k] == pytest.approx((above - below) / 2e-6, abs=1e-8)
    assert value > near


def test_fields_without_a_covariance() -> None:
    found = opened(field(times=2, ny=3, nx=3)[0])
    values = found.read("sst").values
    mean = seasonal_mean(values, found.days, None)
    with pytest.raises(InputError, match="expected at least"):
        fit.fit_covariance(get_engine("torch"), values, mean, found.days, found.places)
