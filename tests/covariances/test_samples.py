"""Samples of a file: states, differences, errors; what is refused."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.covariances.samples import samples_of
from pyvda.errors import InputError
from pyvda.notices import Notice

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 5, 4, 3))


def dataset(x=X, name="sst"):
    time = ("time", 10.0 * np.arange(x.shape[1]))
    return xr.Dataset({name: (("window", "time", "y", "x"), x)}, {"time": time})


def test_states_are_samples() -> None:
    found = samples_of(dataset())
    np.testing.assert_array_equal(found.values, X.reshape(10, 12))
    assert found.space.sizes == {"y": 4, "x": 3}
    assert found.space.land is None
    assert found.what == "10 states"


def test_dimensions_may_come_in_any_order_and_land_is_zero() -> None:
    x = X.copy()
    x[..., 1, 2] = np.nan
    found = samples_of(dataset(x).transpose("y", "time", "x", "window"))
    np.testing.assert_array_equal(found.values, np.where(np.isnan(x), 0, x).reshape(10, 12))
    assert np.flatnonzero(~found.space.sea).tolist() == [5]


def test_differences_are_taken_within_windows() -> None:
    found = samples_of(dataset(), differences=2)
    expected = (X[:, 2:] - X[:, :-2]).reshape(6, 12) / np.sqrt(2)
    np.testing.assert_allclose(found.values, expected)
    assert found.what == "6 differences"
    with pytest.raises(InputError, match="expected from 1 to 4 steps of the 5"):
        samples_of(dataset(), differences=5)


def test_errors_are_taken_at_the_same_times() -> None:
    truth = dataset(X + 1.0).isel(time=[0, 2, 3])
    np.testing.assert_allclose(samples_of(dataset(), truth=truth).values, np.full((6, 12), -1.0))
    series, one = dataset().isel(window=0), truth.isel(window=[0])
    np.testing.assert_allclose(samples_of(series, truth=one).values, np.full((3, 12), -1.0))
    with pytest.raises(InputError, match="expected the same dimensions"):
        samples_of(series, truth=truth)
    with pytest.raises(InputError, match="leave out one"):
        samples_of(dataset(), truth=truth, differences=1)
    with pytest.raises(InputError, match="no variable 'sst'"):
        samples_of(dataset(), truth=truth.rename(sst="temperature"))
    with pytest.raises(InputError, match="expected the same dimensions"):
        samples_of(dataset(), truth=truth.isel(x=[0, 1]))


def on_grid(x=X[0], y=(0.0, 1.0, 2.0, 3.0), units="m", shift=0.0):
    axis = {"time": ("time", 10.0 * np.arange(len(x)) + shift), "y": ("y", list(y))}
    return xr.Dataset({"sst": (("time", "y", "x"), x, {"units": units})}, axis)


def test_errors_are_taken_at_the_same_places_and_times() -> None:
    truth = on_grid(X[0] + 1.0)
    for other in (truth.isel(y=slice(None, None, -1)), truth.isel(time=[3, 1, 0, 2, 4]),
                  on_grid(X[0] + 1.0, shift=1e-9), on_grid(X[0] + 1.0, units="metre")):  # fmt: skip
        np.testing.assert_allclose(samples_of(on_grid(), truth=other).values, -1.0)
    dated = on_grid().assign_coords(time=np.datetime64("2000-01-01") + np.arange(5))
    found = samples_of(dated, truth=dated.isel(time=[4, 2]))
    np.testing.assert_allclose(found.values, np.zeros((2, 12)))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (on_grid(y=(0.5, 1.5, 2.5, 3.5)), "along y the truth has the coordinate 0.5"),
        (on_grid(units="cm"), "'sst' is in m, and its truth in cm"),
        (on_grid(shift=5.0), "no time in common"),
        (on_grid().isel(time=[0, 0, 1, 2]), "a time repeats in the truth"),
        (
            on_grid().assign_coords(time=np.datetime64("2000-01-01") + np.arange(5)),
            "give both as dates of one type",
        ),
    ],
)
def test_a_truth_of_something_else_is_refused(truth, message) -> None:
    with pytest.raises(InputError, match=message):
        samples_of(on_grid(), truth=truth)


def test_differences_are_of_states_the_usual_time_apart() -> None:
    x = np.arange(10.0)[:, None, None] + RNG.normal(size=(10, 4, 3)) * 1e-3
    even = samples_of(on_grid(x), differences=2).values
    mixed = on_grid(x).isel(time=RNG.permutation(10))
    np.testing.assert_array_equal(samples_of(mixed, differences=2).values, even)
    gap = on_grid(x).isel(time=[0, 1, 2, 3, 4, 8, 9])  # the states before it and after it
    with pytest.warns(Notice, match="1 of 6 differences are over another time"):
        found = samples_of(gap, differences=1).values
    np.testing.assert_allclose(found, 1 / np.sqrt(2), atol=5e-3)


def test_states_of_a_known_model_are_in_its_order() -> None:
    truth = pyvda.simulate(pyvda.get_model("quasi-geostrophic", n=9), 1, 1, steps=3)
    truth = truth.assign_coords(y=np.arange(9) / 8)
    with pytest.warns(Notice, match="the coordinate y has another order"):
        found = samples_of(truth.isel(y=slice(None, None, -1)))
    np.testing.assert_array_equal(found.values, samples_of(truth).values)


def test_several_variables_stand_one_after_the_other() -> None:
    both = dataset().assign(ssh=dataset(2 * X)["sst"], sst_stdev=dataset()["sst"])
    found = samples_of(both)
    assert found.space.names == ("sst", "ssh")
    np.testing.assert_array_equal(found.values[:, 12:], 2 * found.values[:, :12])
    assert samples_of(both, ["ssh"]).space.names == ("ssh",)


def test_the_vector_of_a_simulation_has_the_variables_of_its_model() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1, steps=4)
    found = samples_of(truth)
    assert found.space.names == ("x", "y", "z")
    np.testing.assert_array_equal(found.values, truth["truth"].values.reshape(12, 3))


@pytest.mark.parametrize(
    ("ds", "message"),
    [
        (dataset().drop_vars("sst"), "no field with samples"),
        (dataset().isel(window=[0], time=[0]), "has 1 samples"),
        (dataset(np.full_like(X, np.nan)), "missing everywhere"),
        (dataset(np.where(RNG.random(X.shape) < 0.1, np.nan, X)), "samples have gaps"),
        (dataset(np.where(X[0, 0, 0, 0] == X, np.inf, X)), "sst has 1 infinite value;"),
        # Also where the point is missing in all other samples.
        (
            dataset(np.where(X[0, 0, 0, 0] == X, np.inf, np.where(X[0, 0, 0, 0] < X, X, np.nan))),
            "sst has 1 infinite value;",
        ),
    ],
)
def test_invalid_samples(ds, message) -> None:
    with pytest.raises(InputError, match=message) as refused:
        samples_of(ds)
    assert "\n" not in str(refused.value)


def test_invalid_variables() -> None:
    with pytest.raises(InputError, match="no variable ssh, but sst"):
        samples_of(dataset(), ["ssh"])
    with pytest.raises(InputError, match="none counts samples"):
        samples_of(dataset().isel(window=0, time=0), ["sst"])
