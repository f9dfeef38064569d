"""Ensembles at the end of an analysis: their moments, and what is read from a file."""

import numpy as np
import pytest
import xarray as xr

from pyvda.climate.ensemble import Ensemble, ensembles_in
from pyvda.errors import InputError


def analysis(members: np.ndarray, **attributes: object) -> xr.Dataset:
    """Windows with members (W, N, D) at their ends."""
    windows, _, size = members.shape
    return xr.Dataset(
        {
            "analysis": (("window", "time", "state"), np.zeros((windows, 4, size))),
            "final_ensemble": (("window", "member", "state2"), members, attributes),
        }
    )


def members(windows: int = 2, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((windows, count, 3))


def test_moments() -> None:
    x = members()[0]
    ensemble = Ensemble(x)
    np.testing.assert_allclose(ensemble.mean, x.mean(0), rtol=1e-14)
    anomalies = x - x.mean(0)
    np.testing.assert_allclose(ensemble.covariance(), anomalies.T @ anomalies / 4, rtol=1e-12)
    assert Ensemble(x[:, :1]).covariance().shape == (1, 1)
    with pytest.raises(InputError, match="ensemble of 3 members, and a covariance of 3 components"):
        Ensemble(x[:3]).covariance()


def test_each_window_has_its_own(tmp_path) -> None:
    x = members()
    found = ensembles_in(analysis(x, cycle=4))
    assert [ensemble.cycle for ensemble in found] == [4, 4]
    for ensemble, expected in zip(found, x, strict=True):
        np.testing.assert_array_equal(ensemble.members, expected)
    other = analysis(x).transpose("state2", "window", "member", ...)
    np.testing.assert_array_equal(ensembles_in(other)[1].members, x[1])
    assert ensembles_in(other)[0].cycle == 1
    analysis(x).to_netcdf(tmp_path / "a.nc")
    np.testing.assert_array_equal(ensembles_in(tmp_path / "a.nc")[1].members, x[1])


def test_a_file_without_members_has_none() -> None:
    assert ensembles_in(analysis(members()).drop_vars("final_ensemble")) is None


def test_members_that_cannot_be_a_background_are_refused() -> None:
    with pytest.raises(InputError, match="of 2 members, expected at least 3"):
        ensembles_in(analysis(members(count=2)))
    x = members()
    x[1, 2, 0] = np.nan
    with pytest.raises(InputError, match="window 1 of the analysis has no finite members"):
        ensembles_in(analysis(x))
    renamed = analysis(members()).rename(member="number")
    with pytest.raises(InputError, match="has the dimensions window, number, state2, expected"):
        ensembles_in(renamed)
