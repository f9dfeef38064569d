"""Observations along tracks: their statistics, their file, and the analysis that comes back."""

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

import pyvda
from pyvda.errors import InputError
from pyvda.io.sources.open import open_observations
from pyvda.io.tables.point_observations import rows_of
from pyvda.io.writing import model_attributes
from pyvda.notices import Notice
from pyvda.operators.sparse_linear import SparseLinear


def truth(n=33, steps=11, windows=1, field=None):
    """Return a truth as `pyvda.simulate` writes it, of a made-up field psi(t, y, x)."""
    model = pyvda.get_model("qg", n=n)
    axis, time = np.arange(n) / (n - 1), 5.0 * np.arange(steps)
    t, y, x = np.meshgrid(time, axis, axis, indexing="ij")
    psi = np.zeros_like(t) if field is None else field(t, y, x)
    psi = np.where(model.state_space.sea.reshape(n, n), psi, np.nan)
    return xr.Dataset(
        {"psi": (("window", "time", "y", "x"), np.stack([psi] * windows))},
        {"time": time, "y": axis, "x": axis},
        model_attributes.attributes(model),
    )


def on_wall(ds):
    return np.isin(ds["y"], (0, 1)) | np.isin(ds["x"], (0, 1))


def test_tracks_are_those_of_dapper():
    """Its 90 000 data, in files that are not distributed: 3.07 % on walls, error variance 4.004."""
    ds = pyvda.observe(truth(129, 61), "qg-tracks", 3)
    assert ds.sizes == {"obs": 60 * 300, "trajectory": 60}
    assert (ds["row_size"] == 300).all()
    assert ds.attrs["observation_error_variance"] == 4.0
    np.testing.assert_array_equal(np.unique(ds["time"]), 5.0 * np.arange(1, 61))
    assert on_wall(ds).mean() == pytest.approx(0.0307, abs=0.002)
    assert float(ds["psi"].var()) == pytest.approx(4.0, rel=0.04)
    flat = np.rint(128 * ds["y"].values) * 129 + np.rint(128 * ds["x"].values)
    first = flat.reshape(60, 300)
    steps, counts = np.unique(np.diff(first), return_counts=True)
    assert steps.tolist() == [55, 56]
    assert counts[1] / counts.sum() == pytest.approx(140 / 299, abs=0.01)  # as in DAPPER's files
    assert len(np.unique(first[:, 0])) > 20
    assert first[:, 0].max() < 56


def test_tracks_on_another_grid_have_the_same_density():
    ds = pyvda.observe(truth(33, 3), "qg-tracks", 0)
    assert ds.sizes["obs"] == 2 * round(300 * (33 / 129) ** 2)
    many = pyvda.observe(truth(33, 3), "qg-tracks", 0, options={"count": 10**6})
    assert many.sizes["obs"] == 2 * 33**2  # all points


def test_altimeters_repeat_their_ground_tracks():
    ds = pyvda.observe(truth(33, 31), "qg-altimetry", 1, variance=0.25)
    assert float(ds["psi"].var()) == pytest.approx(0.25, rel=0.1)
    time, y, x = (ds[name].values for name in ("time", "y", "x"))
    assert time.min() >= 0
    assert time.max() <= 150
    assert ((y >= 0) & (y <= 1) & (x >= 0) & (x <= 1)).all()
    first, second = (
        np.sort(np.round(np.stack([time[now] - begin, y[now], x[now]]), 9), axis=1)
        for begin in (0.0, 50.0)
        for now in [(time >= begin) & (time < begin + 50)]
    )
    np.testing.assert_allclose(first, second, atol=1e-9)
    ends = np.cumsum(ds["row_size"].values)
    assert len(ends) == 2 * 10 * 3
    up = []
    for start, stop in zip(np.append(0, ends[:-1]), ends, strict=True):
        one = slice(start, stop)
        distance = np.hypot(np.diff(y[one]), np.diff(x[one]))
        np.testing.assert_allclose(distance, 1 / 128, rtol=1e-9)
        np.testing.assert_allclose(np.diff(x[one]) / np.abs(np.diff(y[one])), 0.4, rtol=1e-9)
        assert np.ptp(time[one]) <= 0.5
        up.append(y[stop - 1] > y[start])
    assert 0.4 < np.mean(up) < 0.6


@pytest.mark.parametrize(
    ("options", "times"),
    [({"satellites": 1}, 0.5), ({"passes": 20}, 2.0), ({"sampling": 1 / 64}, 0.5),
     ({"period": 25.0}, 2.0)],
)  # fmt: skip
def test_options_change_the_number_of_data(options, times):
    usual, changed = (
        pyvda.observe(truth(17, 41), "qg-altimetry", options=how).sizes["obs"]
        for how in ({}, options)
    )
    assert changed / usual == pytest.approx(times, rel=0.1)


def test_values_are_the_truth_between_points_and_times():
    def field(t, y, x):
        return np.sin(3 * y + 0.1 * t) * np.cos(5 * x)

    true = truth(33, 11, windows=2, field=field)
    ds = pyvda.observe(true, "qg-altimetry", 1, variance=0.0)
    assert set(np.unique(ds["window"])) == {0, 1}
    psi = np.nan_to_num(true["psi"].values[0])
    expected = RegularGridInterpolator((true["time"], true["y"], true["x"]), psi)
    at = np.stack([ds["time"], ds["y"], ds["x"]], 1)
    inside = (np.abs(at[:, 1:] - 0.5) < 0.5 - 1 / 32).all(1)  # beside walls, these do not count
    assert inside.mean() > 0.85
    np.testing.assert_allclose(ds["psi"].values[inside], expected(at[inside]), atol=1e-12)


