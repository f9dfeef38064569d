"""Optimal interpolation of fields, against a dense Gaussian process."""

import numpy as np
import pytest
import scipy.linalg
import xarray as xr
from gappy import COVARIANCE, as_mapping, field

from pyvda.engine import get_engine
from pyvda.fields.field import opened
from pyvda.fields.interpolation_options import OptimalInterpolationOptions
from pyvda.fields.optimal_interpolation import solve

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
TORCH = get_engine("torch")


def estimate(ds, **options):
    found = opened(ds)
    read = {name: found.read(name) for name in found.variables}
    given = {"covariance": as_mapping(), "nearest": 1000, "nearest_other": 1000} | options
    return found, read, solve(found, read, OptimalInterpolationOptions(**given), TORCH)


@pytest.mark.parametrize("times", [slice(None), [0]])
def test_estimate_is_mean_plus_gaussian_process(times) -> None:
    found, read, estimates = estimate(field()[0].isel(time=times))
    values = read["sst"].values
    there = np.isfinite(values)
    mean = np.where(there, values, 0).sum(0)
    overall = values[there].mean()
    mean = overall + (mean - overall * there.sum(0)) / (there.sum(0) + 1)
    # What is left around the means of points: one more mean of each point, drawn to zero.
    left = np.where(there, values - mean, 0)
    mean = mean + left.sum(0) / (there.sum(0) + 1)
    t, p = np.nonzero(there)
    km = np.linalg.norm(found.places.position[:, None] - found.places.position, axis=-1)
    days = found.days[:, None] - found.days
    a = COVARIANCE(km[np.ix_(p, p)], days[np.ix_(t, t)]) + COVARIANCE.nugget * np.eye(len(t))
    every = np.indices(values.shape).reshape(2, -1)
    c = COVARIANCE(km[np.ix_(every[1], p)], days[np.ix_(every[0], t)])
    factor = scipy.linalg.cho_factor(a)
    value = c @ scipy.linalg.cho_solve(factor, (values - mean)[there])
    stdev = np.sqrt(COVARIANCE.variance - (c * scipy.linalg.cho_solve(factor, c.T).T).sum(1))
    np.testing.assert_allclose(
        estimates["sst"].value, value.reshape(values.shape) + mean, atol=1e-8
    )
    np.testing.assert_allclose(estimates["sst"].stdev, stdev.reshape(values.shape), atol=1e-8)


def test_gaps_are_filled_better_than_by_the_mean() -> None:
    ds, truth = field(times=8, seed=2)
    found, read, estimates = estimate(ds, nearest=4, nearest_other=1)
    gap = np.isnan(read["sst"].values)
    error = (estimates["sst"].value - truth[:, found.sea])[gap]
    assert np.sqrt((error**2).mean()) < 0.8 * truth.std()
    assert 0.5 < ((error / estimates["sst"].stdev[gap]) ** 2).mean() < 2


@pytest.mark.julia
def test_a_complete_field_is_fitted_by_likelihood_and_comes_back() -> None:
    ds, truth = field(times=8, cloud=0.0, land=False)
    found = opened(ds)
    read = {"sst": found.read("sst")}
    options = OptimalInterpolationOptions(factors=2)
    estimates = solve(found, read, options, get_engine("julia"))["sst"]
    fitted = estimates.configuration["covariance"]
    deviation = np.sqrt(fitted["nugget"])
    misfit = estimates.value - read["sst"].values
    assert np.sqrt((misfit**2).mean()) < 1.2 * deviation
    error = estimates.value - truth.reshape(8, -1)
    assert np.sqrt((error**2).mean()) < 1.2 * np.sqrt(COVARIANCE.nugget)


def test_a_local_variance_makes_estimates_of_scaled_data() -> None:
    """A field times 3 in its eastern half has there three times the error."""
    ds, _ = field(times=30, ny=5, nx=16, land=False, cloud=0.3)
    factor = xr.where(ds.lon > ds.lon[7], 3.0, 1.0)
    scaled = ds.assign(sst=(ds.sst - 15) * factor)
    given = {"nearest": 3, "nearest_other": 1, "within_days": 1.0}
    _, _, plain = estimate(scaled, **given)
    found, _, local = estimate(scaled, local_variance=True, **given)
    east = found.places.map[:, 0] > float(ds.lon[9])
    west = found.places.map[:, 0] < float(ds.lon[5])
    stdev = local["sst"].stdev
    assert 2 < stdev[:, east].mean() / stdev[:, west].mean() < 4
    np.testing.assert_allclose(plain["sst"].stdev[:, east].mean(),
                               plain["sst"].stdev[:, west].mean(), rtol=0.3)  # fmt: skip
