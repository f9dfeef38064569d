"""Observations of a truth: what presets, variables and components say; wrong ones are refused."""

import numpy as np
import pytest
import xarray as xr
from problems import turning

import pyvda
from pyvda.errors import InputError


@pytest.mark.parametrize(
    ("preset", "steps", "components"),
    [
        ("lorenz63", range(0, 200, 8), 1),
        ("lorenz63-blanked", range(16, 185, 8), 1),
        ("lorenz96", range(0, 200, 4), 20),
    ],
)
def test_presets_observe_what_the_paper_observes(preset, steps, components) -> None:
    truth = pyvda.simulate(preset, 30, 1)
    observed = pyvda.observe(truth, preset, 2)["observation"].values
    seen = np.isfinite(observed)
    expected = np.zeros(200, int)
    expected[list(steps)] = components
    np.testing.assert_array_equal(seen.sum(2), np.broadcast_to(expected, (30, 200)))
    noise = (observed - truth["truth"].values)[seen]
    # Mean and variance of so many normal numbers, at four standard errors.
    assert abs(noise.mean()) < 4 * np.sqrt(2 / noise.size)
    assert abs(noise.var() - 2.0) < 4 * 2 * np.sqrt(2 / noise.size)
    if preset == "lorenz96":
        assert 0.4 < seen[:, ::4].mean((0, 1)).min() < 0.6  # every component has its turn


def test_variance_and_spacing_can_be_given() -> None:
    truth = pyvda.simulate("lorenz63", 2, 1)
    exact = pyvda.observe(truth, "lorenz63", 2, variance=0.0, every=50)["observation"].values
    seen = np.isfinite(exact)
    assert seen.any(2)[0].nonzero()[0].tolist() == [0, 50, 100, 150]
    np.testing.assert_array_equal(exact[seen], truth["truth"].values[seen])


def test_a_truth_of_another_model_or_name_is_refused() -> None:
    truth = pyvda.simulate("lorenz63", 1, 1)
    with pytest.raises(InputError, match="state of 3 components"):
        pyvda.observe(truth, "lorenz96", 1)
    with pytest.raises(InputError, match="no variable truth"):
        pyvda.observe(truth.rename(truth="other"), "lorenz63", 1)


def test_a_truth_with_named_variables_is_observed() -> None:
    truth = pyvda.simulate(turning(), 40, 4, steps=40)
    half = pyvda.observe(truth, seed=5, variance=0.04)
    seen = np.stack([np.isfinite(half[name]) for name in ("u", "v")])
    assert set(half.data_vars) == {"u", "v"}
    assert (seen.sum((0, 3))[:, ::4] == 2).all()
    assert seen.sum() == 2 * 40 * 10
    assert 0.3 < seen[:, :, ::4].mean((1, 2)).min() < 0.7
    error = np.concatenate([(half[n] - truth[n]).values.ravel() for n in ("u", "v")])
    error = error[np.isfinite(error)]
    assert abs(error.var() / 0.04 - 1) < 4 * np.sqrt(2 / error.size)
    assert half.attrs["observation_error_variance"] == 0.04
    one = pyvda.observe(truth, seed=5, variance=0.0, every=10, variables=["v"])
    assert int(one["u"].notnull().sum()) == 0
    np.testing.assert_array_equal(one["v"].isel(time=slice(None, None, 10)), truth["v"][:, ::10])
    two = pyvda.observe(truth, seed=5, variance=0.0, components=[1, 2])
    assert [int(two[n].notnull().sum()) for n in ("u", "v")] == [400, 400]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variance": None}, "neither a preset nor an error variance"),
        ({"variance": -1.0}, "at least 0"),
        ({"variance": "much"}, "expected a number"),
        ({"every": 0}, "at least 1"),
        ({"variables": ["w"]}, "no variable w, found u, v"),
        ({"components": [4]}, "expected numbers from 0 to 3"),
        ({"components": []}, "components is empty, expected numbers"),
        ({"components": np.array(1)}, "expected a sequence"),
        ({"components": [0], "variables": ["u"]}, "give one of them"),
    ],
)
def test_bad_observations_are_refused(arguments, said) -> None:
    truth = pyvda.simulate(turning(), 1, 1, steps=8)
    with pytest.raises(InputError, match=said):
        pyvda.observe(truth, **{"variance": 1.0, **arguments})


@pytest.mark.parametrize("named", [False, True])
def test_a_series_is_observed_like_one_window(named):
    whole = pyvda.simulate("lorenz63", 1, 3)
    if named:
        data = {n: whole.truth[..., k].drop_vars("state", errors="ignore")
                for k, n in enumerate("xyz")}  # fmt: skip
        whole = xr.Dataset(data)
    series = whole.isel(window=0, drop=True)
    asked = {"variance": 2.0, "every": 5, "components": (0, 2)}
    found, expected = (pyvda.observe(one, seed=4, **asked) for one in (series, whole))
    assert "window" not in found.dims
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name], expected[name].isel(window=0))
    assert pyvda.assimilate(found, model="lorenz63", engine="torch", iterations=2) is not None


def test_a_file_without_a_truth_says_what_it_has():
    with pytest.raises(InputError, match=r"found, .* but observation \(time, state\); make them"):
        pyvda.observe(xr.Dataset({"observation": (("time", "state"), np.ones((4, 3)))}), variance=1)