def test_the_file_is_a_trajectory_of_cf_and_comes_back(tmp_path):
    def field(t, y, x):
        return np.sin(7 * y) + x * t

    true = truth(17, 6, field=field)
    ds = pyvda.observe(true, "qg-altimetry", 1, variance=0.01)
    pyvda.save_analysis(ds, tmp_path / "obs.nc")
    with xr.open_dataset(tmp_path / "obs.nc") as file:
        assert file.attrs["featureType"] == "trajectory"
        assert file["row_size"].attrs["sample_dimension"] == "obs"
        assert file["trajectory_id"].attrs["cf_role"] == "trajectory_id"
        assert {file[name].attrs["axis"] for name in ("time", "y", "x")} == {"T", "Y", "X"}
        assert {"time", "y", "x"} <= set(file["psi"].coords)
    model = pyvda.get_model("qg", n=17)
    with pytest.warns(Notice, match=r"data of 'psi' lie on land and are not used"):
        found = open_observations(tmp_path / "obs.nc", model=model)
    np.testing.assert_allclose(found["time"], true["time"])
    np.testing.assert_allclose(found["y"], true["y"])
    assert not {"featureType", "analysis_times"} & set(found.attrs)
    used = found["point_observation"].notnull().values
    assert found.sizes["datum"] == ds.sizes["obs"]
    assert (found["point_rejected"].values == ~used).all()
    # Nothing but the noise is left of the innovations of the truth.
    position = found["point_time"].values / 5.0
    x = np.nan_to_num(true["psi"].values[0]).reshape(6, -1)
    step = np.minimum(position.astype(int), 4)
    between = x[step] + (position - step)[:, None] * (x[step + 1] - x[step])
    misfit = found["point_observation"].values - rows_of(found).product(between)
    assert np.std(misfit[used]) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"truth": lambda ds: ds.drop_attrs()}, "does not say which model made it"),
        ({"options": {"orbit": 3}}, "unknown option .* found orbit; .* has satellites, passes"),
        ({"options": {"satellites": 1.5}}, "expected a whole number of at least 1"),
        ({"options": {"period": -1}}, "option period .* is -1.0, expected a positive number"),
        ({"variance": -1.0}, "error variance is -1.0, expected at least 0"),
        ({"truth": lambda ds: ds.where(ds["x"] != 0.5)}, "truth has 45 values that are missing"),
        ({"truth": lambda ds: ds.isel(time=[0])}, "at least two times of the truth, .* found 1 of"),
        ({"truth": lambda ds: ds.assign_coords(time=[0.0, 5.0, 20.0])}, "are 5 to 15 apart"),
        ({"truth": lambda ds: ds.assign_coords(time=ds["time"].astype("M8[D]"))}, "found dates"),
        ({"every": 2}, "every would have no effect"),
        ({"options": {"satellites": 1, "passes": 1, "sampling": 1e2, "inclination": 4}},
         "no track of the preset qg-altimetry crosses the grid"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changed, said):
    given = changed.pop("truth", lambda ds: ds)(truth(17, 3))
    with pytest.raises(InputError, match=said) as refused:
        pyvda.observe(given, "qg-altimetry", **changed)
    assert "\n" not in str(refused.value)


def test_tracks_are_of_their_model_alone():
    other = pyvda.simulate("lorenz63", 1, steps=3)
    with pytest.raises(InputError, match="is of lorenz63, but the preset qg-tracks is for quasi"):
        pyvda.observe(other, "qg-tracks")
    with pytest.raises(InputError, match="belong to presets with tracks"):
        pyvda.observe(other, "lorenz63", options={"count": 3})
    with pytest.raises(InputError, match="says how a truth is observed"):
        pyvda.simulate("qg-tracks", 1)


@pytest.mark.parametrize("dim", ["y", "x"])
def test_a_truth_whose_axis_decreases_is_observed_at_the_same_places(dim):
    ds = truth(33, 31, field=lambda t, y, x: 1 + 2 * x + 5 * y)
    turned = ds.isel({dim: slice(None, None, -1)})
    with pytest.warns(Notice, match=f"{dim} has another order"):
        found = pyvda.observe(turned, "qg-altimetry", 1)
    xr.testing.assert_allclose(
        found.drop_attrs(), pyvda.observe(ds, "qg-altimetry", 1).drop_attrs()
    )


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_an_operator_sees_the_state_in_the_order_of_the_model():
    ds = truth(33, 5, field=lambda t, y, x: 1 + 2 * x + 5 * y)
    component = 5 * 33 + 8
    operator = SparseLinear(np.eye(33 * 33)[[component]])
    expected = float(ds["psi"][0, 0].values.ravel()[component])
    turned = ds.isel(y=slice(None, None, -1)).transpose("window", "time", "x", "y")
    for given in (ds, turned):
        found = pyvda.observe(given.fillna(0.0), operator=operator, variance=1e-20)
        np.testing.assert_allclose(found["observation"][0, 0], expected)
