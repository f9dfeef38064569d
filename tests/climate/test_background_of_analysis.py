"""Backgrounds from analyses: mean and covariance by numpy, and analyses that have none."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.climate.background_of_analysis import (
    ensemble_in,
    is_analysis,
    member_count,
    of_analysis,
    states_of,
)
from pyvda.errors import InputError
from pyvda.notices import Notice


@pytest.fixture(scope="module")
def truth():
    return pyvda.simulate("lorenz63", windows=1, steps=20, seed=1)


@pytest.fixture(scope="module")
def analysis(truth):
    """An analysis by an ensemble of eight members."""
    observed = pyvda.observe(truth, "lorenz63", seed=2)
    return pyvda.assimilate(
        observed, model="lorenz63", method="ensemble-smoother", engine="torch", members=8
    )


def test_an_ensemble_gives_its_moments(analysis) -> None:
    members = analysis.final_ensemble.values.reshape(8, 3)
    (found,) = of_analysis(analysis)
    np.testing.assert_allclose(found.mean, members.mean(0), rtol=1e-12)
    np.testing.assert_allclose(np.linalg.inv(found.precision), np.cov(members.T), rtol=1e-8)
    (state,) = states_of(analysis)
    np.testing.assert_array_equal(state.mean, analysis.analysis[0, -1])


def test_what_cannot_be_a_background_is_refused(analysis, truth) -> None:
    assert is_analysis(analysis)
    assert is_analysis("a.nc")
    assert not is_analysis("b.npz")
    without = analysis.drop_vars("final_ensemble")
    with pytest.raises(InputError, match="no variable final_covariance; give an analysis of gauss"):
        of_analysis(without)
    with pytest.raises(InputError, match="has no analysis; give one as `pyvda assimilate`"):
        states_of(truth)
    lost = analysis.copy(deep=True)
    lost.analysis[0, -1] = np.nan
    with pytest.raises(InputError, match="window 0 of the analysis has no finite state at its end"):
        states_of(lost)


def test_members_are_those_of_an_analysis_with_an_ensemble(analysis, truth) -> None:
    found = ensemble_in(analysis)
    assert found is not None
    assert found.members.shape == (8, 3)
    assert member_count(analysis, 50, chosen=False) == 8
    assert member_count(analysis, 8, chosen=True) == 8
    with pytest.raises(InputError, match="members is 50, but the background is an ensemble of 8"):
        member_count(analysis, 50, chosen=True)
    for other in ("climatology", np.ones(3), truth):
        assert ensemble_in(other) is None
        assert member_count(other, 50, chosen=True) == 50


def test_an_analysis_of_another_state_is_refused_and_another_model_said() -> None:
    torch = pytest.importorskip("torch")

    def model(name, *variables):
        return pyvda.torch_model(torch.neg, variables=variables, time_step=1.0, name=name)

    def series(*variables, start=0):
        return xr.Dataset({v: ("time", np.ones(4)) for v in variables},
                          {"time": start + np.arange(4.0)})  # fmt: skip

    common = {"method": "strong-constraint", "starts": "mean", "observation_variance": 1.0}
    first = pyvda.assimilate(
        series("a", "b"), model=model("one", "a", "b"), background=(np.zeros(2), np.eye(2)),
        **common,
    )  # fmt: skip
    said = r"analysis of the state a, b, and that of two is u, v; give"
    with pytest.raises(InputError, match=said):
        pyvda.assimilate(
            series("u", "v", start=4), model=model("two", "u", "v"), background=first, **common
        )
    with pytest.raises(InputError, match="state a, b, and that of two is b, a"):
        pyvda.assimilate(
            series("a", "b", start=4), model=model("two", "b", "a"), background=first, **common
        )
    with pytest.warns(Notice, match="with the model one; it is continued with two"):
        pyvda.assimilate(
            series("a", "b", start=4), model=model("two", "a", "b"), background=first, **common
        )
