"""A state with land, from its climatology over analysis and forecast to scores: numbers at sea."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pyvda
from pyvda.climate.background_of_analysis import of_analysis
from pyvda.climate.climatology import climatology
from pyvda.models.from_torch import torch_model
from pyvda.state.space import StateSpace

LAND = np.array([[True, False, False], [False, False, True]])


def swinging(x):
    """Return tendencies (..., 2, 3): along each row a limit cycle; still on land."""
    import torch

    sea = torch.from_numpy(~LAND).to(x.dtype)
    left, right = x.roll(1, -1), x.roll(-1, -1)
    return sea * (4 * (right - left) + x - x * (x * x + left * left + right * right))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path))
    made = torch_model(
        swinging, variables=("t",), dimensions={"y": 2, "x": 3}, time_step=0.05, spinup=10.0
    )
    return replace(made, state_space=StateSpace(made.state_space.variables, LAND))


def test_a_masked_model_from_end_to_end(model) -> None:
    known = climatology(model)
    assert np.isfinite(known.covariance).all()
    assert (known.states[:, LAND.ravel()] == 0).all()
    truth = pyvda.simulate(model, 2, seed=1, steps=30)
    np.testing.assert_array_equal(np.isnan(truth.t[0, 0]), LAND)
    observed = pyvda.observe(truth, seed=1, variance=0.01, every=3, components=range(6))
    options = {"form": "statistical", "model_error": 1e-4, "final_covariance": True}
    analysis = pyvda.assimilate(observed, model=model, method="gauss-newton", **options)
    np.testing.assert_array_equal(np.isnan(analysis.t[0, 0]), LAND)
    scores = pyvda.evaluate(analysis, truth, model=model)
    error = ((analysis.t - truth.t) ** 2).mean(("time", "y", "x"))
    np.testing.assert_allclose(scores["r_score"], error)  # xarray leaves NaN out
    assert (scores["r_score"] < 0.01).all()
    assert all(np.isfinite(score).all() for score in scores.values())
    later = pyvda.forecast(analysis, 5, model=model)
    np.testing.assert_array_equal(np.isnan(later.t[0, -1]), LAND)
    (first, _) = of_analysis(later)
    assert np.isfinite(first.precision).all()
    again = pyvda.assimilate(
        observed.isel(window=[0]), model=model, method="gauss-newton", background=first, **options
    )
    np.testing.assert_array_equal(np.isnan(again.t[0, 0]), LAND)


def test_an_ensemble_of_a_masked_model_cycles(model) -> None:
    truth = pyvda.simulate(model, 2, seed=1, steps=30)
    observed = pyvda.observe(truth, seed=1, variance=0.01, every=3, components=range(6))
    options = {"model": model, "method": "ensemble-smoother"}
    analysis = pyvda.assimilate(observed, members=20, **options)
    later = pyvda.forecast(analysis, 5, model=model)
    np.testing.assert_array_equal(np.isnan(later.t[0, -1]), LAND)
    np.testing.assert_array_equal(np.isnan(later.t_stdev[0, -1]), LAND)
    (first, _) = of_analysis(later)
    assert np.isfinite(first.precision).all()
    again = pyvda.assimilate(observed, background=analysis, **options)
    np.testing.assert_array_equal(np.isnan(again.t[0, 0]), LAND)
    assert np.isfinite(again.final_ensemble).all()
