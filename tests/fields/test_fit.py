import numpy as np
import pytest
from gappy import COVARIANCE, field

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.fit import fit_covariance
from pyvda.fields.mean import seasonal_mean

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


@pytest.mark.julia
def test_a_fit_predicts_as_well_as_the_true_covariance() -> None:
    ds, _ = field(times=10, ny=5, nx=6, seed=5)
    found = opened(ds)
    values = found.read("sst").values
    mean = seasonal_mean(values, found.days, None)
    fit = fit_covariance(
        get_engine("julia"), values, mean, found.days, found.places, sample=100,
        kinds=[("exponential", "exponential")] * 2,
        iterations=5,
    )  # fmt: skip
    assert 0.5 < fit.calibration < 2
    assert fit.rmse < 0.9 * np.nanstd(values - mean.at(found.days))
    assert 0.2 < fit.covariance.variance / COVARIANCE.variance < 5
    assert np.isfinite(fit.nll)


def test_fields_without_a_covariance() -> None:
    found = opened(field(times=2, ny=3, nx=3)[0])
    values = found.read("sst").values
    mean = seasonal_mean(values, found.days, None)
    with pytest.raises(InputError, match="expected at least"):
        fit_covariance(get_engine("torch"), values, mean, found.days, found.places)
