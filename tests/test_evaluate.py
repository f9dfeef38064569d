"""Scores of analyses, only against the truth of their windows, with the stated model."""

import json

import numpy as np
import pytest
import xarray as xr
from fields import advection

import pyvda
from pyvda.errors import InputError


@pytest.fixture(scope="module")
def pair():
    truth = pyvda.simulate("lorenz63", 3, 1)
    return pyvda.assimilate(pyvda.observe(truth, "lorenz63", 2), iterations=5), truth


def changed(analysis, **model):
    configuration = json.loads(analysis.attrs["pyvda_configuration"])
    configuration["model"] |= model
    return analysis.assign_attrs(pyvda_configuration=json.dumps(configuration))


def test_shifted_and_reversed_windows_are_refused(pair):
    analysis, truth = pair
    assert np.isfinite(pyvda.evaluate(analysis, truth)["r_score"]).all()
    with pytest.raises(InputError, match="window is 2 in the truth and 0 in the analysis"):
        pyvda.evaluate(analysis, truth.isel(window=slice(None, None, -1)))
    with pytest.raises(InputError, match="window is 1 in the truth and 0 in the analysis"):
        pyvda.evaluate(analysis.isel(window=slice(2)), truth.isel(window=slice(1, None)))


@pytest.mark.parametrize("parameters", [[], [10.0, 28.0], [10.0, 28.0, 2.7, 1.0], [None] * 3])
def test_parameters_that_are_not_the_models_are_refused(pair, parameters):
    analysis, truth = pair
    with pytest.raises(InputError, match="pyvda_configuration") as refused:
        pyvda.evaluate(changed(analysis, parameters=parameters), truth)
    assert "\n" not in str(refused.value)


def test_a_state_of_another_size_than_the_models_is_refused(pair):
    analysis, truth = pair
    with pytest.raises(InputError, match="pyvda_configuration"):
        pyvda.evaluate(changed(analysis, state_size=4), truth)
    other = changed(analysis, name="lorenz96", parameters=[8.0], state_size=40)
    with pytest.raises(InputError, match="3 components, but states that it was made with lorenz96"):
        pyvda.evaluate(other, truth)


def test_named_variables_are_scored_like_a_state(pair):
    analysis, truth = pair
    observed = pyvda.observe(truth, "lorenz63", 2)

    def by_name(array):
        return {n: array.isel(state=i, drop=True) for i, n in enumerate("xyz")}

    named = xr.Dataset(by_name(observed.observation), attrs=observed.attrs)
    found = pyvda.assimilate(named, variable="x,y,z", iterations=5)
    expected = pyvda.evaluate(analysis, truth)
    for true in (truth, xr.Dataset(by_name(truth.truth))):
        scores = pyvda.evaluate(found, true)
        for name in expected:
            np.testing.assert_array_equal(scores[name], expected[name])


def test_a_model_of_ones_own_is_scored_by_the_engine_that_has_it():
    model = advection()
    start = np.random.default_rng(0).normal(size=(2, 4, 5))
    states = np.stack([np.roll(start, k, -1) for k in range(8)], 1)
    truth = xr.Dataset({"u": (("window", "time", "y", "x"), states)}, {"time": np.arange(8.0)})
    observed = truth.where(np.random.default_rng(1).random(states.shape) < 0.5)
    analysis = pyvda.assimilate(observed, model=model, method="gauss-newton")
    scores = pyvda.evaluate(analysis, truth.transpose("x", ...), model=model)
    expected = ((analysis.u - truth.u) ** 2).mean(("time", "y", "x"))
    np.testing.assert_allclose(scores["r_score"], expected)
    np.testing.assert_allclose(scores["ode_score"], 0.0, atol=1e-20)
    with pytest.raises(InputError, match="describes no built-in model"):
        pyvda.evaluate(analysis, truth)
