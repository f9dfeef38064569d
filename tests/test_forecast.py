"""A forecast continues from the end of the analysis."""

import numpy as np
import pytest
import xarray as xr
from command_line import run
from problems import rossler_model
from test_cycling import START, STATISTICAL, A, Q, R, kalman_filter, linear_model, observations

import pyvda
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.notices import Notice

STEPS = 7


def test_a_linear_forecast_is_that_of_a_kalman_filter() -> None:
    ds, model = observations(), linear_model()
    analysis = pyvda.assimilate(
        ds, model=model, engine="torch", background=START, observation_variance=R,
        tolerance=1e-14, **STATISTICAL,
    )  # fmt: skip
    found = pyvda.forecast(analysis, STEPS, model=model, engine="torch")
    mean, P = kalman_filter(ds["observation"].values, Q)
    for t in range(STEPS):
        mean, P = A @ mean, A @ P @ A.T + Q * np.eye(3)
        np.testing.assert_allclose(found["forecast"].values[t], mean, atol=1e-10)
        np.testing.assert_allclose(found["state_stdev"].values[t], np.sqrt(np.diag(P)), atol=1e-10)
    np.testing.assert_allclose(found["final_covariance"].values[0], P, atol=1e-10)
    np.testing.assert_array_equal(found["time"], ds["time"].values[-1] + np.arange(1, STEPS + 1))


def test_an_ensemble_is_continued_member_by_member() -> None:
    """With as many members mean and spread are those of a Kalman filter."""
    ds, model = observations(), linear_model()
    analysis = pyvda.assimilate(
        ds, model=model, engine="torch", background=START, observation_variance=R,
        method="ensemble-smoother", members=120, model_error=Q,
    )  # fmt: skip
    found = pyvda.forecast(analysis, STEPS, model=model, engine="torch")
    mean, P = kalman_filter(ds["observation"].values, Q)
    for t in range(STEPS):
        mean, P = A @ mean, A @ P @ A.T + Q * np.eye(3)
        np.testing.assert_allclose(found["forecast"].values[t], mean, atol=1e-9)
        np.testing.assert_allclose(found["state_stdev"].values[t], np.sqrt(np.diag(P)), atol=1e-9)
    np.testing.assert_allclose(np.cov(found["final_ensemble"].values[0].T), P, atol=1e-9)


def test_the_members_of_windows_are_continued_by_the_model() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1)
    analysis = pyvda.assimilate(
        pyvda.observe(truth, "lorenz63", 2), method="ensemble-smoother", members=10
    )
    analysis["final_ensemble"][1] = np.nan
    found = pyvda.forecast(analysis, STEPS)
    members = analysis["final_ensemble"].values[[0, 2]]
    for t in range(STEPS):
        members = get_engine().forecast(pyvda.get_model("lorenz63"), members, time_step=0.01)
        mean = found["forecast"].values[[0, 2], t]
        np.testing.assert_allclose(mean, members.mean(1), rtol=1e-12)
    np.testing.assert_array_equal(found["final_ensemble"].values[[0, 2]], members)
    np.testing.assert_array_equal(np.isnan(found["state_stdev"][:, 0, 0]), [False, True, False])


def test_a_forecast_is_a_background_too() -> None:
    """It is the background of windows that begin with its last step."""
    ds, model = observations(), linear_model()
    common = {"model": model, "engine": "torch", "observation_variance": R, "tolerance": 1e-14,
              **STATISTICAL}  # fmt: skip
    first = pyvda.assimilate(ds.isel(time=slice(13)), background=START, **common)
    later = pyvda.forecast(first, 1, model=model, engine="torch")
    rest = ds.isel(time=slice(13, None))
    found = pyvda.assimilate(rest, background=later, **common)
    expected = pyvda.assimilate(rest, background=first, **common)
    np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=1e-10)


def test_windows_are_continued_by_the_model() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1)
    analysis = pyvda.assimilate(pyvda.observe(truth, "lorenz63", 2), iterations=5)
    found = pyvda.forecast(analysis, STEPS)
    assert found["forecast"].dims == ("window", "time", "state")
    assert "state_stdev" not in found
    x = analysis["analysis"].values[:, -1]
    for t in range(STEPS):
        x = get_engine().forecast(pyvda.get_model("lorenz63"), x, time_step=0.01)
        np.testing.assert_array_equal(found["forecast"].values[:, t], x)
    np.testing.assert_allclose(found["time"], analysis["time"].values[-1] + 0.01 * np.arange(1, 8))
    assert "forecast, 7 steps" in found.attrs["history"].splitlines()[-1]


def test_named_variables_keep_their_names() -> None:
    truth = pyvda.simulate("lorenz63", 1, 1)["truth"].isel(window=0, drop=True)
    ds = xr.Dataset({n: truth.isel(state=i, drop=True) for i, n in enumerate("xyz")})
    analysis = pyvda.assimilate(
        ds, model="lorenz63", variable="x,y,z", method="gauss-newton", form="statistical",
        observation_variance=0.1, model_error=1e-3,
    )  # fmt: skip
    found = pyvda.forecast(analysis, STEPS)
    assert {"x", "y", "z", "x_stdev"} <= set(found.data_vars)
    assert found["x"].dims == ("time",)
    again = pyvda.assimilate(
        ds.assign_coords(time=ds.time + ds.time[-1] + 0.01), model="lorenz63", variable="x,y,z",
        method="gauss-newton", form="statistical", observation_variance=0.1, background=analysis,
    )  # fmt: skip
    assert np.isfinite(again["x"]).all()


def test_the_command(tmp_path, monkeypatch, capsys) -> None:
    truth = pyvda.simulate("lorenz63", 2, 1)
    pyvda.save_analysis(
        pyvda.assimilate(pyvda.observe(truth, "lorenz63", 2), iterations=5), tmp_path / "a.nc"
    )
    arguments = ["forecast", tmp_path / "a.nc", "--steps", 5, "-o", tmp_path / "f.nc"]
    assert run(monkeypatch, *arguments) == 0, capsys.readouterr().err
    assert xr.load_dataset(tmp_path / "f.nc").sizes["time"] == 5
    pyvda.save_analysis(truth, tmp_path / "truth.nc")
    assert run(monkeypatch, "forecast", tmp_path / "truth.nc", *arguments[2:]) == 2
    assert "pyvda_configuration" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [0, -1, 2.5, "many"])
def test_an_invalid_number_of_steps_is_refused(steps) -> None:
    with pytest.raises(InputError, match="the number of steps is"):
        pyvda.forecast(xr.Dataset(), steps)


def test_an_analysis_of_named_variables_is_continued() -> None:
    model = rossler_model()
    rng = np.random.default_rng(4)
    ds = xr.Dataset(
        {name: (("window", "time"), rng.standard_normal((2, 8))) for name in "xyz"},
        {"time": 0.05 * np.arange(8)},
    )
    analysis = pyvda.assimilate(ds, model=model, iterations=3, engine="torch")
    found = pyvda.forecast(analysis, 2, model=model, engine="torch")
    last = np.stack([analysis[name].values[:, -1] for name in "xyz"], -1)
    expected = get_engine("torch").forecast(model, last, time_step=0.05)
    for k, name in enumerate("xyz"):
        np.testing.assert_allclose(found[name].values[:, 0], expected[:, k], rtol=1e-12)
    np.testing.assert_allclose(found["time"], [0.4, 0.45])


def test_windows_that_diverge_are_lost_alone() -> None:
    truth = pyvda.simulate("lorenz63", 3, 1, steps=12)
    observed = pyvda.observe(truth, "lorenz63", 2)
    analysis = pyvda.assimilate(observed, engine="torch", iterations=1, step=1.0)
    expected = pyvda.forecast(analysis, STEPS, engine="torch")["forecast"]
    analysis["analysis"][1, -1] = 1e200
    with pytest.warns(Notice, match="the forecast of 1 window diverges at step 1"):
        found = pyvda.forecast(analysis, STEPS, engine="torch")["forecast"]
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    with pytest.raises(InputError, match=r"lorenz63 .* diverges within 1 step of every analysis"):
        pyvda.forecast(analysis.isel(window=[1]), STEPS, engine="torch")


def test_a_model_error_that_the_file_only_describes_is_said() -> None:
    torch = pytest.importorskip("torch")
    size = 65
    model = pyvda.torch_model(
        step=torch.Tensor.clone, variables=("u",), dimensions={"x": size}, time_step=1.0
    )
    ds = xr.Dataset({"u": (("time", "x"), np.ones((3, size)))}, {"time": np.arange(3.0)})
    analysis = pyvda.assimilate(
        ds, model=model, engine="torch", background=(np.zeros(size), np.eye(size)),
        observation_variance=R, **{**STATISTICAL, "model_error": np.eye(size)},
    )  # fmt: skip
    with pytest.raises(InputError, match="Dense of 65 components, was given as an array"):
        pyvda.forecast(analysis, 2, model=model)
    alone = pyvda.forecast(analysis.drop_vars("final_covariance"), 2, model=model)
    last = np.tile(analysis["u"].values[-1], (2, 1))
    np.testing.assert_allclose(alone["u"].values, last)


def test_a_grid_and_a_selected_window_keep_their_coordinates() -> None:
    model = pyvda.get_model("qg", n=17)
    truth = pyvda.simulate(model, 2, 1, steps=4)
    analysis = pyvda.assimilate(
        pyvda.observe(truth, "qg-tracks", 2), model=model, method="letkf", members=5
    )
    both = pyvda.forecast(analysis, 3)
    for name in ("x", "y", "window"):
        np.testing.assert_array_equal(both[name], analysis[name])
    one = pyvda.forecast(analysis.isel(window=1), 3)
    np.testing.assert_array_equal(one["psi"], both["psi"][1])
    np.testing.assert_array_equal(one["x"], analysis["x"])
